"""Names of coordinate reference systems."""

from __future__ import annotations

import pytest

from transpose.geometry.reference_systems import system_code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("2056", "EPSG:2056"),
        (" epsg 2056 ", "EPSG:2056"),
        ("EPSG:32615 (UTM 15N)", "EPSG:32615"),
        ("EPSG:25832+5783", "EPSG:25832"),
        ("urn:ogc:def:crs:EPSG::4326", "EPSG:4326"),
        ("WGS84 UTM 15N", "EPSG:32615"),
        ("WGS 84 / UTM zone 7 S", "EPSG:32707"),
        ("wgs84 utm 7s", "EPSG:32707"),
        ("+proj=utm +zone=33 +datum=WGS84 +units=m", "EPSG:32633"),
        ("+proj=utm +zone=33 +south +ellps=WGS84", "EPSG:32733"),
        ("+proj=utm +zone=33 +ellps=bessel", "+proj=utm +zone=33 +ellps=bessel"),
        ("+proj=lcc +zone=33 +datum=WGS84", "+proj=lcc +zone=33 +datum=WGS84"),
        ("+proj=utm +datum=WGS84", "+proj=utm +datum=WGS84"),
        (" ESRI:102003 ", "ESRI:102003"),
        ("123", "123"),
    ],
)
def test_what_is_meant_by_a_name(said: str, code: str) -> None:
    assert system_code(said) == code
