"""What a person checks of a world that was just built: a line of facts and a small picture."""

from __future__ import annotations

import dataclasses

import numpy as np

from transpose.errors import first_few
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.worlds.renderer import Renderer
from transpose.worlds.textures import shrunk
from transpose.worlds.world import VERTEX_COLOR, World

_LONG_CRS = 60
_AXES = ("x", "y", "z")
_ALIGNED = 0.999
_SIDE_PX = 480
_SLANT_DEG = 35.0
_FAR = 6.0  # extents between the world and the camera: little perspective, and rays that meet edges exactly
_BACKGROUND = (225, 228, 232)
_PREVIEW_TEXELS = 16_000_000  # all that a picture of this size can show


def facts_line(world: World) -> str:
    """Extent, which axis is up and who says so, textures, how much has a colour, and the map, in one line."""
    facts = world.facts
    low_3, high_3 = world.bounds
    extent = " x ".join(f"{each:.4g}" for each in high_3.astype(np.float64) - low_3)
    said = [
        f"{len(world.faces_f3)} triangles",
        f"extent {extent} m ({_unit(world)})",
        f"up {_up(world)}",
        _textures(world),
        f"{_percent(facts.get('colored_faces', 1.0))} of the faces coloured",
        _map(world),
    ]
    return "; ".join(each for each in said if each)


def _unit(world: World) -> str:
    facts = world.facts
    if "unit_from" not in facts:
        return "x, y, z"
    unit_m = float(facts["unit_m"])
    unit = "the file's unit is the metre" if unit_m == 1 else f"the file's unit is {unit_m:.6g} m"
    return f"x, y, z; {unit}, {facts['unit_from']}"


def _up(world: World) -> str:
    facts = world.facts
    strongest = int(np.argmax(np.abs(world.up_3)))
    if "up" in facts and "up_from" in facts:
        return f"{facts['up']} of the file ({facts['up_from']})"
    if abs(world.up_3[strongest]) < _ALIGNED:
        axis = ", ".join(f"{each:.2f}" for each in world.up_3)
        return f"({axis}) ({facts.get('up_from', 'as cameras were held')})"
    sign = "-" if world.up_3[strongest] < 0 else ""
    return f"{sign}{_AXES[strongest]} ({facts.get('up_from', 'the map' if facts.get('crs') else 'by construction')})"


def _textures(world: World) -> str:
    missing = list(world.facts.get("textures_missing", ()))
    if not world.textures and not missing:
        if world.facts.get("colored_faces") == 0:
            return "no textures, no colours"
        alike = (world.vertex_rgb_v3 == world.vertex_rgb_v3[:1]).all()
        return f"no textures, {'one colour' if alike else 'vertex colours'}"
    found = f"{len(world.textures)} textures" if len(world.textures) != 1 else "1 texture"
    megapixels = sum(t.shape[0] * t.shape[1] for t in world.textures) / 1e6
    lost = f", {len(missing)} missing ({first_few(missing, 3)})" if missing else ""
    share = float((world.face_texture_f != VERTEX_COLOR).mean())
    return f"{found} ({megapixels:.3g} megapixels, on {_percent(share)} of the faces){lost}"


def _percent(share: float) -> str:
    """Whole per cent, where only all is 100 and only nothing 0."""
    return f"{min(max(round(100 * share), 1), 99) if 0 < share < 1 else round(100 * share)} %"


def _map(world: World) -> str:
    crs = world.facts.get("crs")
    # Of WKT its name: the first text in quotes.
    quoted = str(crs).split('"')
    name = str(crs) if len(str(crs)) < _LONG_CRS or len(quoted) < 3 else quoted[1]
    origin = " ".join(f"{each:.0f}" for each in world.origin_3)
    place_from = world.facts.get("origin_from")
    placed = f", origin {origin}{f' from {place_from}' if place_from else ''}" if world.origin_3.any() else ""
    return f"map {name}{placed}" if crs else f"no map{placed}"


def preview(world: World) -> np.ndarray:
    """Two pictures of a world side by side, (480, 960, 3) uint8: from above, and slantwise from the south.

    From above, the world's first horizontal axis points right. What is not part of the world is light grey.
    """
    small = dataclasses.replace(world, textures=tuple(shrunk(list(world.textures), _PREVIEW_TEXELS)))
    renderer = Renderer(small, from_afar=True)
    up_3 = world.up_3 / np.linalg.norm(world.up_3)
    right_3 = np.eye(3)[0 if abs(up_3[0]) < 0.9 else 1]
    right_3 = right_3 - (right_3 @ up_3) * up_3
    right_3 /= np.linalg.norm(right_3)
    ahead_3 = np.cross(up_3, right_3)
    slant = np.radians(_SLANT_DEG)
    slanted_3 = np.cos(slant) * ahead_3 - np.sin(slant) * up_3
    return np.hstack([_seen_along(renderer, right_3, each_3) for each_3 in (-up_3, slanted_3)])


def _seen_along(renderer: Renderer, right_3: np.ndarray, ahead_3: np.ndarray) -> np.ndarray:
    """The whole world as a camera far away sees it."""
    world = renderer.world
    R_wc = np.stack([right_3, np.cross(ahead_3, right_3), ahead_3], axis=1)
    seen_n3 = world.vertices_v3.astype(np.float64) @ R_wc
    low_3, high_3 = seen_n3.min(0), seen_n3.max(0)
    width = max(float((high_3 - low_3)[:2].max()), 1e-6) * 1.05
    distance = _FAR * width + (high_3 - low_3)[2]
    middle_3 = R_wc @ np.array([*(low_3 + high_3)[:2] / 2, low_3[2]])
    eye_3 = middle_3 - distance * ahead_3 + world.origin_3
    camera = Camera.from_focal(distance * _SIDE_PX / width, _SIDE_PX, _SIDE_PX)
    view = renderer.view(camera, Pose(compose(R_wc, eye_3)))
    return np.where(view.seen_hw[..., None], view.rgb_hw3, np.array(_BACKGROUND, np.uint8))
