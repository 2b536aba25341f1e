"""Trees, bushes and hedges: opaque crowns with irregular surfaces, each with a picture of its own."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from transpose.randomness import stream
from transpose.village.atlas import Atlas
from transpose.village.noise import smooth_noise
from transpose.village.paint import blend, from_tone
from transpose.village.parts import Kind, MeshBuilder, Texture, boxed_uv, cylinder, to_village_frame
from transpose.village.site_layout import Plant

_LEAVES = {
    "summer": {
        "broad": [((30, 46, 20), (112, 134, 60)), ((34, 52, 26), (124, 140, 72)), ((44, 52, 22), (138, 140, 66))],
        "fir": [((22, 36, 24), (78, 100, 64)), ((26, 40, 30), (86, 106, 78))],
        "willow": [((46, 58, 34), (148, 156, 96)), ((52, 62, 40), (154, 158, 108))],
        "fruit": [((40, 56, 26), (126, 146, 70)), ((72, 40, 40), (138, 84, 78)), ((48, 58, 30), (150, 152, 84))],
    },
    "autumn": {
        "broad": [((74, 50, 26), (176, 134, 72)), ((80, 42, 28), (164, 100, 66)), ((66, 62, 28), (168, 158, 82))],
        "fir": [((22, 36, 24), (78, 100, 64)), ((26, 40, 30), (86, 106, 78))],
        "willow": [((76, 72, 36), (172, 160, 92)), ((70, 70, 40), (164, 154, 96))],
        "fruit": [((78, 54, 30), (172, 128, 76)), ((82, 44, 36), (156, 92, 72)), ((70, 66, 32), (164, 150, 84))],
    },
    "winter": {
        "broad": [((62, 54, 44), (128, 114, 96)), ((56, 50, 42), (120, 108, 94)), ((66, 56, 42), (134, 116, 92))],
        "fir": [((24, 36, 26), (76, 94, 66)), ((26, 38, 32), (82, 98, 76))],
        "willow": [((74, 64, 40), (148, 128, 88)), ((66, 60, 42), (138, 122, 90))],
        "fruit": [((60, 52, 44), (124, 110, 96)), ((64, 50, 44), (126, 104, 92)), ((58, 52, 42), (120, 110, 92))],
    },
}
_PALETTE = {
    "broad": "broad",
    "round": "broad",
    "poplar": "broad",
    "fir": "fir",
    "willow": "willow",
    "fruit": "fruit",
    "bush": "fruit",
}
_POLE = 0.97
"""A crown's picture shows it from above: the top in the middle, the lowest point at this fraction of the radius."""


@cache
def _sphere(level: int) -> tuple[np.ndarray, np.ndarray]:
    """A unit icosphere, counter-clockwise from outside."""
    golden = (1 + 5**0.5) / 2
    vertices = [[-1, golden, 0], [1, golden, 0], [-1, -golden, 0], [1, -golden, 0]]
    vertices += [[v[2], v[0], v[1]] for v in vertices[:4]] + [[v[1], v[2], v[0]] for v in vertices[:4]]
    points = np.array(vertices, float) / np.hypot(1, golden)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    edge = distance[distance > 0.1].min() * 1.01
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if max(distance[i, j], distance[j, k], distance[i, k]) < edge
    ]
    triangles = np.array(faces)
    corners = points[triangles]
    inward = (
        np.einsum("fi,fi->f", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), corners[:, 0]) < 0
    )
    triangles[inward] = triangles[inward][:, ::-1]
    for _ in range(level):
        points, triangles = _subdivided(points, triangles)
    return points, triangles


