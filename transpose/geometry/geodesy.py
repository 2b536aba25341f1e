"""The earth as WGS 84 has it: ECEF and geodetic coordinates, and axes that point north, east and down."""

from __future__ import annotations

import numpy as np

_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_SEMI_MINOR_M = _SEMI_MAJOR_M * (1 - _FLATTENING)
_ECCENTRICITY2 = _FLATTENING * (2 - _FLATTENING)
_SECOND_ECCENTRICITY2 = _ECCENTRICITY2 / (1 - _ECCENTRICITY2)


def ecef_from_geodetic(lonlath_n3: np.ndarray) -> np.ndarray:
    """ECEF metres (..., 3) of longitude and latitude in degrees and ellipsoidal height in metres (EPSG:4979, 4978)."""
    lon_n, lat_n = np.radians(np.asarray(lonlath_n3, np.float64)[..., :2]).T
    height_n = np.asarray(lonlath_n3, np.float64)[..., 2].T
    normal_n = _SEMI_MAJOR_M / np.sqrt(1 - _ECCENTRICITY2 * np.sin(lat_n) ** 2)
    across_n = (normal_n + height_n) * np.cos(lat_n)
    up_n = (normal_n * (1 - _ECCENTRICITY2) + height_n) * np.sin(lat_n)
    return np.stack([across_n * np.cos(lon_n), across_n * np.sin(lon_n), up_n]).T


def geodetic_from_ecef(ecef_n3: np.ndarray) -> np.ndarray:
    """Longitude and latitude in degrees and ellipsoidal height in metres (..., 3) of ECEF metres.

    Bowring's formula (1985), exact to a micrometre up to the height of satellites; not for points near the earth's
    centre.
    """
    x_n, y_n, z_n = np.asarray(ecef_n3, np.float64).T
    across_n = np.hypot(x_n, y_n)
    parametric_n = np.arctan2(z_n * _SEMI_MAJOR_M, across_n * _SEMI_MINOR_M)
    for _ in range(3):
        lat_n = np.arctan2(
            z_n + _SECOND_ECCENTRICITY2 * _SEMI_MINOR_M * np.sin(parametric_n) ** 3,
            across_n - _ECCENTRICITY2 * _SEMI_MAJOR_M * np.cos(parametric_n) ** 3,
        )
        parametric_n = np.arctan2((1 - _FLATTENING) * np.sin(lat_n), np.cos(lat_n))
    normal_n = _SEMI_MAJOR_M / np.sqrt(1 - _ECCENTRICITY2 * np.sin(lat_n) ** 2)
    height_n = across_n * np.cos(lat_n) + (z_n + _ECCENTRICITY2 * normal_n * np.sin(lat_n)) * np.sin(lat_n) - normal_n
    return np.stack([np.degrees(np.arctan2(y_n, x_n)), np.degrees(lat_n), height_n]).T


def ned_axes(lonlat_n2: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) from north, east, down at places in degrees to ECEF; the axes are the columns."""
    lon_n, lat_n = np.moveaxis(np.radians(np.asarray(lonlat_n2, np.float64)), -1, 0)
    zero = np.zeros_like(lon_n)
    north = np.stack([-np.sin(lat_n) * np.cos(lon_n), -np.sin(lat_n) * np.sin(lon_n), np.cos(lat_n)], -1)
    east = np.stack([-np.sin(lon_n), np.cos(lon_n), zero], -1)
    down = np.stack([-np.cos(lat_n) * np.cos(lon_n), -np.cos(lat_n) * np.sin(lon_n), -np.sin(lat_n)], -1)
    return np.stack([north, east, down], -1)


def camera_rotations_ned(yaw_pitch_roll_deg_n3: np.ndarray) -> np.ndarray:
    """Camera to north, east, down (..., 3, 3), OpenCV axes, of the camera axis' yaw, pitch and roll.

    The body (x ahead, y right, z down) is Rz(yaw) Ry(pitch) Rx(roll): yaw 0 looks north, 90 east, pitch -90 straight
    down, positive roll turns the camera clockwise about its axis. The camera's x is the body's y, its y the body's z,
    its z the body's x.
    """
    from scipy.spatial.transform import Rotation

    angles_n3 = np.asarray(yaw_pitch_roll_deg_n3, np.float64)
    R_body = Rotation.from_euler("ZYX", angles_n3.reshape(-1, 3), degrees=True).as_matrix()
    return R_body.reshape(*angles_n3.shape[:-1], 3, 3)[..., [1, 2, 0]]


def camera_rotations(lonlat_n2: np.ndarray, yaw_pitch_roll_deg_n3: np.ndarray) -> np.ndarray:
    """Camera to ECEF (..., 3, 3), OpenCV axes, at places in degrees; for the angles see `camera_rotations_ned`."""
    return ned_axes(lonlat_n2) @ camera_rotations_ned(yaw_pitch_roll_deg_n3)
