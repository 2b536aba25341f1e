"""Whether a cell's world point agrees with the depth and the normal that the network knows of it, seen from a pose.

A point that is wrong, such as that of a place that looks alike, is seldom at the depth that its cell shows: predicted
depth and normals say which cells to trust less. They are too coarse to move a pose themselves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.geometry.poses import Pose, transform
from transpose.localization.by_coordinates import by_coordinates
from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.task_maps import DepthMap, NormalMap, TaskMaps
from transpose.runs import Consistency

_TOLERATED = 2.0  # of what is expected, by which a cell may be off before its variance is more than doubled
_NEIGHBOUR = 2  # cells on either side, between which the points of a cell's surroundings span its surface
_LARGEST = 1e4  # factor: beyond it a cell has no say anyway


def by_consistent_coordinates(
    predicted: CoordinateMap, maps: TaskMaps, options: LocalizationOptions, how: Consistency, seed: int = 0
) -> Candidate:
    """The pose by coordinates, found again with less trust in cells that contradict depth or normals from there.

    Args:
        predicted: by the network, at the scale that it saw.
        maps: of the same image.
        options: of the search.
        how: what is asked for agreement; what the maps lack is not.
        seed: of the search.
    """
    first = by_coordinates(predicted, options, seed)
    asked = (how != "none" and maps.depth is not None) or (how == "depth+normal" and maps.normal is not None)
    if first.pose is None or not asked or not predicted.has_uncertainty:
        return first
    again = by_coordinates(trusted(predicted, maps, first.pose, how), options, seed)
    return first if again.pose is None else again


def trusted(predicted: CoordinateMap, maps: TaskMaps, pose: Pose, how: Consistency) -> CoordinateMap:
    """The coordinates with larger covariances where they contradict the maps from a pose.

    The factor is 1 + (r / `_TOLERATED`)^2 of each discrepancy r, in units of what is expected of it by what the network
    states of both: the weights of a Cauchy density.
    """
    camera_hw3 = transform(pose.T_cw, predicted.points_hw3.reshape(-1, 3)).reshape(predicted.points_hw3.shape)
    sigma_hw = predicted.sigma_hw()
    factor_hw = np.ones(sigma_hw.shape)
    if how != "none" and maps.depth is not None:
        factor_hw += np.square(depth_discrepancy(camera_hw3, sigma_hw, maps.depth) / _TOLERATED)
    if how == "depth+normal" and maps.normal is not None:
        factor_hw += np.square(normal_discrepancy(camera_hw3, sigma_hw, maps.normal) / _TOLERATED)
    return replace(predicted, variance_factor_hw=np.minimum(factor_hw, _LARGEST))


def depth_discrepancy(camera_hw3: np.ndarray, sigma_hw: np.ndarray, depth: DepthMap) -> np.ndarray:
    """Log ratio of the points' depths to the predicted ones, in units of what is expected; infinite behind the camera.

    Args:
        camera_hw3: points in the camera's frame.
        sigma_hw: their standard deviation along an axis, in the same unit.
        depth: predicted.
    """
    ahead_hw = camera_hw3[..., 2] > 0
    z_hw = np.where(ahead_hw, camera_hw3[..., 2], 1.0)
    expected_hw = np.hypot(depth.expected_hw, sigma_hw / z_hw)
    return np.where(ahead_hw, np.abs(np.log(z_hw / depth.depth_hw)) / expected_hw, np.inf)


def normal_discrepancy(camera_hw3: np.ndarray, sigma_hw: np.ndarray, normal: NormalMap) -> np.ndarray:
    """Angle between predicted normals and those of the surface that neighbouring points span, as expected; 0 at rims.

    How well the points know that surface follows from their own uncertainty and their distance.
    """
    n = _NEIGHBOUR
    out_hw = np.zeros(sigma_hw.shape)
    if min(sigma_hw.shape) <= 2 * n:
        return out_hw
    right_hw3 = camera_hw3[n:-n, 2 * n :] - camera_hw3[n:-n, : -2 * n]
    down_hw3 = camera_hw3[2 * n :, n:-n] - camera_hw3[: -2 * n, n:-n]
    # x right and y down in the image: their cross product points away from the camera.
    spanned_hw3 = -np.cross(right_hw3, down_hw3)
    predicted_hw3 = normal.normals_hw3[n:-n, n:-n]
    sine_hw = np.linalg.norm(np.cross(spanned_hw3, predicted_hw3), axis=-1)
    angle_hw = np.arctan2(sine_hw, (spanned_hw3 * predicted_hw3).sum(-1))
    shorter_hw = np.minimum(np.linalg.norm(right_hw3, axis=-1), np.linalg.norm(down_hw3, axis=-1))
    points_hw = np.arctan2(np.sqrt(2) * sigma_hw[n:-n, n:-n], shorter_hw)
    out_hw[n:-n, n:-n] = angle_hw / np.hypot(normal.expected_hw[n:-n, n:-n], points_hw)
    return out_hw