def _subdivided(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middle = points[unique].mean(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = index.reshape(3, -1) + len(points)
    a, b, c = faces.T
    quarters = [np.stack(corner, 1) for corner in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.concatenate([points, middle]), np.concatenate(quarters)


def _from_above(directions_n3: np.ndarray) -> np.ndarray:
    """Where a direction lies in a crown's picture, in [-1, 1]: azimuthal equidistant about the top."""
    polar = np.arccos(np.clip(directions_n3[:, 2], -1, 1)) / np.pi * _POLE
    flat = directions_n3[:, :2]
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > 1e-6, flat / np.maximum(length, 1e-6), 0.0) * polar[:, None]


@cache
def _layers(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to look up noise for a crown's picture, so that it does not look drawn out downwards on the crown's sides.

    The picture has fewer pixels per metre from the top downwards than around the crown; the noise gets finer that way.
    """
    axis = ((np.arange(size_px) + 0.5) / size_px * 2 - 1).astype(np.float32)
    gain = 1 + 4 * (axis[:, None] ** 2 + axis[None, :] ** 2)
    return (axis[None, :] * gain + 1) / 2 * size_px, (axis[:, None] * gain + 1) / 2 * size_px


def _crown_picture(
    rng: np.random.Generator, plant: Plant, season: str, bumps_hw: np.ndarray, size_px: int
) -> np.ndarray:
    """Leaves lit by the whole sky: bright on top and on bumps, dark below and in hollows."""
    palette = _LEAVES[season][_PALETTE[plant.kind]]
    dark, light = (np.array(color, float) for color in palette[int(rng.integers(0, len(palette)))])
    gain = rng.uniform(0.85, 1.15) + rng.normal(0, 0.04, 3)
    towards = _layers(size_px)
    fine = 0.9 * smooth_noise(rng, (size_px, size_px), 1.0) + smooth_noise(rng, (size_px, size_px), 2.4)
    clumps = smooth_noise(rng, (size_px, size_px), 7.0) + 0.7 * smooth_noise(rng, (size_px, size_px), 16.0)
    layered = cv2.remap(clumps, *towards, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    axis = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    radius = np.hypot(axis[:, None], axis[None, :]) / _POLE
    sky = 0.62 - 0.5 * np.clip(radius, 0, 1.1) ** 1.5
    image = from_tone(sky + 0.15 * fine + 0.11 * layered + 0.16 * bumps_hw, dark * gain, np.clip(light * gain, 0, 255))
    if plant.kind == "fruit" and season == "summer" and rng.random() < 0.5:
        blend(
            image,
            rng.choice([[176, 60, 48], [214, 150, 60], [226, 200, 200]]),
            np.clip(smooth_noise(rng, bumps_hw.shape, 2.0) - 1.9, 0, 0.9),
        )
    if season == "winter":
        cover = 0.5 * layered + 0.3 * fine + 1.0 - 2.6 * radius
        blend(image, (228, 232, 238), np.clip(cover, 0, 0.85 if plant.kind == "fir" else 0.35))
    return image


def _crown_profile(kind: str, directions_n3: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stretches the unit sphere to the shape of a kind of tree: a crown of height 2 and radius about 1."""
    points = directions_n3.copy()
    z = points[:, 2:]
    if kind == "fir":
        up = (z + 1) / 2
        tiers = 1 + 0.16 * np.sin(up * 2 * np.pi * 5.5)
        points[:, :2] = points[:, :2] / np.maximum(np.hypot(*points[:, :2].T)[:, None], 1e-6) * (1.03 - up) * tiers
        points[:, :2] *= (z > -0.97) * (z < 0.985)
    elif kind == "willow":
        points[:, :2] *= 1 + 0.25 * np.clip(-z, 0, 1)
    elif kind == "broad":
        points[:, :2] *= 1 + 0.12 * rng.normal(0, 1, (1, 2))
    return points


def _bumps(rng: np.random.Generator, kind: str, size_px: int = 64) -> np.ndarray:
    """Where the crown bulges, over the crown's picture."""
    strength = {"fir": 0.55, "poplar": 0.6, "bush": 0.9}.get(kind, 1.0)
    wide = smooth_noise(rng, (size_px, size_px), size_px / 5)
    return strength * (0.75 * wide + 0.55 * smooth_noise(rng, (size_px, size_px), size_px / 11)).astype(np.float32)


def _tufted(
    rng: np.random.Generator, points: np.ndarray, flat: np.ndarray, faces: np.ndarray, share: float, size: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replaces some faces by pyramids that stick out: tufts of leaves. Returns vertices, their `flat` and faces."""
    chosen = rng.random(len(faces)) < share
    corners = points[faces[chosen]]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    mix = rng.dirichlet([3, 3, 3], len(corners))
    apex = np.einsum("fk,fki->fi", mix, corners) + outward * size * rng.uniform(0.4, 1.2, (len(corners), 1))
    apex_flat = np.einsum("fk,fki->fi", mix, flat[faces[chosen]])
    index = len(points) + np.arange(len(corners))
    a, b, c = faces[chosen].T
    sides = [np.stack([a, b, index], 1), np.stack([b, c, index], 1), np.stack([c, a, index], 1)]
    return np.concatenate([points, apex]), np.concatenate([flat, apex_flat]), np.concatenate([faces[~chosen], *sides])


_WIDTH = {"broad": 0.36, "round": 0.4, "poplar": 0.13, "fir": 0.22, "fruit": 0.44, "willow": 0.46, "bush": 0.62}
_TRUNK = {"broad": 0.24, "round": 0.22, "poplar": 0.1, "fir": 0.1, "fruit": 0.27, "willow": 0.18, "bush": 0.0}


def _crown_mesh(
    rng: np.random.Generator, plant: Plant, bumps_hw: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices about the crown's middle in metres, their places in the crown's picture in [0, 1] and the faces."""
    unit, faces = _sphere(1 if plant.kind == "bush" else 2)
    flat = (_from_above(unit) + 1) / 2
    at = np.clip((flat * len(bumps_hw)).astype(int), 0, len(bumps_hw) - 1)
    radius = plant.height_m * _WIDTH[plant.kind] * rng.uniform(0.88, 1.12)
    half = plant.height_m * (1 - _TRUNK[plant.kind]) / 2
    swell = 1 + 0.2 * bumps_hw[at[:, 1], at[:, 0], None] + 0.04 * rng.standard_normal((len(unit), 1))
    points = _crown_profile(plant.kind, unit, rng) * [radius, radius, half] * swell
    share, size = (0.4, 0.2) if plant.kind == "fir" else (0.22, 0.26 if plant.kind == "poplar" else 0.14)
    return _tufted(rng, points, flat, faces, share, size * radius)


def add_plant(
    builder: MeshBuilder, crowns: Atlas, plant: Plant, ground_m: float, seed: int, season: str, size_px: int
) -> None:
    """Models one tree or bush; `size_px` is the side of a large tree's crown picture."""
    rng = stream(seed, "village", "plant", str(plant.number))
    picture_px = size_px if plant.kind != "bush" else size_px * 3 // 8
    bumps = _bumps(rng, plant.kind)
    points, flat, faces = _crown_mesh(rng, plant, bumps)
    # Leaves have a stream of their own: the season changes how much they draw.
    look = stream(seed, "village", "leaves", str(plant.number))
    fine = cv2.resize(bumps, (picture_px, picture_px), interpolation=cv2.INTER_CUBIC)
    piece = crowns.add(_crown_picture(look, plant, season, fine, picture_px))
    middle = 0.3 * plant.height_m if plant.kind == "bush" else plant.height_m * (1 + _TRUNK[plant.kind]) / 2
    place = to_village_frame(points, (*plant.at_2, ground_m + middle), float(rng.uniform(0, 2 * np.pi)))
    builder.add(place, faces, Kind.VEGETATION, Texture.CROWNS, flat[faces] * picture_px, piece=piece)
    if plant.kind != "bush":
        thick = 0.035 * plant.height_m
        trunk, trunk_faces = cylinder(thick, -0.5, plant.height_m * (_TRUNK[plant.kind] + 0.2), 6, thick * 0.7)
        uv = boxed_uv(trunk, trunk_faces, 3.0, rng.random(2))
        builder.add(to_village_frame(trunk, (*plant.at_2, ground_m)), trunk_faces, Kind.VEGETATION, Texture.WOOD, uv)
