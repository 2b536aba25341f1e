"""Options and outcome of the robust solvers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose


def draws_to_find(share: float, missed: float = 0.01) -> int:
    """Triples after which one within such a share of the correspondences was drawn with all probability but `missed`.

    Fischler and Bolles, "Random sample consensus", CACM 1981; of correspondences that are drawn by weight, the share of
    the weight.

    Raises:
        ValueError: the share is not positive, so that none would ever be drawn.
    """
    if not share > 0:
        raise ValueError(f"a share must be positive, got {share}")
    return math.ceil(math.log(missed) / math.log1p(-(min(share, 0.99) ** 3)))


@dataclass(frozen=True)
class RansacOptions:
    """How the search for a pose is run.

    Attributes:
        max_error_px: pixel error of an inlier.
        max_iterations: hypotheses at most.
        confidence: with which no pose with more inliers was missed, when the search ends early.
        min_inliers: fewer make no pose. Whatever it says, agreement that chance explains makes none.
        seed: of the draws.
        refine: what the last step minimizes. "pixel": robust pixel error, for keypoints. "ray": the distance between
            points and rays in metres, for predicted coordinates, whose noise sits on the points. "auto": "ray" where
            covariances are given, else "pixel".
        correlation_px: correspondences in one square of this size may have correlated errors, and form a cluster that
            counts as one sample in the covariance (effective sample size); 0: independent errors. The pose is the same.
        focal_log_sigma: where the focal length is estimated, the standard deviation of log(true / guessed): it is
            searched for within twice that, and where the image does not tell it, so uncertain it stays. 0.4 is for a
            guess that is off by up to a factor of two.
    """

    max_error_px: float = 10.0
    max_iterations: int = 131_072
    confidence: float = 0.99
    min_inliers: int = 4
    seed: int = 0
    refine: Literal["auto", "pixel", "ray"] = "auto"
    correlation_px: float = 0.0
    focal_log_sigma: float = 0.4

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if not 0 <= self.correlation_px < math.inf:
            raise ValueError(f"correlation_px must be 0 or more, got {self.correlation_px}")
        if not 0 < self.focal_log_sigma < math.inf:
            raise ValueError(f"focal_log_sigma must be positive, got {self.focal_log_sigma}")
        if not self.max_error_px > 0 or self.max_iterations < 1 or not 0 < self.confidence < 1:
            raise ValueError(f"max_error_px, max_iterations and confidence must be positive, confidence < 1: {self}")
        if self.refine not in ("auto", "pixel", "ray"):
            raise ValueError(f"refine must be 'auto', 'pixel' or 'ray', got {self.refine!r}")


@dataclass(frozen=True)
class RigidOptions:
    """How the search for a rigid motion is run; `max_error_m` is the distance of an inlier in metres."""

    max_error_m: float = 0.1
    max_iterations: int = 16_384
    confidence: float = 0.99
    min_inliers: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if not self.max_error_m > 0 or self.max_iterations < 1 or not 0 < self.confidence < 1:
            raise ValueError(f"max_error_m, max_iterations and confidence must be positive, confidence < 1: {self}")


def _check_seed(seed: int) -> None:
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"a seed has 64 bits, got {seed}")


@dataclass(frozen=True)
class PoseAlternative:
    """One of several poses from which an image looks alike.

    Attributes:
        pose: camera to world.
        covariance_66: as `PoseEstimate` has it, of this pose should it be the right one; None where nothing tells.
        weight: the probability that it is the right one, given that one of them is.
    """

    pose: Pose
    covariance_66: np.ndarray | None
    weight: float


@dataclass(frozen=True)
class PoseEstimate:
    """What a solver found.

    Attributes:
        pose: None where there is none; then `reason` says why.
        reason: "ok", "too_few_points", "no_consensus", "degenerate", ... in words a program can compare.
        inlier_mask_n: which correspondences agree with the pose; of the kind that was given (NumPy or torch).
        score: fraction of the correspondences that agree, softly counted: each by 1 - sigmoid of its error around the
            threshold (DSAC*). Where there are none: what the method says of itself, 0..1.
        iterations: hypotheses tried.
        covariance_66: of xi = (omega rad, t m) in the camera frame, T_wc_true = T_wc exp(xi); None without a pose.
        by: what a localizer rested the pose on, "landmarks", "recognition", "coordinates", "matches", "retrieval" or
            "regression"; empty for a solver alone.
        camera: that a localizer took for the image, at its size; of a solver the camera that it was given with the
            focal length that it estimated, else None.
        focal_sigma: standard deviation of that camera's focal length, relative; None of a solver that was given it.
        focal_px: fx as a solver estimated it with the pose; None where it was given.
        confidence: of a localizer: the probability that the pose is right (`localization.confidence`), or of one that
            was refused that it would have been; None where the method cannot tell.
        distance: of a localizer: median distance, along the camera's axis, of what agrees with the pose; metres, or the
            scene's unit. None where nothing does.
        refused: the pose that a localizer thought too unsure to be given; for those who measure how sure it should be.
        alternatives: of a localizer: where the image may have been taken as well, `pose` or `refused` among them, the
            likeliest first, with weights that sum to 1; empty where it looks like one place only. An image whose
            alternatives cannot be told apart has no pose, and the reason "ambiguous".
    """

    pose: Pose | None
    reason: str
    inlier_mask_n: np.ndarray | torch.Tensor
    score: float = 0.0
    iterations: int = 0
    covariance_66: np.ndarray | None = None
    by: str = ""
    camera: Camera | None = None
    focal_sigma: float | None = None
    focal_px: float | None = None
    confidence: float | None = None
    distance: float | None = None
    refused: Pose | None = None
    alternatives: tuple[PoseAlternative, ...] = ()

    @property
    def is_located(self) -> bool:
        """Whether it says where the image was taken: by a pose, or by several of which one is right."""
        return self.pose is not None or bool(self.alternatives)

    def mapped(self, pose: Callable[[Pose], Pose], covariance: Callable[[np.ndarray], np.ndarray]) -> PoseEstimate:
        """The same in another frame or unit.

        Args:
            pose: of every pose in it.
            covariance: of every covariance (6, 6).
        """

        def pose_or_none(known: Pose | None) -> Pose | None:
            return None if known is None else pose(known)

        def covariance_or_none(known_66: np.ndarray | None) -> np.ndarray | None:
            return None if known_66 is None else covariance(known_66)

        return replace(
            self,
            pose=pose_or_none(self.pose),
            refused=pose_or_none(self.refused),
            covariance_66=covariance_or_none(self.covariance_66),
            alternatives=tuple(
                PoseAlternative(pose(each.pose), covariance_or_none(each.covariance_66), each.weight)
                for each in self.alternatives
            ),
        )

    def alternatives_as_json(self) -> list[dict[str, Any]]:
        """Pose (4x4) and weight of each alternative."""
        return [{"pose": each.pose.T_wc.tolist(), "weight": each.weight} for each in self.alternatives]

    @property
    def inliers(self) -> int:
        """How many correspondences agree with the pose."""
        return int(self.inlier_mask_n.sum())
