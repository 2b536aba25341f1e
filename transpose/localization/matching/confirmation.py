"""How much of what a pose puts into an image is found there.

It tells a place from another that looks like a part of it: a cupboard that stands twice gives a wrong pose a hundred
correspondences, as many as some right poses have; but the right pose also shows most of what stands around it.
"""

from __future__ import annotations

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform

_CELL_PX = 16  # a keypoint or two are found in a cell; what is not found at all leaves whole neighbourhoods empty


def confirmed_share(
    pose: Pose, camera: Camera, points_n3: np.ndarray, keypoints_k2: np.ndarray, agreeing_m2: np.ndarray
) -> float:
    """Of an image's cells with keypoints, into which a pose puts points, the share in which some agree; 0: of none.

    What hides points is not known, so that walls between them and the camera lower it.

    Args:
        pose: of the image.
        camera: of the image.
        points_n3: what database images show that look like it, in the world, metres.
        keypoints_k2: of the image, pixels.
        agreeing_m2: those that agree with the pose.
    """
    with np.errstate(invalid="ignore"):  # behind the camera: NaN, in no cell
        expected = _cells(camera.project(transform(pose.T_cw, points_n3))) & _cells(keypoints_k2)
    return len(expected & _cells(agreeing_m2)) / len(expected) if expected else 0.0


def _cells(px_n2: np.ndarray) -> set[tuple[int, ...]]:
    known_n2 = px_n2[np.isfinite(px_n2).all(1)]
    return set(map(tuple, np.unique(known_n2 // _CELL_PX, axis=0).astype(int).tolist()))
