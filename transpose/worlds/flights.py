"""Flights as they were flown: poses of TOPO-DataGen, tables, and what drones write into their photos."""

from __future__ import annotations

import csv
import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.scenes.image_files import UNREADABLE, exif_of, read_header
from transpose.scenes.image_kinds import IMAGE_ENDINGS
from transpose.scenes.setup.photo_files import plain_name, stem_of
from transpose.scenes.writer import is_stem
from transpose.storage import read_text
from transpose.untrusted.arrays import load_array
from transpose.worlds.areas import geodesist_of
from transpose.worlds.viewpoints import Viewpoint, rotation_from_angles
from transpose.worlds.world import World

log = logging.getLogger(__name__)

_PHOTOS = (".jpg", ".jpeg")
_HEAD_BYTES = 256 * 1024  # EXIF and XMP stand at the beginning of a JPEG
_ANGLES = ("yaw", "pitch", "roll")
_DELIMITERS = ",;\t"
_NAMES = {"lon": "longitude", "long": "longitude", "lng": "longitude", "lat": "latitude"}
_HEIGHTS = ("altitude", "alt")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_EARTH_M = (6.3e6, 6.5e6)
_DRONE_TAG = re.compile(rb"drone-dji:(\w+)\s*(?:=\s*\"|>)\s*([+-]?[\d.]+)")


@dataclass(frozen=True)
class _Track:
    """Places and directions: `places_n3` is longitude, latitude, height where `degrees`, else map coordinates."""

    places_n3: np.ndarray
    angles_n3: np.ndarray  # yaw, pitch, roll of the camera's axis, degrees
    stems: list[str] | None
    degrees: bool


def read_flight(path: Path, world: World, camera: Camera, geoid_m: float = 0.0) -> list[Viewpoint]:
    """Viewpoints of a flight in a world's frame.

    Args:
        path: `*_poses.npy` of TOPO-DataGen (rows of ECEF x, y, z, yaw, pitch, roll); a CSV table with the columns
            longitude, latitude, height or x, y, z (the world's frame), and yaw, pitch, roll, perhaps name; a drone's
            photo, or a folder of them.
        world: which place on earth it is says its reference system.
        camera: of all views.
        geoid_m: how much ellipsoidal heights exceed the world's; only where places are on the earth, not x, y, z.

    Raises:
        TransposeError: the file is missing, broken or says too little, the world is not georeferenced, or a geoid is
            given for places in the world's own frame.
    """
    if not path.exists():
        raise TransposeError(f"{path} does not exist; a flight is an .npy, a .csv, a photo or a folder of photos")
    if path.suffix.lower() == ".npy":
        track = _read_npy(path, world, geoid_m)
    elif path.suffix.lower() == ".csv":
        track = _read_csv(path)
    elif path.is_dir() or path.suffix.lower() in _PHOTOS:
        track = _read_photos(path)
    else:
        raise TransposeError(f"{path} is no flight; it must be an .npy, a .csv, a photo or a folder of photos")
    if geoid_m and not track.degrees:
        raise TransposeError(f"{path} has x, y, z in the world's own map, which --geoid does not move; leave it away")
    places_n3, angles_n3 = track.places_n3, track.angles_n3.copy()
    if track.degrees:
        geodesist = geodesist_of(world, geoid_m)
        angles_n3[:, 0] += geodesist.north_of_map_deg(places_n3)
        places_n3 = geodesist.from_geographic(places_n3)
    stems: list[str | None] = list(track.stems) if track.stems else [None] * len(places_n3)
    if len(set(stems)) < len(stems) and track.stems:
        raise TransposeError(f"{path} names a view twice")
    return [
        Viewpoint(camera, Pose(compose(rotation_from_angles(*angles_3), place_3)), stem)
        for place_3, angles_3, stem in zip(places_n3, angles_n3, stems, strict=True)
    ]


def _read_npy(path: Path, world: World, geoid_m: float) -> _Track:
    try:
        rows_n6 = load_array(path).astype(np.float64)
    except (OSError, TypeError, ValueError) as error:
        raise TransposeError(f"{path} cannot be read ({error})") from None
    if rows_n6.ndim != 2 or rows_n6.shape[1] != 6 or len(rows_n6) == 0 or not np.isfinite(rows_n6).all():
        raise TransposeError(f"{path}: poses are rows of x, y, z, yaw, pitch, roll, not an array of {rows_n6.shape}")
    radius_n = np.linalg.norm(rows_n6[:, :3], axis=1)
    if radius_n.min() < _EARTH_M[0] or radius_n.max() > _EARTH_M[1]:
        raise TransposeError(f"{path}: positions are not on the earth; ECEF metres are expected")
    return _Track(geodesist_of(world, geoid_m).ecef_to_geographic(rows_n6[:, :3]), rows_n6[:, 3:], None, True)


