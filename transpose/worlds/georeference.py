"""Coordinate reference systems of input data: worlds are metric, so whatever is not is refused with a remedy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError, quoted
from transpose.geometry.geodesy import geodetic_from_ecef

log = logging.getLogger(__name__)

_METRE_TOLERANCE = 1e-9
_DEGREES_EXTENT = 0.5  # no model in metres is so small across and ten times as high
_MOST_SCALE_ERROR = 0.01  # of a projection at the place; national grids and UTM stay well below
_NOTED_SCALE_ERROR = 0.004
_STEP_M = 50.0
_AREA_MARGIN_DEG = 1.0
_RASTERS = (".tif", ".tiff", ".vrt", ".asc", ".img", ".jpg", ".jpeg", ".png", ".jp2")


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
        bounds_23: lowest and highest x, y, z in the file: to measure the scale of the projection there, and to tell
            degrees from metres where the file says nothing.

    Raises:
        TransposeError: the system is geographic or geocentric, its unit is not the metre, a metre in it is none on the
            ground there, or its axes do not point east and north.
    """
    recorded, height_m = metric_map(crs, source, bounds_23)
    if height_m != 1:
        system = import_pyproj().CRS.from_user_input(crs)
        raise TransposeError(
            f"{source}: the unit of heights is {system.axis_info[-1].unit_name} ({system.name}), not the metre; "
            "convert them to metres first"
        )
    return recorded


def metric_map(
    crs: Any, source: Path, bounds_23: np.ndarray | None = None, assumed: str = "metres and z up are assumed"
) -> tuple[str | None, float]:
    """As `metric_crs` for who converts heights: the recorded system, and the metres in its unit of heights.

    Where heights are to be converted, the recorded system is the horizontal part alone. `assumed` is said of files
    without a system.

    Raises:
        TransposeError: as `metric_crs`, but for the unit of heights.
    """
    if crs is None:
        if bounds_23 is not None and _looks_like_degrees(bounds_23):
            raise TransposeError(
                f"{source} has no coordinate reference system and its numbers look like degrees; "
                "reproject it to a metric system such as UTM first"
            )
        log.warning("%s has no coordinate reference system; %s", source, assumed)
        return None, 1.0
    pyproj = import_pyproj()
    try:
        system = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise TransposeError(f"{source}: unknown coordinate reference system ({str(error).splitlines()[0]})") from None
    if system.is_engineering:
        log.warning("%s is in a local system (%s); %s", source, system.name, assumed)
        return None, 1.0
    _refuse_other_maps(pyproj, system, source, bounds_23)
    height_m = height_unit_m(system)
    if height_m != 1:
        system = system.to_2d()
    code = system.to_epsg()
    return f"EPSG:{code}" if code else str(system.to_wkt()), height_m


def height_unit_m(system: Any) -> float:
    """Metres in the unit of a system's vertical axis; 1 where it has none."""
    vertical = [axis for axis in system.axis_info if axis.direction in ("up", "down")]
    factor = float(vertical[0].unit_conversion_factor) if vertical else 1.0
    return 1.0 if abs(factor - 1) < _METRE_TOLERANCE else factor


def same_map(a: str | None, b: str | None) -> bool:
    """Whether two recorded systems have one horizontal part; heights are not compared."""
    if a is None or b is None or a == b:
        return a == b
    pyproj = import_pyproj()
    return bool(pyproj.CRS.from_user_input(a).to_2d().equals(pyproj.CRS.from_user_input(b).to_2d()))


def utm_zone(longitude: float, latitude: float) -> tuple[str, str]:
    """EPSG code and name of the UTM zone of a place in degrees, or of the polar grid beyond them."""
    if latitude > 84 or latitude < -80:
        return ("EPSG:5041", "UPS North") if latitude > 0 else ("EPSG:5042", "UPS South")
    zone = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}", f"UTM {zone}{'N' if latitude >= 0 else 'S'}"


def _refuse_other_maps(pyproj: Any, system: Any, source: Path, bounds_23: np.ndarray | None) -> None:
    if system.is_geographic or system.is_geocentric:
        kind = "degrees" if system.is_geographic else "geocentric (ECEF)"
        raise TransposeError(
            f"{source} is in {kind} ({system.name}), not in a metric map; reproject it first, "
            f"for example to {_remedy(pyproj, system, source, bounds_23)}"
        )
    horizontal = system.to_2d().axis_info
    for axis in horizontal:
        if abs(axis.unit_conversion_factor - 1) > _METRE_TOLERANCE:
            raise TransposeError(
                f"{source}: the unit of {axis.name.lower()} is {axis.unit_name} ({system.name}), not the metre; "
                f"reproject it to a metric system first, for example to {_remedy(pyproj, system, source, bounds_23)}"
                f"{_said_of_heights(system, source)}"
            )
    # Around the poles both axes point north or south.
    directions = {axis.direction for axis in horizontal}
    if directions not in ({"east", "north"}, {"north"}, {"south"}):
        raise TransposeError(
            f"{source}: the axes of {system.name} point {' and '.join(sorted(directions))}, not east and north; "
            f"reproject it first, for example to {_remedy(pyproj, system, source, bounds_23)}"
        )
    if bounds_23 is not None:
        _check_scale(pyproj, system, source, bounds_23)


