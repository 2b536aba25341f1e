"""How far a localizer's stated uncertainty is from its true errors, measured on frames kept out of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transpose.geometry.poses import Pose, invert, normalized_error, transform
from transpose.localization import SceneCoordinateLocalizer, load
from transpose.localization.labelled_maps import correlation_of, labelled_map
from transpose.localization.scene_coordinates import MIN_SCORE, Means
from transpose.losses.calibration import chi2_quantile
from transpose.scenes.layout import Frame
from transpose.training.views import TrainingFrame

_SHARE = 0.9  # of the true poses in the ellipsoid that is meant to hold so many
_FEWEST_POSES = 5
_RIGHT = 0.05  # of the image's diagonal: a pose that shifts what is seen by more is another place
_MOST_FRAMES = 24
# Never below one: validation photos lie next to training photos, and flatter.
_SCALES = np.geomspace(1.0, 1000.0, 61)


def covariance_scales(run: Path, device: str, frames: Sequence[TrainingFrame]) -> dict[Means, float]:
    """`covariance_scale` of poses by landmarks, where the run has some, and by predicted coordinates."""
    scales: dict[Means, float] = {"coordinates": covariance_scale(load(run, device, use="coordinates"), frames)}
    if load(run, device).has_landmarks:
        scales["landmarks"] = covariance_scale(load(run, device, use="landmarks"), frames)
    return scales


def least_score(run: Path, device: str, frames: Sequence[TrainingFrame]) -> float:
    """The score that a pose by predicted coordinates must have, so that a network that learned little gives none.

    Images of other places are refused by `MIN_SCORE`, whatever was trained. Infinite: no pose on validation is right.
    """
    localizer = load(run, device, use="coordinates")
    scores, right = [], []
    for each in _chosen(frames):
        frame = each.frame
        predicted = localizer.coordinates(frame.image(), frame.camera)
        estimate = localizer.solve(predicted, frame.camera)
        if estimate.pose is None:
            continue
        points_m3 = predicted.correspondences(frame.camera)[0][estimate.inlier_mask_n]
        scores.append(estimate.score)
        right.append(_displacement(points_m3, estimate.pose, frame) < _RIGHT)
    if len(scores) < _FEWEST_POSES:
        return MIN_SCORE
    return score_bound(np.array(scores), np.array(right), MIN_SCORE)


def score_bound(score_n: np.ndarray, right_n: np.ndarray, least: float) -> float:
    """The least bound, from `least` on, over which right poses outnumber wrong ones by most; infinite where none does.

    Args:
        score_n: of poses.
        right_n: which of them are right.
        least: no bound is lower.
    """
    order_n = np.argsort(score_n, kind="stable")
    score_n, gain_n = score_n[order_n], np.where(right_n[order_n], 1, -1)
    over_n = np.append(np.cumsum(gain_n[::-1])[::-1], 0)  # what is gained by all from the i-th on
    best = int(over_n.argmax())
    if best == len(score_n):
        return float("inf")
    # Half way to the best score that is refused, on a logarithmic scale.
    return least if best == 0 else max(least, float(np.sqrt(score_n[best - 1] * score_n[best])))


def _displacement(points_m3: np.ndarray, pose: Pose, frame: Frame) -> float:
    """How far a pose shifts what is seen, in image diagonals: the median of points seen from it and from the truth."""
    seen_m2, true_m2 = (frame.camera.project(transform(invert(each.T_wc), points_m3)) for each in (pose, frame.pose))
    shift_m = np.linalg.norm(seen_m2 - true_m2, axis=1)
    shift_m = np.where(np.isfinite(shift_m), shift_m, np.inf)  # behind the true camera
    return float(np.median(shift_m)) / float(np.hypot(frame.camera.width, frame.camera.height))


def error_correlation_px(run: Path, device: str, frames: Sequence[TrainingFrame]) -> float | None:
    """How far over the image the coordinates' errors are alike (`PosteriorOptions.correlation_px`); None: unknown."""
    localizer = load(run, device, use="coordinates")
    chosen = [each.frame for each in _chosen(frames) if each.labelled]
    found = correlation_of([labelled_map(localizer, frame) for frame in chosen])
    return None if found is None else found.length_px


def covariance_scale(localizer: SceneCoordinateLocalizer, frames: Sequence[TrainingFrame]) -> float:
    """The factor on the covariances that the points' scatter leads to, so that 90 % ellipsoids hold 90 %.

    Renders are seen by exact cameras in an exact model; what photos add to that (`systematic_covariance`) is left out
    where validation frames are renders, and left as it is where they are photos. Too few poses to tell: 1.
    """
    exact, doubting = localizer.stating({}, exact=True), localizer.stating({}, exact=False)
    errors = []
    for each in _chosen(frames):
        frame, image_hw3 = each.frame, each.frame.image()
        estimate = exact.localize(image_hw3, frame.camera)
        if estimate.pose is None or estimate.covariance_66 is None:
            continue
        scattered_66, systematic_66 = estimate.covariance_66, np.zeros((6, 6))
        if not each.rendered:
            whole_66 = doubting.localize(image_hw3, frame.camera).covariance_66
            systematic_66 = whole_66 - scattered_66 if whole_66 is not None else systematic_66
        errors.append([normalized_error(estimate.pose, frame.pose, s * scattered_66 + systematic_66) for s in _SCALES])
    if len(errors) < _FEWEST_POSES:
        return 1.0
    # Errors fall as the factor grows.
    reached_s = np.quantile(errors, _SHARE, axis=0)
    return float(_SCALES[np.abs(np.log(reached_s / chi2_quantile(_SHARE, 6))).argmin()])


def _chosen(frames: Sequence[TrainingFrame]) -> list[TrainingFrame]:
    """Not too many, evenly over all."""
    return [frames[i] for i in np.linspace(0, len(frames) - 1, min(_MOST_FRAMES, len(frames))).round().astype(int)]
