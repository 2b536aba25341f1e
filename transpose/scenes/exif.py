"""What a photo's own metadata says of its camera, and of the place where it was taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from transpose.errors import TransposeError
from transpose.scenes.image_files import UNREADABLE, ImageHeader, exif_of, read_header

_EXIF_IFD, _MAKE = 0x8769, 0x010F
_FOCAL_MM, _FOCAL_35MM, _DIGITAL_ZOOM = 0x920A, 0xA405, 0xA404
_PLANE_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_WIDTH, _HEIGHT = 0xA002, 0xA003
_GPS_IFD = 0x8825
_LATITUDE, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 2, 4, 5, 6  # before each of the first two: N or S, E or W
_BELOW_SEA = 1
# What a unit of the focal plane's resolution is, in millimetres; inches where none is said, as EXIF has it.
_UNIT_MM = {1: 25.4, 2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_PLAUSIBLE_35MM = (8.0, 800.0)
_PLAUSIBLE_SENSOR_MM = (2.5, 80.0)  # its diagonal, from the smallest telephones to medium format
_ROUNDED_MM = 0.5  # EXIF's 35 mm equivalent is a whole number of millimetres
# Of a lens's marked focal length and a sensor's size; Canon's, Nikon's and Fujifilm's agree with calibrations so far.
_PLANE_ROUNDING = 0.02
_SAME_SHAPE = 0.01
# Sensors are 4:3 or 3:2. Photos of other shapes (16:9, squares) are cut from them, and what cameras then write as 35 mm
# equivalent is for some that of the photo, and for others, telephones and drones among them, that of the sensor still.
_SENSORS, _USUAL_SENSOR = (1.3, 1.55), 4 / 3
# Of those who multiply the 35 mm equivalent by the digital zoom themselves. Of others some do, some do not.
_ZOOM_IS_IN_35MM = ("apple",)


@dataclass(frozen=True)
class ExifFocal:
    """A focal length that a photo's metadata say.

    Attributes:
        focal_px: in pixels of the photo.
        rounding: how far it may be off because it was rounded, relative: half of the interval.
        ambiguous: it is one of two, the ends of that interval, and nobody knows which: with a digital zoom counted in,
            or without; by the photo's own diagonal, or by that of the sensor that it was cropped from.
    """

    focal_px: float
    rounding: float
    ambiguous: bool = False

    @property
    def sigma(self) -> float:
        """The standard deviation of that rounding, relative: a uniform distribution's; of one of two, of these."""
        return math.log1p(self.rounding) if self.ambiguous else self.rounding / math.sqrt(3)


@dataclass(frozen=True)
class GpsTag:
    """Where a photo's metadata say that it was taken (WGS 84).

    Attributes:
        longitude_deg, latitude_deg: east and north positive.
        altitude_m: above sea level, as cameras write it; None where none is said.
    """

    longitude_deg: float
    latitude_deg: float
    altitude_m: float | None


def gps_from_exif(path: Path) -> GpsTag | None:
    """The place that EXIF says; None where it says none, or none that can be, such as 0, 0 of one without a fix."""
    try:
        tags = exif_of(read_header(path)).get_ifd(_GPS_IFD)
    except (TransposeError, *UNREADABLE):
        return None
    latitude_deg, longitude_deg = _degrees(tags, _LATITUDE), _degrees(tags, _LONGITUDE)
    if latitude_deg is None or longitude_deg is None or (latitude_deg, longitude_deg) == (0, 0):
        return None
    if abs(latitude_deg) > 90 or abs(longitude_deg) > 180:
        return None
    altitude_m = _number(tags, _ALTITUDE) if _ALTITUDE in tags else None
    if altitude_m is not None and tags.get(_ALTITUDE_REF) in (_BELOW_SEA, bytes([_BELOW_SEA])):
        altitude_m = -altitude_m
    return GpsTag(longitude_deg, latitude_deg, altitude_m)


def _degrees(tags: Mapping[int, Any], tag: int) -> float | None:
    """Of degrees, minutes and seconds; the tag before says which half of the earth."""
    try:
        degrees, minutes, seconds = (float(part) for part in tags[tag])
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(angle):
        return None
    return -angle if str(tags.get(tag - 1, "")).strip("\0 ").upper() in ("S", "W") else angle


def focal_from_exif(path: Path) -> ExifFocal | None:
    """The focal length that EXIF says, None where it says none, or one that cannot be.

    From the 35 mm equivalent, by the diagonal; else from the lens's focal length and the resolution of the focal plane.
    Of photos that have no sensor's shape, the equivalent may be by the diagonal of the sensor that they were cut from:
    between the two lie 9 % of 16:9 and 18 % of squares, and what is said is their middle, and `ambiguous`.
    Both are for the photo as the camera wrote it, whose size EXIF says as well: a photo that was made smaller since, or
    cropped on two sides, is brought back to that.
    """
    try:
        return focal_of_header(read_header(path))
    except TransposeError:
        return None


