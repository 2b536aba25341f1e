"""Coordinate reference systems of input data: worlds are metric, so whatever is not is refused with a remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry.geodesy import geodetic_from_ecef

log = logging.getLogger(__name__)

_METRE_TOLERANCE = 1e-9
_DEGREES_EXTENT = 0.5  # no model in metres is so small across and ten times as high


def import_pyproj() -> Any:
    """pyproj, or an error that says how to get it."""
    try:
        import pyproj
    except ImportError as error:
        raise MissingPackageError(f"pyproj ({error})", "geo", "to read coordinate systems") from None
    return pyproj


def metric_crs(crs: Any, source: Path, bounds_23: np.ndarray | None = None) -> str | None:
    """The reference system of a file in the form that a world records it, an EPSG code where it has one.

    Args:
        crs: whatever pyproj understands, or None where the file says nothing.
        source: named in errors.
        bounds_23: lowest and highest x, y, z in the file, to tell degrees from metres where it says nothing.

    Raises:
        TransposeError: the system is geographic or geocentric, or its unit is not the metre.
    """
    if crs is None:
        if bounds_23 is not None and _looks_like_degrees(bounds_23):
            raise TransposeError(
                f"{source} has no coordinate reference system and its numbers look like degrees; "
                "reproject it to a metric system such as UTM first"
            )
        log.warning("%s has no coordinate reference system; metres and z up are assumed", source)
        return None
    pyproj = import_pyproj()
    try:
        system = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise TransposeError(f"{source}: unknown coordinate reference system ({str(error).splitlines()[0]})") from None
    if system.is_geographic or system.is_geocentric:
        kind = "degrees" if system.is_geographic else "geocentric (ECEF)"
        raise TransposeError(
            f"{source} is in {kind} ({system.name}), not in a metric map; reproject it first, "
            f"for example to {_metric_remedy(pyproj, system, bounds_23)}"
        )
    for axis in system.axis_info:
        if abs(axis.unit_conversion_factor - 1) > _METRE_TOLERANCE:
            raise TransposeError(
                f"{source}: the unit of {axis.name.lower()} is {axis.unit_name} ({system.name}), not the metre; "
                "reproject it to a metric system first"
            )
    code = system.to_epsg()
    return f"EPSG:{code}" if code else str(system.to_wkt())


def same_map(a: str | None, b: str | None) -> bool:
    """Whether two recorded systems have one horizontal part; heights are not compared."""
    if a is None or b is None or a == b:
        return a == b
    pyproj = import_pyproj()
    return bool(pyproj.CRS.from_user_input(a).to_2d().equals(pyproj.CRS.from_user_input(b).to_2d()))


def _looks_like_degrees(bounds_23: np.ndarray) -> bool:
    low, high = bounds_23
    extent_3 = high - low
    in_range = abs(low[:2]).max() <= 180 and abs(high[:2]).max() <= 180
    return bool(in_range and extent_3[:2].max() < _DEGREES_EXTENT and extent_3[2] > 10 * extent_3[:2].max())


def _metric_remedy(pyproj: Any, system: Any, bounds_23: np.ndarray | None) -> str:
    """The UTM zone of a place in degrees."""
    if bounds_23 is None:
        return "the UTM zone of the place"
    if system.is_geocentric:
        to_degrees = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True)
        longitude, latitude, _ = to_degrees.transform(*bounds_23.mean(0))
    else:
        longitude, latitude = bounds_23.mean(0)[:2]
    zone = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone} (UTM {zone}{'N' if latitude >= 0 else 'S'})"


class Geodesist:
    """From longitude, latitude and ellipsoidal height, or ECEF, to a world's reference system.

    Heights are taken over as they are: no geoid lies between an ellipsoidal height and a world that does not name its
    vertical system. `vertical_m` is added to them where it is known.
    """

    def __init__(self, crs: str, vertical_m: float = 0.0) -> None:
        pyproj = import_pyproj()
        self.crs, self.vertical_m = crs, vertical_m
        horizontal = pyproj.CRS.from_user_input(crs).to_2d()
        # always_xy: x east and y north whatever the axis order of the definition (LV95 is east-north, others not).
        self._to_map = pyproj.Transformer.from_crs("EPSG:4326", horizontal, always_xy=True)
        self._projection = pyproj.Proj(horizontal)

    def from_geographic(self, lonlath_n3: np.ndarray) -> np.ndarray:
        """Map coordinates (n, 3) of degrees and metres (longitude, latitude, height)."""
        lonlath_n3 = np.asarray(lonlath_n3, np.float64).reshape(-1, 3)
        x_n, y_n = self._to_map.transform(lonlath_n3[:, 0], lonlath_n3[:, 1])
        return np.stack([x_n, y_n, lonlath_n3[:, 2] + self.vertical_m], axis=1)

    def ecef_to_geographic(self, ecef_n3: np.ndarray) -> np.ndarray:
        """Longitude, latitude (degrees) and ellipsoidal height (metres) of ECEF points (n, 3)."""
        return geodetic_from_ecef(np.asarray(ecef_n3, np.float64).reshape(-1, 3))

    def to_geographic(self, xy_n2: np.ndarray) -> np.ndarray:
        """Longitude and latitude (n, 2), degrees, of map coordinates (n, 2)."""
        return np.stack(self._to_map.transform(xy_n2[:, 0], xy_n2[:, 1], direction="INVERSE"), axis=1)

    def north_of_map_deg(self, lonlath_n3: np.ndarray) -> np.ndarray:
        """Bearing of true north on the map (n,), degrees clockwise from the map's y axis (meridian convergence).

        A compass yaw plus this is a yaw in the world's frame.
        """
        lonlath_n3 = np.asarray(lonlath_n3, np.float64).reshape(-1, 3)
        step = np.array([0.0, 1e-4, 0.0])
        way_n3 = self.from_geographic(lonlath_n3 + step) - self.from_geographic(lonlath_n3 - step)
        return np.degrees(np.arctan2(way_n3[:, 0], way_n3[:, 1]))
