"""The reference system of a LAS file, with what its GeoTIFF keys say of units and heights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transpose.errors import MissingPackageError, TransposeError
from transpose.worlds.georeference import import_pyproj

_PROJECTED, _MAP_UNIT, _VERTICAL, _HEIGHT_UNIT = 3072, 3076, 4096, 4099  # of the GeoTIFF specification
_MODEL = 1024
_PROJECTED_MODEL, _USER_DEFINED = 1, 32767
_METRES = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}
_NAMES = {9002: "foot", 9003: "US survey foot"}
_FEET_HEIGHTS = {9002: "EPSG:8228", 9003: "EPSG:6360"}  # NAVD88 in either foot: that unit is what counts


def las_crs(path: Path, header: Any) -> Any:
    """The system of an open LAS file's header, or None where it has none.

    Raises:
        TransposeError: its record makes no sense, is user-defined, or names a unit that is not that of its map.
        MissingPackageError: pyproj is missing.
    """
    keys = _geo_keys(header)
    has_wkt = any(type(vlr).__name__ == "WktCoordinateSystemVlr" and vlr.string for vlr in _records(header))
    if not has_wkt and keys.get(_MODEL) == _PROJECTED_MODEL and keys.get(_PROJECTED, _USER_DEFINED) == _USER_DEFINED:
        raise TransposeError(
            f"{path}: its map is user-defined by GeoTIFF keys, which cannot be read; name the same one with --crs"
        )
    try:
        system = header.parse_crs()
    except ImportError as error:
        raise MissingPackageError(f"pyproj ({error})", "geo", "to read coordinate systems") from None
    except Exception as error:  # a record that is there but makes no sense
        raise TransposeError(
            f"{path}: its coordinate reference system cannot be read ({error}); give it with --crs"
        ) from None
    return system if system is None or has_wkt else _with_units(path, system, keys)


def _records(header: Any) -> list[Any]:
    return [*header.vlrs, *(header.evlrs or ())]


def _geo_keys(header: Any) -> dict[int, int]:
    """Codes by number of key; keys whose values stand elsewhere in the file say no units."""
    directories = [vlr for vlr in _records(header) if type(vlr).__name__ == "GeoKeyDirectoryVlr"]
    return {
        key.id: key.value_offset for vlr in directories for key in vlr.geo_keys if key.tiff_tag_location in (0, None)
    }


def _with_units(path: Path, system: Any, keys: dict[int, int]) -> Any:
    """A system with the units of map and heights that keys name beside its code."""
    pyproj = import_pyproj()
    unit = keys.get(_MAP_UNIT)
    own = system.axis_info[0].unit_conversion_factor
    if unit in _METRES and system.is_projected and abs(_METRES[unit] / own - 1) > 1e-5:
        raise TransposeError(
            f"{path}: its keys name {system.name}, whose unit is {system.axis_info[0].unit_name}, and another unit, "
            f"{_NAMES.get(unit, 'the metre')}; name the map that its coordinates are in with --crs"
        )
    vertical = keys.get(_VERTICAL, 0)
    height_unit = keys.get(_HEIGHT_UNIT)
    if system.is_projected and height_unit in _FEET_HEIGHTS:
        heights = pyproj.CRS.from_user_input(_FEET_HEIGHTS[height_unit])
    elif system.is_projected and 1024 < vertical < _USER_DEFINED:
        try:
            heights = pyproj.CRS.from_epsg(vertical)
        except pyproj.exceptions.CRSError:  # old codes of datums: they say nothing of units
            return system
    else:
        return system
    if not heights.is_vertical:
        return system
    compound = pyproj.crs.CompoundCRS(f"{system.name} + {heights.name}", [system, heights])
    return pyproj.CRS.from_wkt(compound.to_wkt())
