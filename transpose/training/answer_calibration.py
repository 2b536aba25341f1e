"""Calibration of methods whose poses rest on no correspondences: retrieval and pose regression.

Nothing but frames kept out of training can tell how far such a pose is off, or what it looks like when it is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np

from transpose.geometry.poses import normalized_error, pose_error
from transpose.localization.localizer import Localizer
from transpose.localization.query import Query
from transpose.losses.calibration import covariance_temperature
from transpose.runs import Calibration
from transpose.scenes.layout import Frame
from transpose.scenes.unit import SceneUnit
from transpose.selection import evenly_chosen
from transpose.solvers import PoseEstimate
from transpose.training.pose_calibration import FEWEST_POSES
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_COVERAGE = 0.9
_MOST_FRAMES = 48
# Of the least score on validation: frames kept out are more like what was learned from than photos of another day are.
_ALLOWED = 0.75
Answer = tuple[Frame, PoseEstimate]


def neutral(by: str) -> Calibration:
    """With which covariances stay as they are, and no pose is refused."""
    return Calibration(covariance_scales={by: 1.0})


def answers(localizer: Localizer, frames: Sequence[TrainingFrame]) -> list[Answer]:
    """What a localizer, not calibrated, says of some of the frames, evenly spread."""
    chosen = [frames[i].frame for i in evenly_chosen(len(frames), _MOST_FRAMES)]
    return [
        (frame, localizer.localize_query(Query.of(localizer.camera, frame.image(), frame.camera))) for frame in chosen
    ]


def calibrated_answers(by: str, found: Iterable[Answer], unit: SceneUnit) -> Calibration:
    """The factor on covariances with which 90 % ellipsoids hold 90 %, never below 1, and the least score of a pose.

    Args:
        by: the kind of poses.
        found: of frames that were not learned from.
        unit: of the scene.

    Returns:
        Neither where too few have a pose, and a warning.
    """
    posed = [(frame.pose, each.pose, each) for frame, each in found if each.pose is not None]
    if len(posed) < FEWEST_POSES:
        log.warning(
            "%d validation frames have a pose, too few to calibrate their uncertainty: it is stated ten times as "
            "large, and none is refused; name a larger --val section",
            len(posed),
        )
        return Calibration()
    degrees, distance = np.median([pose_error(pose, truth) for truth, pose, _ in posed], axis=0)
    log.info(
        "%d validation frames are off by %.3g %s and %.3g deg in the median",
        len(posed),
        unit.told(unit.learned * distance),
        "m" if unit.metric else "% of the cameras' extent",
        degrees,
    )
    squared = [
        normalized_error(pose, truth, each.covariance_66)
        for truth, pose, each in posed
        if each.covariance_66 is not None
    ]
    scale = max(1.0, covariance_temperature(np.array(squared), _COVERAGE, freedom=6))
    least = _ALLOWED * min(each.score for _, _, each in posed)
    return Calibration(min_score=least, covariance_scales={by: scale})