def _check_scale(pyproj: Any, system: Any, source: Path, bounds_23: np.ndarray) -> None:
    """Refuses projections whose metre is none at the place, such as web Mercator away from the equator."""
    scale_2 = local_scale(system, bounds_23.mean(0)[:2])
    worst = float(scale_2[np.abs(np.log(scale_2)).argmax()]) if (scale_2 > 0).all() else np.nan
    if abs(worst - 1) <= _NOTED_SCALE_ERROR:
        return
    if abs(worst - 1) <= _MOST_SCALE_ERROR:
        log.warning("%s: a metre of %s is %.4f m on the ground there; poses get its metres", source, system.name, worst)
        return
    if elsewhere := _elsewhere(system, bounds_23):
        raise TransposeError(f"{source}: {elsewhere}; is {system.name} its system, and are x and y in their order?")
    raise TransposeError(
        f"{source} is in {system.name}, whose metre is {worst:.3f} m on the ground there; "
        f"reproject it first, for example to {_remedy(pyproj, system, source, bounds_23)}"
    )


def local_scale(system: Any, xy_2: np.ndarray) -> np.ndarray:
    """Metres on the ground in a metre of a map at a place (2,): most and least over all directions; NaN outside."""
    pyproj = import_pyproj()
    # The measure is geodesic on WGS 84: the map's own ellipsoid may be the sphere of web Mercator.
    around_n2 = np.asarray(xy_2, np.float64) + _STEP_M * np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    lon_n, lat_n = _degrees(pyproj, system, around_n2)
    if not (np.isfinite(lon_n).all() and np.isfinite(lat_n).all()):
        return np.full(2, np.nan)
    bearing_2, _, metres_2 = pyproj.Geod(ellps="WGS84").inv(lon_n[::2], lat_n[::2], lon_n[1::2], lat_n[1::2])
    ways_22 = metres_2 / (2 * _STEP_M) * np.stack([np.sin(np.radians(bearing_2)), np.cos(np.radians(bearing_2))])
    return np.linalg.svd(ways_22, compute_uv=False)


def _degrees(pyproj: Any, system: Any, coordinates_nk: np.ndarray) -> tuple[Any, Any]:
    """Longitudes and latitudes of coordinates (..., 2 or 3) of a map; NaN where the system is broken.

    Three coordinates may be geocentric ones.
    """
    horizontal = system.to_2d() if coordinates_nk.shape[-1] == 2 else system
    try:
        to_degrees = pyproj.Transformer.from_crs(horizontal, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:
        nowhere = np.full(coordinates_nk.shape[:-1], np.nan)
        return nowhere, nowhere
    longitude, latitude = to_degrees.transform(*coordinates_nk.T)[:2]
    return longitude, latitude


def _elsewhere(system: Any, bounds_23: np.ndarray) -> str:
    """Where coordinates lie if that is outside the area that a system is made for, else nothing."""
    lon, lat = _degrees(import_pyproj(), system, bounds_23.mean(0)[:2])
    if not (np.isfinite(lon) and np.isfinite(lat)):
        return "its coordinates lie nowhere on earth"
    area = system.area_of_use
    if area is None or area.west > area.east:
        return ""
    low_2, high_2 = np.array([area.west, area.south]), np.array([area.east, area.north])
    off_2 = np.maximum(low_2 - [lon, lat], [lon, lat] - high_2)
    if off_2.max() <= _AREA_MARGIN_DEG:
        return ""
    return f"its coordinates lie at longitude {lon:.2f}, latitude {lat:.2f}, outside the area of that system"


def _looks_like_degrees(bounds_23: np.ndarray) -> bool:
    low, high = bounds_23
    extent_3 = high - low
    in_range = abs(low[:2]).max() <= 180 and abs(high[:2]).max() <= 180
    return bool(in_range and extent_3[:2].max() < _DEGREES_EXTENT and extent_3[2] > 10 * extent_3[:2].max())


def _remedy(pyproj: Any, system: Any, source: Path, bounds_23: np.ndarray | None) -> str:
    """The UTM zone of a place, and the command that goes there."""
    if bounds_23 is None:
        return "the UTM zone of the place"
    longitude, latitude = _degrees(pyproj, system, bounds_23.mean(0))
    if not (np.isfinite(longitude) and np.isfinite(latitude)):
        return "the UTM zone of the place"
    code, name = utm_zone(longitude, latitude)
    ending = source.suffix.lower()
    if ending in (".las", ".laz"):
        own = system.to_epsg()  # the file may not name it itself
        source_said = f" --filters.reprojection.in_srs=EPSG:{own}" if own else ""
        target = code + ("+5703" if height_unit_m(system) != 1 else "")  # so that heights become metres, too
        return (
            f"{code} ({name}): pdal translate {source} OUT{ending} reprojection{source_said} "
            f"--filters.reprojection.out_srs={target}"
        )
    if ending in _RASTERS:
        return f"{code} ({name}): gdalwarp -r bilinear -t_srs {code} {quoted(source)} OUT.tif"
    return f"{code} ({name})"


def _said_of_heights(system: Any, source: Path) -> str:
    """What to do about heights in feet beside a map in feet: reprojecting leaves them as they are."""
    code, unit, ending = system.to_2d().to_epsg(), system.to_2d().axis_info[0].unit_name, source.suffix.lower()
    if ending in _RASTERS:
        return f'; where its heights are feet as well, say so then: gdal_edit.py -units "{unit}" OUT.tif'
    if ending not in (".las", ".laz"):
        return ", its heights in metres as well"
    if height_unit_m(system) != 1 or not code:
        return ""
    return f"; where its heights are US survey feet as well, with in_srs=EPSG:{code}+6360 and +5703 after out_srs"


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
