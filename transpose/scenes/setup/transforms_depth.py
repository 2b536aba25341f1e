"""Depth images beside a `transforms.json`, and the many ways in which it says their unit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from transpose.scenes import files
from transpose.scenes.setup.photo_files import plain_name
from transpose.scenes.setup.transforms_json import number
from transpose.untrusted.paths import below_project, is_file

log = logging.getLogger(__name__)
_PATHS = ("depth_file_path", "depth_path", "depth_image_path")
_IMAGES, _ARRAYS = (".png", ".tif", ".tiff"), (".npy", ".npz")
_MILLIMETRE = 1e-3
# Of arrays that nothing is said of: numbers that stay below are no millimetres of a place, and others no metres.
_HIGHEST_METRES = 100.0
_UNITS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e-2),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), _MILLIMETRE),
}
DepthReader = Callable[[], np.ndarray]


class DepthImages:
    """The depth images of one file of frames.

    Attributes:
        missing: how many are named and not there, so far.
    """

    def __init__(self, folder: Path) -> None:
        self.missing = 0
        self._folder = folder
        self._unit_of_arrays: float | None = None
        self._told = False

    def reader(self, frame: Mapping[str, Any]) -> DepthReader | None:
        """What reads the depth of a frame, metres along z as `files.read_depth`; None where it has none.

        Raises:
            ValueError: its file is of a kind that is not read, or its unit is none.
        """
        said = next((frame[name] for name in _PATHS if frame.get(name)), None)
        if said is None:
            return None
        name = plain_name(str(said))
        path = below_project(self._folder, name)
        ending = PurePosixPath(name).suffix.lower()
        if ending not in (*_IMAGES, *_ARRAYS):
            raise ValueError(
                f"depth in {ending or 'a file without ending'} is not read; write 16-bit PNG in millimetres, "
                'or .npy in metres with "depth_unit_scale_factor": 1'
            )
        if path is None or not is_file(path):
            self.missing += 1
            return None
        unit = self._unit(frame, whole=ending in _IMAGES)
        if ending in _ARRAYS:
            return partial(_array, path, self._of_arrays(path) if unit is None else unit)
        return partial(read_depth_image, path, _MILLIMETRE if unit is None else unit)

    def _unit(self, frame: Mapping[str, Any], whole: bool) -> float | None:
        """How many metres (or units of the poses) one step of depth is; None where nothing says it."""
        # Instant-NGP's name is for whole numbers, and not above zero means that there is none.
        for name in ("depth_unit_scale_factor", *(("integer_depth_scale",) if whole else ())):
            if name in frame and (value := number(frame[name], name)) > 0:
                return value
        if "depth_unit" in frame:
            unit = str(frame["depth_unit"]).strip().lower()
            if unit not in _UNITS:
                raise ValueError(f"depth_unit is {frame['depth_unit']!r}, not m, cm or mm")
            return _UNITS[unit]
        if "depth_scale" in frame and (value := number(frame["depth_scale"], "depth_scale")) > 0:
            steps = value if value >= 1 else 1 / value
            self._tell(f"depth_scale is {value:g}: depth is taken to have {steps:g} steps a metre")
            return 1 / steps
        return None

    def _of_arrays(self, path: Path) -> float:
        """The unit of arrays that nothing is said of, by the first of them."""
        if self._unit_of_arrays is None:
            depth_hw = _array(path, 1.0)
            highest = float(np.nanmax(depth_hw, initial=0.0))
            self._unit_of_arrays = 1.0 if highest < _HIGHEST_METRES else _MILLIMETRE
            unit = "metres" if self._unit_of_arrays == 1 else "millimetres"
            self._tell(f"nothing says the unit of depth; with numbers up to {highest:.4g} it is taken for {unit}")
        return self._unit_of_arrays

    def _tell(self, text: str) -> None:
        if not self._told:
            log.warning('%s: %s; "depth_unit_scale_factor" says it', self._folder, text)
        self._told = True


def read_depth_image(path: Path, unit_m: float) -> np.ndarray:
    """Depth of a 16-bit image whose steps are `unit_m`, metres, (height, width) float32; NaN where unknown."""
    return files.read_depth(path) * np.float32(unit_m / _MILLIMETRE)


def _array(path: Path, unit_m: float) -> np.ndarray:
    depth_hw = files.read_depth(path) if path.suffix.lower() == ".npz" else files.read_array(path)
    depth_hw = depth_hw * np.float32(unit_m)
    return np.where(files.is_depth(depth_hw), depth_hw, np.nan)
