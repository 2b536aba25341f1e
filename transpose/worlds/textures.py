"""Colours at every level of detail: the textures of a world on one sheet or a few, so that a call or a few sample every
pixel of a view, and the colours of its vertices."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.world import VERTEX_COLOR, World

_COLOR_LEVELS = 3
_GUTTER_PX = 2
_FOLD = 1024
_FACES_AT_ONCE = 500_000
_UNSEEN_BLEND = 0.15
_SHEET_WIDTH_PX = 16384
_MAX_SHEET_PX = 32767  # OpenCV's remap addresses no more
MAX_TEXTURE_PX = _MAX_SHEET_PX - 2 * _GUTTER_PX
"""The longest side of a texture that can be rendered."""


class TextureSheets:
    """Mip pyramids of several textures, packed into as few sheets as can be, with repeating borders.

    Level k holds a texture at 1 / 2^k of its size. Sampling is bilinear within a level and linear between levels.

    Args:
        textures: uint8 RGB images.
        max_px: width and height that no sheet exceeds.

    Raises:
        TransposeError: a texture alone is larger than a sheet.
    """

    def __init__(self, textures: tuple[np.ndarray, ...], max_px: int = _MAX_SHEET_PX) -> None:
        sizes = [_level_sizes(texture) for texture in textures]
        self.levels = max(len(levels) for levels in sizes)
        widest, tallest = (max(levels[0][axis] for levels in sizes) for axis in (1, 0))
        if max(widest, tallest) + 2 * _GUTTER_PX > max_px:
            raise TransposeError(
                f"a texture of {widest} x {tallest} pixels is wider or taller than {max_px - 2 * _GUTTER_PX}; "
                "build the world again, which shrinks it"
            )
        # Width, height and top left corner in its sheet, a row for each texture and level.
        self._places_n4 = np.ones((len(textures) * self.levels, 4), np.float32)
        self._sheet_of_rows = np.zeros(len(textures) * self.levels, np.int32)
        tiles = [(t, k, size) for t, levels in enumerate(sizes) for k, size in enumerate(levels)]
        tiles.sort(key=lambda tile: -tile[2][0])
        width = min(max(_SHEET_WIDTH_PX, widest + 2 * _GUTTER_PX), max_px)
        corners, heights = _place_in_rows([size for _, _, size in tiles], width, max_px)
        self.sheets = [np.zeros((height, width, 3), np.uint8) for height in heights]
        place_of_tiles = {(t, k): place for (t, k, _), place in zip(tiles, corners, strict=True)}
        for t, texture in enumerate(textures):
            for k, level in enumerate(_pyramid(texture)):  # one at a time: a wide terrain has many
                s, x, y = place_of_tiles[t, k]
                padded = cv2.copyMakeBorder(level, *(_GUTTER_PX,) * 4, cv2.BORDER_WRAP)
                self.sheets[s][y : y + padded.shape[0], x : x + padded.shape[1]] = padded
                # Half a texel less: OpenCV counts pixel centres at integers.
                left, top = x + _GUTTER_PX - 0.5, y + _GUTTER_PX - 0.5
                self._places_n4[t * self.levels + k] = level.shape[1], level.shape[0], left, top
                self._sheet_of_rows[t * self.levels + k] = s
        self._last_level_t = np.array([len(levels) - 1 for levels in sizes], np.float32)

    def sample(self, texture_n: np.ndarray, uv_n2: np.ndarray, level_n: np.ndarray) -> np.ndarray:
        """Colours (n, 3) uint8 of n points.

        Args:
            texture_n: index of each point's texture.
            uv_n2: texture coordinates, (0, 0) the top left corner, repeating beyond [0, 1].
            level_n: log2 of the texels of level 0 along a pixel; below 0 counts as 0.
        """
        level_n = np.clip(level_n, 0, np.take(self._last_level_t, texture_n))
        u_n, v_n = uv_n2[:, 0] - np.floor(uv_n2[:, 0]), uv_n2[:, 1] - np.floor(uv_n2[:, 1])
        lower_n = level_n.astype(np.int32)
        blend_n = level_n - lower_n
        row_n = texture_n * self.levels + lower_n
        fine_n3 = self._sample_rows(row_n, u_n, v_n)
        # A seldom second look: where the level is near a whole number, its neighbour adds nothing to be seen.
        mixed_n = np.flatnonzero(blend_n > _UNSEEN_BLEND)
        if len(mixed_n):
            coarse_n3 = self._sample_rows(np.take(row_n, mixed_n) + 1, np.take(u_n, mixed_n), np.take(v_n, mixed_n))
            blend_n = np.take(blend_n, mixed_n)
            mixed_n3 = np.take(fine_n3, mixed_n, axis=0)
            for c in range(3):  # NumPy's loops are quick along points and slow along three numbers
                value_n = mixed_n3[:, c] * (1 - blend_n)
                value_n += coarse_n3[:, c] * blend_n
                np.add(value_n, np.float32(0.5), out=mixed_n3[:, c], casting="unsafe")
            fine_n3[mixed_n] = mixed_n3
        return fine_n3

    def _sample_rows(self, row_n: np.ndarray, u_n: np.ndarray, v_n: np.ndarray) -> np.ndarray:
        """Colours (n, 3) uint8 at fractions u, v in [0, 1) of a texture's level, whose row it is."""
        if len(self.sheets) == 1:
            return self._sample_sheet(0, row_n, u_n, v_n)
        rgb_n3 = np.empty((len(row_n), 3), np.uint8)
        sheet_n = np.take(self._sheet_of_rows, row_n)
        for s in np.flatnonzero(np.bincount(sheet_n, minlength=len(self.sheets))):
            here_n = np.flatnonzero(sheet_n == s)
            rgb_n3[here_n] = self._sample_sheet(int(s), row_n[here_n], u_n[here_n], v_n[here_n])
        return rgb_n3

    def _sample_sheet(self, sheet: int, row_n: np.ndarray, u_n: np.ndarray, v_n: np.ndarray) -> np.ndarray:
        place_n4 = np.take(self._places_n4, row_n, axis=0)
        # remap wants images of limited height, so the points are folded into rows of one width.
        padded_n2 = np.zeros((-(-len(row_n) // _FOLD) * _FOLD, 2), np.float32)
        xy_n2 = padded_n2[: len(row_n)]
        for c, along_n in enumerate((u_n, v_n)):
            np.add(along_n * place_n4[:, c], place_n4[:, 2 + c], out=xy_n2[:, c])
        out = cv2.remap(self.sheets[sheet], padded_n2.reshape(-1, _FOLD, 2), None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
        return out.reshape(-1, 3)[: len(row_n)]


def shrunk(textures: list[np.ndarray], max_texels: float, max_side_px: int = MAX_TEXTURE_PX) -> list[np.ndarray]:
    """Textures of no more than `max_texels` altogether and no side over `max_side_px`, in their order.

    All are scaled alike, as far as they must be for their number; the same arrays where nothing is too large.
    """
    scale = min(1.0, (max_texels / max(1, sum(t.shape[0] * t.shape[1] for t in textures))) ** 0.5)
    smaller = []
    for texture in textures:
        height, width = texture.shape[:2]
        own = min(scale, max_side_px / max(height, width))
        if own < 1:
            size = max(1, int(width * own)), max(1, int(height * own))
            texture = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
        smaller.append(texture)
    return smaller


def _level_sizes(texture: np.ndarray) -> list[tuple[int, int]]:
    """Height and width of each mip level."""
    sizes = [(texture.shape[0], texture.shape[1])]
    while min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _pyramid(texture: np.ndarray) -> Iterator[np.ndarray]:
    yield texture
    for height, width in _level_sizes(texture)[1:]:
        texture = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)
        yield texture


def _place_in_rows(
    sizes: list[tuple[int, int]], width: int, max_height: int
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Shelf packing of sizes sorted by falling height: (sheet, x, y) of each, and the height of each sheet."""
    places, heights, x, y, row_height = [], [], 0, 0, 0
    for level_height, level_width in sizes:
        tile_height, tile_width = level_height + 2 * _GUTTER_PX, level_width + 2 * _GUTTER_PX
        if x + tile_width > width:
            x, y, row_height = 0, y + row_height, 0
        if y + max(row_height, tile_height) > max_height:
            heights.append(y)
            x, y, row_height = 0, 0, 0
        places.append((len(heights), x, y))
        x, row_height = x + tile_width, max(row_height, tile_height)
    return places, [*heights, y + row_height]


def twice_texels(world: World) -> np.ndarray:
    """Twice the texels (or vertices, for vertex colours) that each face covers, (faces,) float32."""
    sizes_t2 = np.array([[t.shape[1], t.shape[0]] for t in world.textures] or [[1, 1]], np.float32)
    twice_f = np.ones(len(world.faces_f3), np.float32)
    for first in range(0, len(twice_f), _FACES_AT_ONCE):
        part = slice(first, first + _FACES_AT_ONCE)
        texture_p = world.face_texture_f[part]
        uv_p32 = world.corner_uv_f32[part] * sizes_t2[texture_p][:, None]
        a_p2, b_p2 = uv_p32[:, 1] - uv_p32[:, 0], uv_p32[:, 2] - uv_p32[:, 0]
        twice_p = np.abs(a_p2[:, 0] * b_p2[:, 1] - a_p2[:, 1] * b_p2[:, 0])
        twice_f[part] = np.where(texture_p == VERTEX_COLOR, np.float32(1), twice_p)
    return twice_f


def color_levels(world: World) -> list[np.ndarray]:
    """Vertex colours, and the same averaged over ever wider neighbourhoods: the mip levels of a mesh.

    One round takes each vertex once and each neighbour twice, since two faces share an edge.
    """
    from scipy.sparse import csr_array

    faces, vertices = len(world.faces_f3), len(world.vertices_v3)
    corners_of_faces = csr_array(
        (np.ones(3 * faces, np.float32), world.faces_f3.reshape(-1), np.arange(0, 3 * faces + 1, 3)),
        shape=(faces, vertices),
    )
    count_v1 = np.bincount(world.faces_f3.reshape(-1), minlength=vertices).astype(np.float32)[:, None]
    rgb_v3 = world.vertex_rgb_v3.astype(np.float32)
    levels = [world.vertex_rgb_v3]
    for level in range(1, _COLOR_LEVELS):
        for _ in range(4 ** (level - 1)):  # the width of repeated averaging grows with the root of the rounds
            around_v3 = corners_of_faces.T @ (corners_of_faces @ rgb_v3)
            rgb_v3 = (around_v3 - (count_v1 - 1) * rgb_v3) / (2 * count_v1 + 1)
        levels.append(np.clip(rgb_v3.round(), 0, 255).astype(np.uint8))
    return levels
