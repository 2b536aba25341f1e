"""Images held another way than those that were learned from: looked at once more, turned by quarters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from transpose.geometry.poses import Pose
from transpose.geometry.turning import turn, turned_camera
from transpose.localization.localizer import Query
from transpose.solvers import PoseEstimate

_TURNS = (2, 1, 3)  # half a turn first: a drone on its way back


def at_any_turn(localize: Callable[[Query], PoseEstimate], query: Query) -> PoseEstimate:
    """The estimate of an image; where it has none, of the image turned by quarters, in the image's own frame.

    Descriptors of keypoints tell things by how they look upright. Turned images are tried with the focal length that is
    thought right; one that is refused takes up to four times as long.

    Args:
        localize: the estimate of a query.
        query: the image.
    """
    first = localize(query)
    if first.is_located:
        return first
    for quarters in _TURNS:
        turned = _turned(query, quarters)
        # Whichever way it is held, an image of another place is searched for its focal length for seconds in vain.
        found = localize(replace(turned, source="calibration", focal_sigma=0.0))
        if found.is_located and (query.source, query.focal_sigma) != ("calibration", 0.0):
            found = localize(turned)
        if found.is_located:
            return _turned_back(found, quarters)
    return first


def _turned(query: Query, quarters: int) -> Query:
    depth_hw, prior = query.depth_hw, query.prior
    return replace(
        query,
        image_hw3=np.ascontiguousarray(np.rot90(query.image_hw3, quarters)),
        camera=turned_camera(query.camera, quarters),
        depth_hw=None if depth_hw is None else np.ascontiguousarray(np.rot90(depth_hw, quarters)),
        prior=None if prior is None else Pose(prior.T_wc @ turn(quarters)),
    )


def _turned_back(estimate: PoseEstimate, quarters: int) -> PoseEstimate:
    """Pose, covariance and camera as of the image before it was turned."""
    camera = None if estimate.camera is None else turned_camera(estimate.camera, -quarters)
    # T_true = T exp(xi') turn^-1 = T turn^-1 exp(turn xi'): both halves of xi turn with the axes.
    axes_66 = np.kron(np.eye(2), turn(quarters)[:3, :3])
    upright = estimate.mapped(
        lambda pose: Pose(pose.T_wc @ turn(-quarters)), lambda covariance_66: axes_66 @ covariance_66 @ axes_66.T
    )
    return replace(upright, camera=camera)