def focal_of_header(header: ImageHeader) -> ExifFocal | None:
    """The same of an image file's header."""
    return _focal(exif_of(header), header.width, header.height)


def focal_of_image(image: Image.Image) -> ExifFocal | None:
    """The same of a PIL image, which keeps the EXIF of its file."""
    return _focal(image.getexif(), *image.size)


def _focal(exif: Image.Exif, width: int, height: int) -> ExifFocal | None:
    try:
        tags, make = exif.get_ifd(_EXIF_IFD), str(exif.get(_MAKE, ""))
    except UNREADABLE:
        return None
    original = _original(width, height, tags)
    if original is None:
        return None
    return _from_35mm(original, tags, make) or _from_focal_plane(original, tags)


@dataclass(frozen=True)
class _Original:
    """A photo as its camera wrote it: sides in pixels, and pixels of the photo at hand for one of its own."""

    long: float
    short: float
    scale: float
    recorded: bool = True  # EXIF says its sides; else they are taken to be those of the photo at hand

    @property
    def diagonal_px(self) -> float:
        """Of the original, in pixels of the photo at hand."""
        return math.hypot(self.long, self.short) * self.scale

    @property
    def cut(self) -> float:
        """How many times as long the diagonal of the sensor is that it was probably cut from; 1 of a sensor's shape."""
        shape = self.long / self.short
        if _SENSORS[0] <= shape <= _SENSORS[1]:
            return 1.0
        long = max(self.long, self.short * _USUAL_SENSOR)
        return math.hypot(long, long / _USUAL_SENSOR) / math.hypot(self.long, self.short)


def _original(width: int, height: int, tags: Mapping[int, Any]) -> _Original | None:
    """None where the photo at hand is of another shape, and no side says by how much it was made smaller."""
    long, short = max(width, height), min(width, height)
    said = _number(tags, _WIDTH), _number(tags, _HEIGHT)
    if min(said) <= 0:
        return _Original(long, short, 1.0, False)
    was_long, was_short = max(said), min(said)
    if abs(long / short * was_short / was_long - 1) <= _SAME_SHAPE:
        return _Original(was_long, was_short, long / was_long)
    # Cropped: to a side that the original has as well, so that no pixel was resampled.
    sides = {round(was_long), round(was_short)}
    cropped = long <= was_long and {width, height} & sides
    return _Original(was_long, was_short, 1.0) if cropped else None


def _from_35mm(original: _Original, tags: Mapping[int, Any], make: str) -> ExifFocal | None:
    equivalent_mm, focal_mm = _number(tags, _FOCAL_35MM), _number(tags, _FOCAL_MM)
    if not _PLAUSIBLE_35MM[0] <= equivalent_mm <= _PLAUSIBLE_35MM[1]:
        return None
    zoom = max(1.0, _number(tags, _DIGITAL_ZOOM))
    if focal_mm > 0:
        sensor_mm = _DIAGONAL_35MM * focal_mm / equivalent_mm
        # Cameras may count the digital zoom in, as if the sensor were smaller.
        if not _PLAUSIBLE_SENSOR_MM[0] / zoom <= sensor_mm <= _PLAUSIBLE_SENSOR_MM[1]:
            return None
    rounding = _ROUNDED_MM / equivalent_mm
    zoomed = zoom > 1 + rounding and make.strip().lower() not in _ZOOM_IS_IN_35MM
    both = math.sqrt((zoom if zoomed else 1.0) * original.cut)  # between the two meanings
    focal_px = equivalent_mm * both * original.diagonal_px / _DIAGONAL_35MM
    return ExifFocal(focal_px, both * (1 + rounding) - 1, both > 1)


def _from_focal_plane(original: _Original, tags: Mapping[int, Any]) -> ExifFocal | None:
    focal_mm, per_unit = _number(tags, _FOCAL_MM), _number(tags, _PLANE_RESOLUTION)
    unit_mm = _UNIT_MM.get(int(_number(tags, _PLANE_UNIT)) or 2)
    if not original.recorded or focal_mm <= 0 or per_unit <= 0 or unit_mm is None:
        return None
    per_mm = per_unit / unit_mm
    sensor_mm = math.hypot(original.long, original.short) / per_mm
    if not _PLAUSIBLE_SENSOR_MM[0] <= sensor_mm <= _PLAUSIBLE_SENSOR_MM[1]:
        return None
    zoom = max(1.0, _number(tags, _DIGITAL_ZOOM))
    if not _PLAUSIBLE_35MM[0] <= focal_mm * _DIAGONAL_35MM / sensor_mm <= _PLAUSIBLE_35MM[1]:
        return None
    return ExifFocal(focal_mm * per_mm * original.scale * zoom, _PLANE_ROUNDING)


def _number(tags: Mapping[int, Any], tag: int) -> float:
    """A number that a tag holds; 0 where it holds none, such as 0/0, which cameras write for what they do not know."""
    value = tags.get(tag, 0)
    try:
        number = float(value[0] if isinstance(value, tuple | list) else value)
    except (ValueError, TypeError, ZeroDivisionError, IndexError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0
