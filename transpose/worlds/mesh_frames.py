"""From a mesh file's own axes and unit to a world's: z up, metres, at its place on the map."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.georeference import metric_crs
from transpose.worlds.mesh_offsets import is_on_the_map, offset_beside, unread_beside
from transpose.worlds.mesh_parts import MeshContent
from transpose.worlds.up_axes import to_z_up
from transpose.worlds.world import World

log = logging.getLogger(__name__)

_FAR_M = 1e4
_HIGHEST_M, _LONGEST_M, _SHORTEST_M = 3e3, 1e5, 0.1  # what is beyond has another unit, more often than not
_NO_HEIGHT_M = 5e4
_EARTH_M, _EARTH_TOLERANCE_M = 6.368e6, 3e4  # the ellipsoid's radius, heights included
_LYING_SHARE = 3.0  # so much more surface faces another axis than the one that is taken for up
UNITS_M = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("mm", "millimetre", "millimetres", "millimeter", "millimeters"), 0.001),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), 0.01),
    **dict.fromkeys(("dm", "decimetre", "decimeter"), 0.1),
    **dict.fromkeys(("km", "kilometre", "kilometer"), 1000.0),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
    **dict.fromkeys(("us-ft", "ftus", "usft", "us-survey-foot"), 1200 / 3937),
    **dict.fromkeys(("yd", "yard", "yards"), 0.9144),
}


@dataclass(frozen=True)
class MeshFrame:
    """What is known of a mesh's frame beside what its file says; None leaves it to the file, its format and its folder.

    Attributes:
        up: the axis of the file that points up: x, y, z, -x, -y or -z.
        unit_m: metres per unit of the file.
        origin_3: where the file's (0, 0, 0) is on the map, metres, z up.
        crs: the map, whatever pyproj understands.
        as_wound: which side of its triangles is the front is as the file has it, also where most of it faces down.
    """

    up: str | None = None
    unit_m: float | None = None
    origin_3: tuple[float, float, float] | None = None
    crs: str | None = None
    as_wound: bool = False


def unit_in_metres(said: str) -> float:
    """Metres per unit of a name, such as mm or ft, or of a number; raises `TransposeError` where it is neither."""
    unit_m = UNITS_M.get(said.strip().lower())
    if unit_m is None:
        try:
            unit_m = float(said)
        except ValueError:
            names = "mm, cm, m, km, in, ft, us-ft, yd"
            raise TransposeError(f"--unit is {names}, or metres per unit as a number, not {said}") from None
    if not 0 < unit_m < float("inf"):
        raise TransposeError(f"--unit is the length of a unit in metres, not {said}")
    return unit_m


@dataclass(frozen=True)
class PlacedMesh:
    """Vertices with z up, in metres, float32 relative to `origin_3`; `facts` say how they came there."""

    vertices_v3: np.ndarray
    origin_3: np.ndarray
    facts: dict[str, Any]


def placed(path: Path, vertices_v3: np.ndarray, content: MeshContent, frame: MeshFrame) -> PlacedMesh:
    """A file's vertices in the frame of a world.

    Args:
        path: the mesh, beside which offsets are looked for.
        vertices_v3: float64, in the file's axes and unit.
        content: what the file says of its frame.
        frame: what a person says, which counts more.

    Raises:
        TransposeError: a vertex is NaN or infinite, the map is not metric, or an offset beside the mesh is broken.
    """
    up, unit_m = frame.up or content.up, 1.0 if frame.unit_m is None else frame.unit_m
    vertices_v3 = vertices_v3 @ to_z_up(up).T * unit_m
    if not np.isfinite(vertices_v3).all():
        raise TransposeError(f"{path} has vertices that are NaN or infinite")
    _refuse_geocentric(path, vertices_v3)
    shift_3, crs, place_from = _place(path, vertices_v3, content, frame)
    # Georeferenced meshes: keep float32's digits for the shape, not for the place.
    center_3 = np.round(vertices_v3.mean(0))
    own_3 = center_3 if np.abs(center_3).max() > _FAR_M else np.zeros(3)
    facts = {
        "up": up,
        "up_from": "--up" if frame.up else content.up_from,
        "unit_m": unit_m,
        "unit_from": "--unit" if frame.unit_m is not None else content.unit_from,
        "crs": crs,
        "origin_from": place_from,
    }
    return PlacedMesh((vertices_v3 - own_3).astype(np.float32), own_3 + shift_3, facts)


def _refuse_geocentric(path: Path, vertices_v3: np.ndarray) -> None:
    """Meshes of globes, such as tiles of Cesium or Google, where no axis of the file points up."""
    center_3 = np.median(vertices_v3, axis=0) if len(vertices_v3) else np.zeros(3)
    if abs(center_3[2]) > _NO_HEIGHT_M and abs(np.linalg.norm(center_3) - _EARTH_M) < _EARTH_TOLERANCE_M:
        raise TransposeError(
            f"{path} is geocentric (ECEF: {np.linalg.norm(center_3) / 1e3:.0f} km from the earth's middle), where no "
            "axis points up; export it in a metric map projection or a local frame"
        )


def _place(
    path: Path, vertices_v3: np.ndarray, content: MeshContent, frame: MeshFrame
) -> tuple[np.ndarray, str | None, str | None]:
    """What is added to the vertices, the map's code, and who says so."""
    offset = offset_beside(path)
    shift_3, place_from = np.zeros(3), None
    if frame.origin_3 is not None:
        shift_3, place_from = np.array(frame.origin_3, np.float64), "--origin"
    elif content.origin_3 is not None:
        shift_3, place_from = content.origin_3, "CESIUM_RTC"
    elif offset is not None and offset.origin_3.any():
        if is_on_the_map(vertices_v3, offset):
            log.warning("%s is on the map already; the offset in %s is not added", path, offset.file)
        elif path.stem == "odm_textured_model":
            log.warning(
                "%s is in a frame of its own, whose place %s does not say; take the _geo one", path, offset.file
            )
            offset = None
        else:
            shift_3, place_from = offset.origin_3, offset.file.name
    elif (unread := unread_beside(path)) is not None:
        log.warning("%s, which says where the mesh is on the map, is not read; say it by --origin and --crs", unread)
    said = frame.crs or (offset.crs if offset else None)
    if said is None:
        return shift_3, None, place_from
    placed_v3 = vertices_v3[:: max(1, len(vertices_v3) // 1000)] + shift_3
    source = path if frame.crs or offset is None else offset.file
    return shift_3, metric_crs(said, source, np.stack([placed_v3.min(0), placed_v3.max(0)])), place_from


def warn_of_odd_frames(path: Path, world: World, frame: MeshFrame) -> None:
    """Says so where nobody named axis or unit and what comes out is odd."""
    low_3, high_3 = world.bounds
    extent_3 = (high_3 - low_3).astype(np.float64)
    if frame.unit_m is None and (
        extent_3[2] > _HIGHEST_M or extent_3.max() > _LONGEST_M or extent_3.max() < _SHORTEST_M
    ):
        log.warning(
            "%s would be %s m large; where its unit is not the metre, say --unit mm, cm, ft ...",
            path, " x ".join(f"{each:.4g}" for each in extent_3),
        )  # fmt: skip
    if frame.up is not None:
        return
    a_f3, b_f3, c_f3 = np.moveaxis(world.vertices_v3[world.faces_f3], 1, 0)
    facing_3 = np.abs(np.cross(b_f3 - a_f3, c_f3 - a_f3)).sum(0)
    if facing_3[1] > _LYING_SHARE * (facing_3[2] + 1e-9) and facing_3[1] > facing_3[0]:
        up = str(world.facts["up"])
        other = {"z": "y", "y": "z"}.get(up, "")
        log.warning(
            "%s: most of its surface stands upright, with the file's %s axis taken for up; where it lies on its side, "
            "say --up %s", path, up, other,
        )  # fmt: skip
