"""The cameras of `transforms.json`, in the words of Nerfstudio and of Instant-NGP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transpose.geometry.camera_models import MODELS, projection_by_name
from transpose.geometry.fisheye import Fisheye
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection

_FOCALS = {"fl_x": "fx", "fl_y": "fy"}
_NUMBERS = (
    "cx",
    "cy",
    *(f"k{i}" for i in range(7)),
    "k",
    "p0",
    "p1",
    "p2",
    "s0",
    "s1",
    "s2",
    "s3",
    "sx1",
    "sy1",
    "omega",
)
# Instant-NGP's words for what is no pinhole camera, and is not read.
_FOREIGN = ("ftheta_p0", "latlong", "orthographic")


def nerfstudio_lens(model: str, frame: Mapping[str, Any], width: int, height: int) -> Projection:
    """The projection of a frame, whose own words stand before those of the file.

    A fisheye is `OPENCV_FISHEYE`, or Instant-NGP's `is_fisheye`; a panorama `EQUIRECTANGULAR`, or its
    `equirectangular`. `fisheye_crop_radius` is the radius in pixels beyond which a fisheye shows nothing.

    Raises:
        KeyError: a focal length is missing.
        ValueError: the model is not supported, or what is said of it contradicts itself.
    """
    model = model.upper()
    for word in _FOREIGN:
        if frame.get(word):
            raise ValueError(f"cameras with {word} are not supported; undistort to pinhole images first")
    if model == "EQUIRECTANGULAR" or frame.get("equirectangular"):
        return Panorama(width, height)
    if model not in MODELS:
        raise ValueError(
            f"camera model {model} is not supported ({', '.join(MODELS)}); undistort to pinhole images first"
        )
    if frame.get("is_fisheye") and "FISHEYE" not in model:
        model = "OPENCV_FISHEYE"
    values = {name: float(frame[name]) for name in _NUMBERS if frame.get(name) is not None}
    if model == "OPENCV_FISHEYE" and (values.get("p1") or values.get("p2")):
        raise ValueError("p1 and p2 are none of a fisheye's (OPENCV_FISHEYE); is is_fisheye or camera_model right?")
    if model == "OPENCV" and any(values.get(name) for name in ("k4", "k5", "k6")):
        raise ValueError(
            "k4 of OPENCV is read in different ways by different programs; "
            'say "camera_model": "OPENCV_FISHEYE", or "FULL_OPENCV"'
        )
    values |= {ours: float(frame[theirs]) for theirs, ours in _FOCALS.items() if frame.get(theirs) is not None}
    if "fx" not in values:
        values["fx"] = _focal_of_angle(frame, width)
    if model == "FULL_OPENCV" or "FISHEYE" in model or model in ("FOV", "DIVISION", "SIMPLE_DIVISION"):
        lens = projection_by_name(model, values, width, height)
    else:  # whatever the name, Nerfstudio applies all of these
        lens = projection_by_name("FULL_OPENCV", {**values, "k4": 0.0, "k5": 0.0, "k6": 0.0}, width, height)
    rim = frame.get("fisheye_crop_radius")
    return replace(lens, rim_px=float(rim)) if rim and isinstance(lens, Fisheye) else lens


def _focal_of_angle(frame: Mapping[str, Any], width: int) -> float:
    """From the angle that the width of a pinhole image spans."""
    if frame.get("camera_angle_x") is None:
        raise KeyError("fl_x")
    return 0.5 * width / math.tan(0.5 * float(frame["camera_angle_x"]))
