"""From a coloured point cloud to a world: outliers out, then a surface with the cloud's own colours on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.classes import CLASS_NAMES
from transpose.worlds.ball_pivoting import ball_pivoted
from transpose.worlds.drape import draped
from transpose.worlds.georeference import metric_crs
from transpose.worlds.landcover import class_table
from transpose.worlds.point_files import CHUNK_POINTS, open_points
from transpose.worlds.point_tiles import Progress, Survey, survey, tiled
from transpose.worlds.topmost import Topmost, ground_facts, without_outliers
from transpose.worlds.world import World, vertex_colored_world

log = logging.getLogger(__name__)

_MAX_CELLS = 40_000_000
_FINEST_M = 0.01


@dataclass(frozen=True)
class CloudOptions:
    """How points become a surface; lengths in metres, None chooses by the spacing of the points."""

    cell_m: float | None = None  # of the grid of heights and colours: the spacing
    gap_m: float | None = None  # holes up to this width are closed: 16 spacings
    tolerance_m: float | None = None  # how far flat triangles may leave the points: half a spacing
    surface: str = "height"  # seen from above, or "ball": through the points
    outlier_ratio: float = 3.0  # standard deviations over the mean distance to neighbours; infinite keeps every point
    neighbors: int = 8
    crs: str | None = None  # of a file that does not say

    def __post_init__(self) -> None:
        lengths = [v for v in (self.cell_m, self.gap_m, self.tolerance_m) if v is not None]
        if min([*lengths, 1]) < 0 or self.cell_m == 0 or self.outlier_ratio <= 0 or self.neighbors < 2:
            raise TransposeError(f"cell, gap, tolerance and outlier ratio must be positive, got {self}")
        if self.surface not in ("height", "ball"):
            raise TransposeError(f"the surface of a cloud is height or ball, not {self.surface}")


def build_cloud(
    path: Path,
    options: CloudOptions | None = None,
    chunk_points: int = CHUNK_POINTS,
    progress: Progress = lambda chunks, what, total: chunks,
) -> World:
    """The surface seen from above of a LAS, LAZ or coloured PLY file; z is up in all of them.

    The file is read twice, `chunk_points` at a time, which changes nothing about the result.

    Raises:
        TransposeError: the file is missing, broken, empty or without colour, or its frame is not metric.
        MissingPackageError: the extra `geo` is missing and the file is LAS or LAZ.
    """
    options = options or CloudOptions()
    file = open_points(path)
    facts = survey(file, chunk_points, progress)
    crs = metric_crs(options.crs or file.crs, path, facts.bounds_23)
    cell_m = _cell(options.cell_m or max(facts.spacing_m, _FINEST_M), facts)
    raster = Topmost(facts, cell_m)
    kept = []
    outliers = file.count
    with tiled(file, facts, cell_m, chunk_points, progress) as tiles:
        for points_n in without_outliers(tiles, options.neighbors, options.outlier_ratio):
            outliers -= len(points_n)
            raster.add(points_n)
            if options.surface == "ball":
                kept.append(points_n)
    relief, picture_hw3 = raster.finished(facts.spacing_m, options.gap_m)
    record: dict[str, Any] = {
        "kind": "cloud",
        "file": path.name,
        "surface": options.surface,
        "crs": crs,
        "points": file.count,
        "outliers": outliers,
        "spacing_m": round(facts.spacing_m, 4),
        "cell_m": round(cell_m, 4),
        "ground": ground_facts(relief),
    }
    more: dict[str, Any] = {"origin_3": facts.origin_3, "facts": record}
    if relief.class_hw is not None:
        more["class_names"] = CLASS_NAMES
    if options.surface == "ball":
        return _ball_world(path.stem, np.concatenate(kept), facts.spacing_m, more)
    tolerance_m = options.tolerance_m if options.tolerance_m is not None else facts.spacing_m / 2
    return draped(path.stem, relief, picture_hw3, relief.grid, tolerance_m, **more)


def _ball_world(name: str, points_n: np.ndarray, spacing_m: float, more: dict[str, Any]) -> World:
    from scipy.spatial import cKDTree

    vertices_v3, faces_f3, rgb_v3 = ball_pivoted(points_n["xyz"], points_n["rgb"], spacing_m)
    if "class_names" in more:
        middles_f3 = vertices_v3[faces_f3].mean(1)
        _, nearest_f = cKDTree(points_n["xyz"]).query(middles_f3, workers=-1)
        more["face_class_f"] = class_table()[points_n["class"][nearest_f]]
    return vertex_colored_world(name, vertices_v3, faces_f3, rgb_v3, **more)


def _cell(wanted_m: float, facts: Survey) -> float:
    least_m = float(np.sqrt((facts.high_2 - facts.low_2).prod() / _MAX_CELLS))
    if wanted_m < least_m:
        log.warning("the cloud is too wide for cells of %.3f m; they get %.3f m", wanted_m, least_m)
    return max(wanted_m, least_m)
