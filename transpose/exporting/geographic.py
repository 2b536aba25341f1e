"""Poses on the earth: longitude, latitude and height of places whose world is in a map projection, with ellipses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from transpose.exporting.estimates import PosedImage
from transpose.worlds.georeference import Geodesist, import_pyproj

_CHI2_95 = 5.991  # of two degrees of freedom: within this squared distance lies the truth in 95 of 100 cases
_CORNERS = 48
_LEVEL_PART = math.sin(math.radians(5.0))  # of a view, with less of which it looks straight up or down
_VIEW = 10.0  # length of the view over which a heading is measured


@dataclass(frozen=True, eq=False)
class GeographicPose:
    """A posed image on the earth.

    Attributes:
        name: of the image.
        lonlath_3: degrees east, degrees north (WGS 84), height as the world has it.
        heading_deg: where the camera looks, clockwise from true north; None: within 5 degrees of straight up or down.
        ellipse_n2: longitudes and latitudes of the horizontal 95 % ellipse, closed, counter-clockwise; None: not known.
        sigma_3: standard deviations along the map's east, north and up, metres; None: not known.
        confidence: that the pose is right; None: not known.
    """

    name: str
    lonlath_3: np.ndarray
    heading_deg: float | None
    ellipse_n2: np.ndarray | None
    sigma_3: np.ndarray | None
    confidence: float | None


def height_sentence(crs: str) -> str:
    """What heights are counted from, as far as a reference system says."""
    system = import_pyproj().CRS.from_user_input(crs)
    vertical = [part.name for part in system.sub_crs_list if part.is_vertical]
    if vertical:
        return f"heights are those of the world, in {vertical[0]}"
    return (
        f"heights are those of the world, whose system ({system.name}) does not say what they are counted from: sea "
        "level or the ellipsoid, which differ by up to 100 m"
    )


def geographic_poses(images: Sequence[PosedImage], crs: str) -> list[GeographicPose]:
    """Posed images on the earth.

    Args:
        images: with poses in metres of a map projection.
        crs: that projection, as a world records it.

    Raises:
        TransposeError: pyproj is missing.
    """
    geodesist = Geodesist(crs)
    return [_placed(image, geodesist) for image in images]


def position_covariance(image: PosedImage) -> np.ndarray | None:
    """Covariance (3, 3) of the centre in world axes: T_true = T_est exp(xi) moves it by R_wc t; None: not known."""
    if image.covariance_66 is None:
        return None
    return image.pose.R_wc @ image.covariance_66[3:, 3:] @ image.pose.R_wc.T


def _placed(image: PosedImage, geodesist: Geodesist) -> GeographicPose:
    center_3, ahead_3 = image.pose.center, image.pose.R_wc[:, 2]
    lonlat_2 = geodesist.to_geographic(center_3[None, :2])[0]
    lonlath_3 = np.append(lonlat_2, center_3[2])
    heading = None
    if math.hypot(ahead_3[0], ahead_3[1]) > _LEVEL_PART:
        on_map = math.degrees(math.atan2(ahead_3[0], ahead_3[1]))
        heading = (on_map - float(geodesist.north_of_map_deg(lonlath_3[None])[0])) % 360
    covariance_33 = position_covariance(image)
    ellipse_n2 = sigma_3 = None
    if covariance_33 is not None:
        ellipse_n2 = geodesist.to_geographic(center_3[:2] + _ellipse(covariance_33[:2, :2]))
        # Across the 180th meridian it goes on beyond 180 degrees, not once around the earth.
        ellipse_n2[:, 0] = lonlat_2[0] + (ellipse_n2[:, 0] - lonlat_2[0] + 180) % 360 - 180
        sigma_3 = np.sqrt(np.diag(covariance_33))
    return GeographicPose(image.name, lonlath_3, heading, ellipse_n2, sigma_3, image.confidence)


def _ellipse(covariance_22: np.ndarray) -> np.ndarray:
    """Offsets (n, 2) of the 95 % ellipse, its first corner again as its last."""
    variance_2, axes_22 = np.linalg.eigh(covariance_22)
    if np.linalg.det(axes_22) < 0:  # corners would go clockwise
        axes_22 = axes_22 * (1.0, -1.0)
    angle_n = np.linspace(0, 2 * np.pi, _CORNERS + 1)
    circle_n2 = np.stack([np.cos(angle_n), np.sin(angle_n)], 1)
    circle_n2[-1] = circle_n2[0]
    return circle_n2 * np.sqrt(_CHI2_95 * np.maximum(variance_2, 0)) @ axes_22.T


def geojson(poses: Sequence[GeographicPose], heights: str) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946): a point a pose, and a polygon where its ellipse is known.

    Args:
        poses: of images.
        heights: the sentence on heights, which becomes a member of the collection.
    """
    features = []
    for pose in poses:
        sigma = None if pose.sigma_3 is None else [round(float(value), 4) for value in pose.sigma_3]
        said = {"image": pose.name, "heading_deg": pose.heading_deg, "confidence": pose.confidence}
        point = {"type": "Point", "coordinates": pose.lonlath_3.tolist()}
        features.append(_feature(point, {**said, "sigma_east_north_up_m": sigma}))
        if pose.ellipse_n2 is not None:
            polygon = {"type": "Polygon", "coordinates": [pose.ellipse_n2.tolist()]}
            features.append(_feature(polygon, {"image": pose.name, "ellipse": "95 %"}))
    return {"type": "FeatureCollection", "heights": heights, "features": features}


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def kml_text(poses: Sequence[GeographicPose], heights: str) -> str:
    """A KML 2.2 document: a placemark a pose at its height, and one of its ellipse on the ground.

    KML counts absolute heights from sea level (EGM96), whatever the world's are counted from: see `heights`.
    """
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>',
        f"<description>{escape(heights)}</description>",
    ]
    for pose in poses:
        name = f"<name>{escape(pose.name)}</name>"
        place = ",".join(f"{value:.9f}" for value in pose.lonlath_3)
        heading = "" if pose.heading_deg is None else f"<description>heading {pose.heading_deg:.1f} deg</description>"
        parts.append(
            f"<Placemark>{name}{heading}<Point><altitudeMode>absolute</altitudeMode>"
            f"<coordinates>{place}</coordinates></Point></Placemark>"
        )
        if pose.ellipse_n2 is not None:
            ring = " ".join(f"{lon:.9f},{lat:.9f}" for lon, lat in pose.ellipse_n2)
            parts.append(
                f"<Placemark>{name}<Polygon><altitudeMode>clampToGround</altitudeMode><outerBoundaryIs><LinearRing>"
                f"<coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
            )
    return "\n".join([*parts, "</Document></kml>", ""])
