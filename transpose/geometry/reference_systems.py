"""How people and programs write the name of a coordinate reference system."""

from __future__ import annotations

import re

_EPSG = re.compile(r"\s*(?:urn:ogc:def:crs:)?(?:EPSG[:\s]*)?:?(\d{4,6})\s*(?:\(.*\)|\+.*)?\s*", re.IGNORECASE)
_UTM = re.compile(r"\s*WGS\s?84\s*/?\s*UTM\s*(?:zone\s*)?(\d{1,2})\s*([NS])\s*", re.IGNORECASE)
_ZONE = re.compile(r"\+zone=(\d{1,2})\b")
_NEAR = ("+datum=WGS84", "+ellps=WGS84")


def system_code(said: str) -> str:
    """The EPSG code that is meant by `EPSG:32615 (UTM 15N)`, `epsg 2056`, `2056`, `WGS84 UTM 15N` or PROJ's UTM.

    Vertical parts (`EPSG:25832+5783`) are dropped, as heights are taken over as they are. What is none of these is
    handed back as it is, for pyproj to understand.
    """
    if match := _EPSG.fullmatch(said):
        return f"EPSG:{match[1]}"
    if match := _UTM.fullmatch(said):
        return _utm(int(match[1]), match[2].upper() == "S")
    if "+proj=utm" in said and any(each in said for each in _NEAR) and (match := _ZONE.search(said)):
        return _utm(int(match[1]), "+south" in said)
    return said.strip()


def _utm(zone: int, is_south: bool) -> str:
    return f"EPSG:{(32700 if is_south else 32600) + zone}"
