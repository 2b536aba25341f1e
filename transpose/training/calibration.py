"""How far a localizer's stated uncertainty is from its true errors, measured on frames kept out of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transpose.geometry.poses import normalized_error
from transpose.localization import SceneCoordinateLocalizer, load
from transpose.localization.labelled_maps import correlation_of, labelled_map
from transpose.localization.scene_coordinates import Means
from transpose.losses.calibration import chi2_quantile
from transpose.training.views import TrainingFrame

_SHARE = 0.9  # of the true poses in the ellipsoid that is meant to hold so many
_FEWEST_POSES = 5
_MOST_FRAMES = 24
# Never below one: validation photos lie next to training photos, and flatter.
_SCALES = np.geomspace(1.0, 1000.0, 61)


def covariance_scales(run: Path, device: str, frames: Sequence[TrainingFrame]) -> dict[Means, float]:
    """`covariance_scale` of poses by landmarks, where the run has some, and by predicted coordinates."""
    scales: dict[Means, float] = {"coordinates": covariance_scale(load(run, device, use="coordinates"), frames)}
    if load(run, device).has_landmarks:
        scales["landmarks"] = covariance_scale(load(run, device, use="landmarks"), frames)
    return scales


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
