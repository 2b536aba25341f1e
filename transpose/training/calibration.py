"""How far a localizer's stated uncertainty is from its true errors, measured on frames kept out of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transpose.geometry.poses import normalized_error
from transpose.localization import SceneCoordinateLocalizer
from transpose.training.buffer import TrainingFrame

_EXPECTED_MEDIAN = 5.348  # of a chi-square distribution with six degrees of freedom
_FEWEST_POSES = 5
_MOST_FRAMES = 24


def covariance_scale(localizer: SceneCoordinateLocalizer, frames: Sequence[TrainingFrame]) -> float:
    """The factor by which pose covariances must grow for the median NEES of the frames to be what it should be.

    The solver takes the errors of neighbouring cells as independent, which they are not, so its covariances are too
    small. Too few poses to tell: 1.
    """
    chosen = np.linspace(0, len(frames) - 1, min(_MOST_FRAMES, len(frames))).round().astype(int)
    errors = []
    for index in chosen:
        frame = frames[index].frame
        estimate = localizer.localize(frame.image(), frame.camera)
        if estimate.pose is not None and estimate.covariance_66 is not None:
            errors.append(normalized_error(estimate.pose, frame.pose, estimate.covariance_66))
    if len(errors) < _FEWEST_POSES:
        return 1.0
    return float(np.median(errors)) / _EXPECTED_MEDIAN
