"""The unit of photos with poses: metres where somebody says how many a unit is, else one that is left as it is."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.unit import cameras_extent

log = logging.getLogger(__name__)
_UNIT_KEYS = ("unit", "units", "length_unit")
_METRES = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 0.001),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1000.0),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
}


def metres_per_unit(path: Path, content: Mapping[str, Any]) -> float | None:
    """What a project's file says of its unit: `"metric": true`, or a `"unit"` by name or in metres; None: nothing.

    Raises:
        TransposeError: it says something that is no length.
    """
    metric = content.get("metric")
    if metric is not None and not isinstance(metric, bool):
        raise TransposeError(f'{path}: "metric" is {metric!r}, not true or false')
    said = next((key for key in _UNIT_KEYS if content.get(key) is not None), None)
    if said is None or metric is False:
        return 1.0 if metric else None
    unit = content[said]
    metres = _METRES.get(unit.strip().lower(), _as_number(unit)) if isinstance(unit, str) else unit
    if isinstance(metres, bool) or not isinstance(metres, int | float) or not 0 < metres < math.inf:
        raise TransposeError(f'{path}: "{said}" is {unit!r}, which is no length; write "m", or metres as a number')
    return float(metres)


def _as_number(text: str) -> float | None:
    """A number that stands in quotes; None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def write_in_unit(
    photos: Mapping[str, Sequence[PosedPhoto]],
    out: Path,
    unit_m: float | None,
    plan: dict[str, Any],
    facts: Mapping[str, Any],
    progress: Progress,
    remedy: str = "where that is metres, say so with --metric, else give --unit METRES_PER_UNIT",
) -> list[Path]:
    """Writes sections of one project in metres; where its unit is not known, as they are, and says what follows.

    Args:
        photos: of each section.
        out: the scene folder.
        unit_m: metres of the unit, by which poses, points and depth are multiplied; None: not known.
        plan, facts, progress: see `write_posed_photos`.
        remedy: what to do about a unit that is not known.
    """
    metric, factor = unit_m is not None, 1.0 if unit_m is None else unit_m
    written = []
    for section, some in photos.items():
        scaled = some if factor == 1 else [_scaled(photo, factor) for photo in some]
        written.append(write_posed_photos(scaled, out, section, plan, facts, progress, metric=metric))
    if not metric:
        extent = cameras_extent(np.array([photo.pose.center for some in photos.values() for photo in some]))
        log.warning(
            "%s: the unit of its poses is not known, so lengths are told in per cent of the cameras' extent, %.4g "
            "units; %s",
            written[0] if len(written) == 1 else out,
            extent,
            remedy,
        )
    return written


def _scaled(photo: PosedPhoto, factor: float) -> PosedPhoto:
    read = photo.depth
    return replace(
        photo,
        pose=photo.pose.scaled(factor),
        points_n3=None if photo.points_n3 is None else factor * photo.points_n3,
        depth=None if read is None else lambda: read() * np.float32(factor),
        farthest_m=factor * photo.farthest_m,
    )
