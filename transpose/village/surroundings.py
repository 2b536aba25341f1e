"""The land around the village: a coarse ring of hills, so that views do not end at the edge of the model."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from transpose.randomness import stream
from transpose.village.ground_shape import CELLS, Terrain
from transpose.village.maps import HALF_M, MapFrame, walk
from transpose.village.materials import Material, kind_table
from transpose.village.noise import fractal
from transpose.village.parts import MeshBuilder, Texture
from transpose.village.sheet import Sheet
from transpose.village.site_layout import SiteLayout
from transpose.village.tones import lay_snow, paint_tones, vary_tint

REACH_M = 400.0
"""The surroundings span [-REACH_M, REACH_M] in x and y."""

_RINGS = np.array([1.0, 1.1, 1.25, 1.45, 1.75, 2.2, 2.8, REACH_M / HALF_M])
_HILLS_M = 34.0


def _onwards(line_n2: np.ndarray) -> np.ndarray:
    """A line that goes straight on where it leaves the village."""
    head, tail = line_n2[0] - line_n2[4], line_n2[-1] - line_n2[-5]
    before = line_n2[:1] + 2 * REACH_M * head / np.linalg.norm(head)
    after = line_n2[-1:] + 2 * REACH_M * tail / np.linalg.norm(tail)
    leaves = np.abs(line_n2[[0, -1]]).max(1) > HALF_M
    return np.concatenate([before[: int(leaves[0])], line_n2, after[: int(leaves[1])]])


def paint_surroundings(seed: int, layout: SiteLayout, season: str, size_px: int) -> Sheet:
    """Fields, woods, roads and the river as seen from above, (size_px, size_px, 3) in `image`."""
    sheet = Sheet(seed, MapFrame(size_px, REACH_M), "surroundings")
    rng, frame = sheet.rng("fields"), sheet.frame
    for field in layout.fields_around:
        inset = field.corners_42.mean(0) + (field.corners_42 - field.corners_42.mean(0)) * 0.96
        frame.fill(sheet.material, inset, int(Material[field.crop.upper()]))
        frame.fill(sheet.relief, inset, int(rng.integers(104, 152)))
    noise = fractal(rng, (512, 512), [(512 * 90 / (2 * REACH_M), 1.0), (512 * 30 / (2 * REACH_M), 0.4)])
    woods = cv2.resize(noise, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    east, north = frame.metres()
    # Woods begin beyond the village's own fields and close the view at the far end.
    distance = np.maximum(np.abs(east), np.abs(north))
    sheet.material[woods + (distance - 230) / 170 > 0.75] = Material.CANOPY
    frame.line(sheet.material, _onwards(layout.river_n2), layout.river_width_m + 2.0, Material.BANK)
    frame.line(sheet.material, _onwards(layout.river_n2), layout.river_width_m, Material.WATER)
    surface = {"track": Material.GRAVEL, "lane": Material.OLD_ASPHALT}
    for road in layout.roads:
        if road.kind != "lane":
            frame.line(sheet.material, _onwards(road.line_n2), road.width_m + 2.0, Material.VERGE)
            frame.line(sheet.material, _onwards(road.line_n2), road.width_m, surface.get(road.kind, Material.ASPHALT))
    sheet.image = paint_tones(sheet, season)
    vary_tint(sheet)
    if season == "winter":
        lay_snow(sheet)
    return sheet


def _border(terrain: Terrain) -> np.ndarray:
    """The vertices of the terrain's border, counter-clockwise from the south-west, (n, 3)."""
    knots = np.linspace(-HALF_M, HALF_M, CELLS + 1)[:-1]
    side = np.full(CELLS, HALF_M)
    x = np.concatenate([knots, side, -knots, -side])
    y = np.concatenate([-side, knots, side, -knots])
    return terrain.on_ground(np.column_stack([x, y]))


def add_surroundings(builder: MeshBuilder, terrain: Terrain, layout: SiteLayout, seed: int, sheet: Sheet) -> None:
    """Adds a ring of ground that begins at the terrain's border and rises away from it, except along the river."""
    border = _border(terrain)
    count = len(border)
    plane = border[None, :, :2] * _RINGS[:, None, None]
    out = np.clip((_RINGS - 1) / (_RINGS[-1] - 1), 0, 1)[:, None]
    rng = stream(seed, "village", "hills")
    hills = 0.55 + 0.3 * gaussian_filter1d(rng.standard_normal(count) * 6, 14, mode="wrap")
    away = cKDTree(walk(_onwards(layout.river_n2), 8.0)[0]).query(plane.reshape(-1, 2))[0].reshape(plane.shape[:2])
    rise = _HILLS_M * out**1.3 * np.clip(hills, 0.15, 1.2) * (1 - np.exp(-((away / 70) ** 2)))
    level = np.stack([gaussian_filter1d(border[:, 2], 1e-3 + 30 * share, mode="wrap") for share in out[:, 0]])
    level[0] = border[:, 2]
    vertices = np.concatenate([plane, (level + rise)[..., None]], -1).reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(len(_RINGS), count)
    a, b = index[:-1].ravel(), index[1:].ravel()
    c, d = np.roll(index, -1, axis=1)[1:].ravel(), np.roll(index, -1, axis=1)[:-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    uv = sheet.frame.px(vertices[:, :2]) / sheet.frame.size_px
    kinds = kind_table()[sheet.frame.sample(sheet.material, vertices[faces].mean(1)[:, :2])]
    builder.add_by_kind(vertices, faces, kinds, Texture.SURROUNDINGS, uv)
