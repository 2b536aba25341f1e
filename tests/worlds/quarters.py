"""A plane of 2 x 2 m whose quarters are red, green, blue and yellow, and the check that a world shows them so."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.conftest import looking_down
from transpose.geometry import Camera
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World

# West and east in the south, then in the north.
COLORS = np.array([[220, 30, 30], [30, 200, 30], [30, 30, 220], [230, 220, 30]], np.uint8)
_STEPS = 9


def plane() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (81, 3), z up, and faces (128, 3)."""
    x, y = np.meshgrid(np.linspace(-1, 1, _STEPS), np.linspace(-1, 1, _STEPS))
    corner = np.arange(_STEPS**2).reshape(_STEPS, _STEPS)
    a, b, c, d = (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1])
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1), faces


def vertex_colors() -> np.ndarray:
    """uint8 (81, 3) of the plane's vertices."""
    vertices, _ = plane()
    return COLORS[(vertices[:, 0] > 0).astype(int) + 2 * (vertices[:, 1] > 0).astype(int)]


def uv_from_top() -> np.ndarray:
    """Texture coordinates (81, 2) of the plane's vertices, (0, 0) the picture's top left."""
    vertices, _ = plane()
    return np.stack([(vertices[:, 0] + 1) / 2, (1 - vertices[:, 1]) / 2], 1)


def picture() -> Image.Image:
    """The plane's texture, north at its top."""
    south_first = np.repeat(np.repeat(COLORS.reshape(2, 2, 3), 32, 0), 32, 1)
    return Image.fromarray(south_first[::-1])


def picture_bytes(kind: str = "PNG") -> bytes:
    """The texture's file."""
    buffer = io.BytesIO()
    picture().save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def seen_from_above(world: World) -> np.ndarray:
    """The middles of the four quarters, (4, 3)."""
    pose = looking_down(*world.origin_3[:2], world.origin_3[2] + 3, 0, -90)
    view = Renderer(world).view(Camera.from_focal(64, 64, 64), pose).rgb_hw3
    return np.array([view[40, 24], view[40, 40], view[24, 24], view[24, 40]])


def assert_quarters(world: World, tolerance: int = 8) -> None:
    """Checks the picture, and that the plane is 2 x 2 m."""
    seen = seen_from_above(world)
    assert np.abs(seen.astype(int) - COLORS).max() <= tolerance, seen.tolist()
    low, high = world.bounds
    assert np.allclose(high - low, [2, 2, 0], atol=1e-3)


def write_obj(path, mtl: str | None = "m.mtl", *, material: str | None = "mat", with_uv: bool = True) -> None:
    """The plane as an OBJ that names a file of materials and a material."""
    vertices, faces = plane()
    uv = uv_from_top()
    lines = [f"mtllib {mtl}"] if mtl else []
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in uv] if with_uv else []
    lines += [f"usemtl {material}"] if material else []
    lines += [f"f {' '.join(f'{i + 1}/{i + 1}' if with_uv else str(i + 1) for i in face)}" for face in faces]
    path.write_text("\n".join(lines) + "\n")
