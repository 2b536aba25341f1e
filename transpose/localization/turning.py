"""Images held another way than those that were learned from: looked at once more, turned by quarters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.poses import Pose
from transpose.geometry.turning import turn, turned_camera
from transpose.localization.query import Query
from transpose.solvers import PoseEstimate

_TURNS = (2, 1, 3)  # half a turn first: a drone on its way back
# How much stronger than the next a turn must be to be worth the whole search. Photos and renders of RedKitchen and of
# the village: 1.1 times and more the right way up, of those of which a pose is found; of other places' two in five.
_OUTSTANDING = 1.05


@dataclass(frozen=True)
class Glance:
    """What little work tells of an image, before it is worth the whole.

    Attributes:
        sees: whether it shows the place.
        strength: how much speaks for it; of turns of one image, the right one has the most.
    """

    sees: Callable[[Query], bool]
    strength: Callable[[Query], float]


def at_any_turn(localize: Callable[[Query], PoseEstimate], query: Query, glance: Glance | None = None) -> PoseEstimate:
    """The estimate of an image; where it has none, of the image turned by quarters, in the image's own frame.

    Descriptors of keypoints tell things by how they look upright. Turned images are tried with the focal length that is
    thought right.

    Args:
        localize: the estimate of a query.
        query: the image.
        glance: by which turned images are chosen that are worth `localize`, before the upright one where that shows
            nothing; None: all are, and an image that is refused takes up to four times as long.
    """
    upright = None if glance is not None and not glance.sees(query) else localize(query)
    if upright is not None and upright.is_located:
        return upright
    # Whichever way it is held, an image of another place is searched for its focal length for seconds in vain.
    turned = {quarters: replace(_turned(query, quarters), source="calibration", focal_sigma=0.0) for quarters in _TURNS}
    for quarters in turned if glance is None else _promising(glance, query, turned):
        found = localize(turned[quarters])
        if found.is_located and (query.source, query.focal_sigma) != ("calibration", 0.0):
            found = localize(_turned(query, quarters))
        if found.is_located:
            return _turned_back(found, quarters)
    return localize(query) if upright is None else upright


def _promising(glance: Glance, upright: Query, turned: Mapping[int, Query]) -> Iterator[int]:
    """Turns that show the place at a glance; and the one, if any, for which clearly more speaks than for the others."""
    seen = set[int]()
    for quarters, query in turned.items():
        if glance.sees(query):
            seen.add(quarters)
            yield quarters
    strength = {quarters: glance.strength(query) for quarters, query in turned.items()}
    best = max(strength, key=lambda quarters: strength[quarters])
    others = [glance.strength(upright), *(strength[quarters] for quarters in turned if quarters != best)]
    if best not in seen and strength[best] > _OUTSTANDING * max(others):
        yield best


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
