"""What COLMAP's models say, in terms of ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from transpose.geometry.poses import Pose, compose, invert

_PARALLEL_DEG = 10.0  # the largest angle of an optical axis to their mean, of photos that all look one way


def placed_images(model: Any) -> list[Any]:
    """COLMAP's images of the photos that a model has placed, in the order of their ids."""
    return sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.image_id)


def pose_of(image: Any) -> Pose:
    """Of a photo that was placed."""
    matrix_34 = image.cam_from_world().matrix()
    return Pose(invert(compose(matrix_34[:, :3], matrix_34[:, 3])))


def seen_points(model: Any, image: Any) -> np.ndarray:
    """The points (m, 3) of a model that a photo shows."""
    ids = [point.point3D_id for point in image.points2D if point.has_point3D()]
    return np.array([model.points3D[each].xyz for each in ids], np.float64).reshape(-1, 3)


def all_look_one_way(model: Any) -> bool:
    """Whether the optical axes of all photos are nearly parallel, so that nothing tells a camera's inner geometry."""
    axes_n3 = np.array([pose_of(image).R_wc[:, 2] for image in placed_images(model)])
    mean_3 = axes_n3.mean(0)
    cosine_n = axes_n3 @ mean_3 / max(float(np.linalg.norm(mean_3)), np.finfo(float).tiny)
    return bool(cosine_n.min() > np.cos(np.radians(_PARALLEL_DEG)))
