"""The numbers of a `transforms.json` under the names and in the forms that its many writers give them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_NUMBERS = (
    *("w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"),
    *("camera_angle_x", "camera_angle_y", "applied_scale"),
)
# Other names of the same numbers, and those of angles in degrees (Instant-NGP's).
_ALSO_CALLED = {"width": "w", "height": "h", "fx": "fl_x", "fy": "fl_y"}
_DEGREES = {"x_fov": "camera_angle_x", "y_fov": "camera_angle_y"}
_MATRICES = ("intrinsics", "intrinsic_matrix", "intrinsic", "camera_matrix", "camera_intrinsics", "K")
_FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
# Pixels of real cameras are square to a per cent or two. A vertical angle of view that says otherwise is the sensor's,
# whatever the image's shape is; Blender has such a number.
_MOST_OBLONG = 1.1
_LEAST_FOCAL = 0.05  # of the width; no lens is as wide as that


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a frame: by the file for all frames, and by the frame itself, which goes before.

    Both as `plain` gives them. A focal length of its own replaces that of all in whatever form it was said.
    """
    replaced = _FOCAL if any(name in own for name in _FOCAL) else ()
    return {**{name: value for name, value in common.items() if name not in replaced}, **own}


def plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry under Nerfstudio's names: numbers as numbers, intrinsics as fl_x, fl_y, cx and cy.

    Without what is `null` or empty text, which says nothing.

    Raises:
        ValueError: something that should be a number is none.
    """
    said = {name: value for name, value in entry.items() if value is not None and value != ""}
    for other, name in _ALSO_CALLED.items():
        if other in said:
            said.setdefault(name, said.pop(other))
    for other, name in _DEGREES.items():
        if other in said:
            said.setdefault(name, math.radians(number(said.pop(other), other)))
    for name in _MATRICES:
        if name in said:
            said = {**_of_intrinsics(said.pop(name), name), **said}
    said.update({name: number(said[name], name) for name in _NUMBERS if name in said})
    if "camera_model" in said:
        said["camera_model"] = str(said["camera_model"]).upper()
    if str(said.get("is_fisheye", "")).lower() in ("false", "0", "no", "none"):
        said["is_fisheye"] = False
    return said


def number(value: Any, name: str) -> float:
    """A number, also where it stands in quotes.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is {value!r}, not a number") from None


def _of_intrinsics(value: Any, name: str) -> dict[str, float]:
    """Of a 3x3 matrix (or one of more rows and columns), nested or flat, `[fx, fy, cx, cy]`, or numbers by name."""
    if isinstance(value, Mapping):
        return {key: each for key, each in plain(value).items() if key in _NUMBERS}
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is no matrix of numbers") from None
    if numbers.shape == (4,):
        return dict(zip(("fl_x", "fl_y", "cx", "cy"), numbers.tolist(), strict=True))
    if numbers.shape in ((9,), (16,)):
        numbers = numbers.reshape(math.isqrt(numbers.size), -1)
    if numbers.shape not in ((3, 3), (3, 4), (4, 4)) or not np.allclose(numbers[2, :3], (0, 0, 1)):
        raise ValueError(f"{name} is no 3x3 matrix that ends in 0 0 1, and no list fx, fy, cx, cy")
    if numbers[0, 1] or numbers[1, 0]:
        raise ValueError(f"{name} has a skew of {numbers[0, 1]:g} px; only cameras without are supported")
    return {"fl_x": numbers[0, 0], "fl_y": numbers[1, 1], "cx": numbers[0, 2], "cy": numbers[1, 2]}


def focal_lengths(frame: Mapping[str, Any], width: float, height: float) -> tuple[float, float, bool]:
    """(fx, fy) in pixels of a merged entry, and whether its `camera_angle_y` was not heeded, for it is not the image's.

    Raises:
        KeyError: nothing says a focal length.
        ValueError: an angle is none in radians, or a focal length none in pixels.
    """
    fx: float | None = frame.get("fl_x")
    fy: float | None = frame.get("fl_y")
    if fx is None and "camera_angle_x" in frame:
        fx = _focal_of_angle("camera_angle_x", frame, width)
    by_angle = None
    if fy is None and "camera_angle_y" in frame:
        by_angle = fy = _focal_of_angle("camera_angle_y", frame, height)
    fx = fy if fx is None else fx
    fy = fx if fy is None else fy
    if fx is None or fy is None:
        raise KeyError("fl_x")
    if 0 < fx < _LEAST_FOCAL * width:
        raise ValueError(f"a focal length of {fx:g} px is too short for {width:g} px; was it divided by the width?")
    if by_angle and not 1 / _MOST_OBLONG < fx / by_angle < _MOST_OBLONG:
        return fx, fx, True
    return fx, fy, False


def _focal_of_angle(name: str, frame: Mapping[str, Any], side_px: float) -> float:
    angle: float = frame[name]
    if not 0 < angle < math.pi:
        raise ValueError(f"{name} is {angle:g}; it is in radians, between 0 and pi")
    return 0.5 * side_px / math.tan(0.5 * angle)
