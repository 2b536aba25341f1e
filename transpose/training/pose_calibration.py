"""By how much the covariances of poses, as residuals tell them, are too small: measured on frames kept out of training.

The same for every method whose poses come from correspondences.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import invert, log_se3, pose_error
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT, logit
from transpose.localization.covariance import EXACT, CameraErrors, stated_part, systematic_part
from transpose.localization.query import Query
from transpose.localization.systematic import SystematicErrors
from transpose.losses.calibration import chi2_quantile
from transpose.scenes.layout import Frame
from transpose.scenes.unit import SceneUnit
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)

FEWEST_POSES = 5
_COVERAGE = 0.9  # of the true poses in the ellipsoid that is meant to hold so many
# Never below one: validation photos lie next to training photos, where errors are smaller.
_SCALES = np.geomspace(1.0, 1000.0, 61)


@dataclass(frozen=True, eq=False)
class Posed:
    """A validation frame's pose, before any calibration.

    Attributes:
        frame: with its true pose.
        candidate: what one kind of correspondences gave, with a pose or without.
        camera: of the image in which it was found.
        errors: of camera and map that the residuals do not show; zero for renders, which an exact camera
            took in an exact model.
    """

    frame: Frame
    candidate: Candidate
    camera: Camera
    errors: CameraErrors

    def normalized_errors(self) -> np.ndarray | None:
        """NEES by factor on the covariance that is stated (`_SCALES`); None without a covariance.

        None of a wrong pose as well: how probable that is, confidences say, and covariances how far a right one is off.
        """
        pose, stated_66 = self.candidate.pose, stated_part(self.candidate, self.camera)
        if pose is None or stated_66 is None or displacement(self.candidate, self.frame) >= RIGHT:
            return None
        systematic_66 = systematic_part(self.candidate, self.camera, self.errors)
        covariance_s66 = _SCALES[:, None, None] * stated_66 + systematic_66
        xi_6 = log_se3(invert(pose.T_wc) @ self.frame.pose.T_wc)
        return np.linalg.solve(covariance_s66, np.tile(xi_6[:, None], (len(_SCALES), 1, 1)))[..., 0] @ xi_6


def camera_errors(each: TrainingFrame, query: Query, systematic: SystematicErrors, by: str) -> CameraErrors:
    """What is wrong with camera and map of a validation frame: nothing, where it was rendered."""
    return EXACT if each.rendered else CameraErrors.of(query, systematic, by)


def covariance_scale(frames: Sequence[Posed]) -> float | None:
    """The factor on stated covariances with which 90 % ellipsoids hold 90 % of poses like these, by so few of them.

    Of n poses the ceil(0.9 (n + 1))-th smallest error decides, so that the next one is within with 90 % probability
    (split conformal prediction; Vovk et al., Algorithmic Learning in a Random World, 2005). What camera and map add is
    left out where frames are renders, and left as it is where they are photos. Too few poses to tell: None.

    Args:
        frames: by one kind of correspondences.
    """
    known = [errors for each in frames if (errors := each.normalized_errors()) is not None]
    if len(known) < FEWEST_POSES:
        return None
    # Errors fall as the factor grows.
    rank = min(len(known), math.ceil(_COVERAGE * (len(known) + 1)))
    reached_s = np.sort(known, axis=0)[rank - 1]
    return float(_SCALES[np.abs(np.log(reached_s / chi2_quantile(_COVERAGE, 6))).argmin()])


def calibrated_scales(by: str, frames: Sequence[Posed], unit: SceneUnit) -> dict[str, float]:
    """What `Calibration.covariance_scales` keeps of one kind of correspondences; told with how far poses are off.

    Args:
        by: the kind.
        frames: that were not learned from, or photos left out in turn.
        unit: of the scene.

    Returns:
        Empty, and a warning, where too few have a pose.
    """
    found = [each for each in frames if each.candidate.pose is not None]
    if len(found) < FEWEST_POSES:
        log.warning(
            "%d of %d validation images are localized by %s, too few to calibrate the uncertainty of poses: it is "
            "stated ten times as large, and more %s must agree with a pose",
            len(found),
            len(frames),
            by,
            by,
        )
        return {}
    errors = [pose_error(each.candidate.pose, each.frame.pose) for each in found if each.candidate.pose is not None]
    degrees, distance = np.median(np.array(errors), axis=0)
    log.info(
        "%d of %d validation images are localized by %s, off by %.3g %s and %.3g deg in the median",
        len(found),
        len(frames),
        by,
        unit.told(unit.learned * distance),
        "m" if unit.metric else "% of the cameras' extent",
        degrees,
    )
    scale = covariance_scale(frames)
    return {} if scale is None else {by: scale}


def judged(frames: Sequence[Posed]) -> list[tuple[float, bool]]:
    """Of poses of one kind, logits as the package's model has them, and whether each is right."""
    posed = [each for each in frames if each.candidate.pose is not None]
    known = [(logit(each.candidate, each.camera), each) for each in posed]
    return [(value, displacement(each.candidate, each.frame) < RIGHT) for value, each in known if value is not None]


def displacement(candidate: Candidate, frame: Frame) -> float:
    """How far a pose shifts what is seen, in image diagonals: the median of points seen from it and from the truth."""
    assert candidate.pose is not None
    return candidate.shift(frame.pose, frame.camera)
