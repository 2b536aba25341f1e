"""The cameras of `transforms.json`, in the words of Nerfstudio and of Instant-NGP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transpose.geometry.camera_models import MODELS, PARAMETERS, projection_by_name
from transpose.geometry.fisheye import Fisheye
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection
from transpose.scenes.setup.transforms_json import focal_lengths, number

_BROWN = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
# Instant-NGP's words for what is no pinhole camera, and is not read.
_FOREIGN = ("ftheta_p0", "latlong", "orthographic")


def nerfstudio_lens(frame: Mapping[str, Any], width: int, height: int) -> tuple[Projection, bool]:
    """The projection of a frame, of all that is said of it, and whether its `camera_angle_y` was not heeded.

    A fisheye is `OPENCV_FISHEYE`, or Instant-NGP's `is_fisheye`; a panorama `EQUIRECTANGULAR`, or its
    `equirectangular`. `fisheye_crop_radius` is the radius in pixels beyond which a fisheye shows nothing.

    Raises:
        KeyError: a focal length is missing.
        ValueError: the model is not supported, or what is said of it contradicts itself.
    """
    model = str(frame.get("camera_model", "OPENCV"))
    for word in _FOREIGN:
        if frame.get(word):
            raise ValueError(f"cameras with {word} are not supported; undistort to pinhole images first")
    if model == "EQUIRECTANGULAR" or frame.get("equirectangular"):
        return Panorama(width, height), False
    if model not in MODELS:
        raise ValueError(
            f"camera model {model} is not supported ({', '.join(MODELS)}); undistort to pinhole images first"
        )
    if frame.get("is_fisheye") and "FISHEYE" not in model:
        model = "OPENCV_FISHEYE"
    values = {name: number(frame[name], name) for name in PARAMETERS - {"f", "fx", "fy"} if name in frame}
    if model == "OPENCV_FISHEYE" and (values.get("p1") or values.get("p2")):
        raise ValueError("p1 and p2 are none of a fisheye's (OPENCV_FISHEYE); is is_fisheye or camera_model right?")
    if model in _BROWN and model != "FULL_OPENCV" and any(values.get(name) for name in ("k4", "k5", "k6")):
        raise ValueError(
            "k4 of OPENCV is read in different ways by different programs; "
            'say "camera_model": "OPENCV_FISHEYE", or "FULL_OPENCV"'
        )
    fisheye = model not in _BROWN
    if fisheye and "fl_x" not in frame:
        raise KeyError("fl_x")  # an angle of view says it of pinhole cameras alone
    fx, fy, unheeded = focal_lengths(frame, width, height)
    values |= {"fx": fx, "fy": fy}
    if not fisheye and model != "FULL_OPENCV":
        model = "OPENCV"  # whatever its name, Nerfstudio applies all coefficients that there are
    lens = projection_by_name(model, values, width, height)
    rim = frame.get("fisheye_crop_radius")
    return (replace(lens, rim_px=float(rim)) if rim and isinstance(lens, Fisheye) else lens), unheeded