def _read_csv(path: Path) -> _Track:
    try:
        rows = _rows(read_text(path))
    except csv.Error as error:
        raise TransposeError(f"{path} cannot be read as a table ({error})") from None
    if not rows:
        raise TransposeError(f"{path} has no rows under its header")
    have = set(rows[0])
    degrees = {"longitude", "latitude"} <= have
    for name in _HEIGHTS:
        if degrees and "height" not in have and name in have:
            log.warning("%s: its column %s is taken for the height, from which --geoid is subtracted", path, name)
            rows = [{**row, "height": row.get(name, "")} for row in rows]
            have.add("height")
    places = ("longitude", "latitude", "height") if degrees else ("x", "y", "z")
    missing = [name for name in (*places, *_ANGLES) if name not in have]
    if missing:
        raise TransposeError(
            f"{path} lacks the columns {', '.join(missing)}; a flight has longitude, latitude, height (or x, y, z), "
            f"yaw, pitch and roll, and perhaps name; this table has {', '.join(filter(None, rows[0]))}"
        )
    values = []
    for number, row in enumerate(rows, 2):
        try:
            values.append([float(row[name]) for name in (*places, *_ANGLES)])
        except (KeyError, ValueError):
            raise TransposeError(f"{path}, line {number}: a number is missing or none") from None
    values_n6 = np.array(values)
    if not np.isfinite(values_n6).all():
        raise TransposeError(f"{path} holds NaN or infinite numbers")
    if degrees:
        _refuse_beyond_the_poles(path, values_n6)
    stems = [_stem(path, number, row) for number, row in enumerate(rows, 2)] if "name" in have else None
    return _Track(values_n6[:, :3], values_n6[:, 3:], stems, degrees)


def _stem(path: Path, line: int, row: dict[str, str]) -> str:
    """What a row calls its view: the name of a photo, of which folders become a part, or of anything else."""
    name = row.get("name", "").strip()
    stem = stem_of(plain_name(name)) if name.lower().endswith(IMAGE_ENDINGS) else stem_of(f"{plain_name(name)}.png")
    if not is_stem(stem):
        raise TransposeError(
            f"{path}, line {line}: a view cannot be called {name[:80]!r}; name it as its photo is named"
        )
    return stem


def _rows(text: str) -> list[dict[str, str]]:
    """Rows by the lower-case names of their columns, which commas, semicolons or tabs separate.

    Beside semicolons and tabs a comma between digits is a decimal point, and comes out as one.
    """
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):  # what Excel puts first
        lines = lines[1:]
    delimiter = max(_DELIMITERS, key=lines[0].count) if lines else ","
    table = csv.reader(lines, delimiter=delimiter)
    names = [_NAMES.get(name.strip().lower(), name.strip().lower()) for name in next(table, [])]
    rows = [dict(zip(names, row, strict=False)) for row in table if row]
    if delimiter == ",":
        return rows
    return [
        {name: text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text for name, text in row.items()}
        for row in rows
    ]


def _refuse_beyond_the_poles(path: Path, values_n6: np.ndarray) -> None:
    if np.abs(values_n6[:, 0]).max() > 180 or np.abs(values_n6[:, 1]).max() > 90:
        raise TransposeError(f"{path}: longitudes and latitudes must be degrees")


def _read_photos(path: Path) -> _Track:
    photos = sorted(p for p in path.iterdir() if p.suffix.lower() in _PHOTOS) if path.is_dir() else [path]
    if not photos:
        raise TransposeError(f"{path} holds no JPEG photos")
    rows_n6 = np.array([read_photo_pose(photo) for photo in photos])
    return _Track(rows_n6[:, :3], rows_n6[:, 3:], [photo.stem for photo in photos], True)


def read_photo_pose(path: Path) -> tuple[float, float, float, float, float, float]:
    """Longitude, latitude, height (m), and yaw, pitch, roll of the gimbal, degrees, from a drone's photo.

    Place from EXIF, height and angles from DJI's XMP, whose `AbsoluteAltitude` has more digits than EXIF's. Such
    heights are off by tens of metres on many drones without RTK.

    Raises:
        TransposeError: the photo is broken or does not hold them.
    """
    try:
        gps = exif_of(read_header(path)).get_ifd(0x8825)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        tags = {name.decode(): float(value) for name, value in _DRONE_TAG.findall(head)}
    except UNREADABLE as error:
        raise TransposeError(f"{path} is not a readable photo ({error})") from None
    angles = [tags.get(f"Gimbal{name}Degree") for name in ("Yaw", "Pitch", "Roll")]
    try:
        latitude = _degrees(gps[2]) * (-1 if gps.get(1, "N") == "S" else 1)
        longitude = _degrees(gps[4]) * (-1 if gps.get(3, "E") == "W" else 1)
        below = gps.get(5, 0) in (1, b"\x01")
        height = tags.get("AbsoluteAltitude", float(gps.get(6, math.nan)) * (-1 if below else 1))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise TransposeError(f"{path} has no GPS position in its EXIF data; was it exported without?") from None
    if not all(map(math.isfinite, (longitude, latitude, height))):
        raise TransposeError(f"{path} has an incomplete GPS position in its EXIF data")
    if None in angles:
        raise TransposeError(f"{path} has no gimbal angles in its XMP data; write them into a CSV table instead")
    yaw, pitch, roll = (float(angle) for angle in angles if angle is not None)
    return longitude, latitude, height, yaw, pitch, roll


def _degrees(parts: tuple[float, float, float]) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    return degrees + minutes / 60 + seconds / 3600
