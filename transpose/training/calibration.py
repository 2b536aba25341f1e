"""How far a localizer's stated uncertainty is from its true errors, measured on frames kept out of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transpose.geometry.poses import normalized_error
from transpose.localization import SceneCoordinateLocalizer
from transpose.training.views import TrainingFrame

_EXPECTED_MEDIAN = 5.348  # of a chi-square distribution with six degrees of freedom
_FEWEST_POSES = 5
_MOST_FRAMES = 24
# Never below one: validation photos lie next to training photos, and flatter.
_SCALES = np.geomspace(1.0, 1000.0, 61)


def covariance_scale(localizer: SceneCoordinateLocalizer, frames: Sequence[TrainingFrame]) -> float:
    """The factor on the covariances that the points' scatter leads to, so that stated errors are true in the median.

    Renders are seen by exact cameras in an exact model; what photos add to that (`systematic_covariance`) is left out
    where validation frames are renders, and left as it is where they are photos. Too few poses to tell: 1.
    """
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, min(_MOST_FRAMES, len(frames))).round().astype(int)]
    exact, doubting = localizer.stating(1.0, exact=True), localizer.stating(1.0, exact=False)
    errors = []
    for each in chosen:
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
    # The median falls as the factor grows.
    median_s = np.median(errors, axis=0)
    return float(_SCALES[np.abs(np.log(median_s / _EXPECTED_MEDIAN)).argmin()])
