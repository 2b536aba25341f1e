"""From a coloured point cloud to a world: outliers out, then a surface with the cloud's own colours on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.classes import CLASS_NAMES
from transpose.worlds.ball_pivoting import ball_pivoted
from transpose.worlds.drape import draped
from transpose.worlds.georeference import metric_map
from transpose.worlds.landcover import class_table
from transpose.worlds.point_files import open_points
from transpose.worlds.point_tiles import Progress, Survey, survey, tiled
from transpose.worlds.points import CHUNK_POINTS, PointFile, TurnedPoints
from transpose.worlds.topmost import Topmost, ground_facts, without_outliers
from transpose.worlds.up_axes import to_z_up
from transpose.worlds.world import World, vertex_colored_world

log = logging.getLogger(__name__)

_MAX_CELLS = 40_000_000
_FINEST_M = 0.01
_LYING = 2.0  # times the shortest side: a place that is so much higher than it is wide may lie on its side


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
    up: str | None = None  # the file's axis that points up: z

    def __post_init__(self) -> None:
        lengths = [v for v in (self.cell_m, self.gap_m, self.tolerance_m) if v is not None]
        if min([*lengths, 1]) < 0 or self.cell_m == 0 or self.outlier_ratio <= 0 or self.neighbors < 2:
            raise TransposeError(f"cell, gap, tolerance and outlier ratio must be positive, got {self}")
        if self.surface not in ("height", "ball"):
            raise TransposeError(f"the surface of a cloud is height or ball, not {self.surface}")
        to_z_up(self.up or "z")


def build_cloud(
    path: Path,
    options: CloudOptions | None = None,
    chunk_points: int = CHUNK_POINTS,
    progress: Progress = lambda chunks, what, total: chunks,
) -> World:
    """The surface seen from above of a LAS, LAZ or coloured PLY file.

    The file is read twice, `chunk_points` at a time, which changes nothing about the result.

    Raises:
        TransposeError: the file is missing, broken, empty or without colour, or its frame is not metric.
        MissingPackageError: the extra `geo` is missing and the file is LAS or LAZ.
    """
    options = options or CloudOptions()
    file, crs, facts = _surveyed(path, options, chunk_points, progress)
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
        "up": options.up or "z",
        "up_from": "--up" if options.up else "the map" if crs else "assumed",
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


def _surveyed(
    path: Path, options: CloudOptions, chunk_points: int, progress: Progress
) -> tuple[PointFile, str | None, Survey]:
    """The points with z up in metres, their map, and what a first pass over them tells."""
    file = open_points(path)
    said = options.crs or file.crs
    turn_33 = to_z_up(options.up or "z")
    if said is not None and options.up not in (None, "z"):
        raise TransposeError(f"{path} is in a map, where z is up; leave --up {options.up} out, or --crs")
    if options.up not in (None, "z"):
        file = TurnedPoints(file, turn_33)
    facts = survey(file, chunk_points, progress)
    # Without strays, which may lie anywhere on earth.
    box_23 = np.column_stack([np.stack([facts.low_2, facts.high_2]) + facts.origin_3[:2], facts.bounds_23[:, 2]])
    crs, height_m = metric_map(said, path, box_23, _assumed(options, box_23))
    if height_m != 1:
        log.warning("%s: its heights are converted to metres, %.7g of them in a unit", path, height_m)
        scale_3 = np.array([1.0, 1.0, height_m])
        file = TurnedPoints(file, np.diag(scale_3))
        facts = replace(
            facts,
            origin_3=np.append(facts.origin_3[:2], np.round(facts.origin_3[2] * height_m)),
            bounds_23=facts.bounds_23 * scale_3,
        )
    return file, crs, facts


def _assumed(options: CloudOptions, box_23: np.ndarray) -> str:
    """What is taken for granted of a cloud without a map, with its size for a person to see whether that is right."""
    if options.up is not None:
        return "metres are assumed"
    x_m, y_m, z_m = box_23[1] - box_23[0]
    size = f"metres and z up are assumed: it is {x_m:.3g} x {y_m:.3g} x {z_m:.3g} m"
    if z_m > _LYING * min(x_m, y_m):
        shortest = "x" if x_m < y_m else "y"
        return f"{size} and lies on its side if {shortest} is up (--up {shortest})"
    return f"{size} (else: --up)"


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
