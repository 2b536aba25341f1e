"""Whether poses are as often right as their confidence says, and what is gained by refusing the unsure ones.

A pose is right where it puts what the image shows within a twentieth of the image's diagonal of where it is
(`localization.confidence`). Images of which a method does not say how sure it is are left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform

_BINS = 10
_GRID = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the image's sides


@dataclass(frozen=True)
class Reliability:
    """What stated confidences are worth; NaN of no images.

    Attributes:
        images: with a stated confidence, refused ones among them.
        right: share whose pose is right, refused ones among them.
        brier: mean of (confidence - right)^2 (Brier 1950).
        ece: expected calibration error: mean distance of stated and true shares over ten bins of confidence, weighted
            by how many images are in them (Guo et al., ICML 2017).
        aurc: area under the risk-coverage curve: the mean share of wrong poses among the surest k, over all k
            (Geifman et al., ICLR 2019).
        aurc_best: the least that this many wrong poses allow.
        stated_b, true_b, images_b: mean confidence, share of right poses, and number of images of each bin; None where
            it is empty.
    """

    images: int
    right: float
    brier: float
    ece: float
    aurc: float
    aurc_best: float
    stated_b: tuple[float | None, ...]
    true_b: tuple[float | None, ...]
    images_b: tuple[int, ...]

    @classmethod
    def of(cls, confidence_n: np.ndarray, right_n: np.ndarray) -> Reliability:
        """Of confidences (n,) in 0..1 and which poses are right (n,) bool.

        Raises:
            ValueError: other shapes, or a confidence that is no probability.
        """
        confidence_n, right_n = np.asarray(confidence_n, np.float64), np.asarray(right_n, bool)
        if confidence_n.ndim != 1 or confidence_n.shape != right_n.shape:
            raise ValueError(f"need confidences (n,) and as many truths, got {confidence_n.shape}, {right_n.shape}")
        if not ((confidence_n >= 0) & (confidence_n <= 1)).all():
            raise ValueError("a confidence is a probability between 0 and 1")
        if len(confidence_n) == 0:
            nan, none = math.nan, (None,) * _BINS
            return cls(0, nan, nan, nan, nan, nan, none, none, (0,) * _BINS)
        bin_n = np.minimum((confidence_n * _BINS).astype(int), _BINS - 1)
        images_b = np.bincount(bin_n, minlength=_BINS)
        some_b = np.maximum(images_b, 1)
        stated_b = np.bincount(bin_n, confidence_n, _BINS) / some_b
        true_b = np.bincount(bin_n, right_n, _BINS) / some_b
        return cls(
            len(confidence_n),
            float(right_n.mean()),
            float(((confidence_n - right_n) ** 2).mean()),
            float((images_b * np.abs(stated_b - true_b)).sum() / len(confidence_n)),
            float(risk_coverage(confidence_n, right_n).mean()),
            float(risk_coverage(right_n.astype(float), right_n).mean()),
            _known(stated_b, images_b),
            _known(true_b, images_b),
            tuple(int(each) for each in images_b),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def risk_coverage(confidence_n: np.ndarray, right_n: np.ndarray) -> np.ndarray:
    """Entry k: the share of wrong poses among the k + 1 surest (n,). Equally sure ones count as their mean."""
    _, group_n, count_g = np.unique(-confidence_n, return_inverse=True, return_counts=True)
    wrong_g = np.bincount(group_n, ~right_n) / count_g
    wrong_n = np.repeat(wrong_g, count_g)
    return np.asarray(np.cumsum(wrong_n) / np.arange(1, len(wrong_n) + 1))


def image_shift(pose: Pose, truth: Pose, camera: Camera, distance: float) -> float:
    """How far a pose shifts what is seen, in image diagonals: the median over a grid of points at one distance.

    Args:
        pose: of a camera.
        truth: where it is.
        camera: its intrinsics.
        distance: along its axis of what it sees, in the unit of the poses.
    """
    px_n2 = np.array([(x * camera.width, y * camera.height) for x in _GRID for y in _GRID])
    points_n3 = transform(pose.T_wc, camera.unproject(px_n2) * distance)
    shift_n = np.linalg.norm(camera.project(transform(truth.T_cw, points_n3)) - px_n2, axis=1)
    shift_n = np.where(np.isfinite(shift_n), shift_n, np.inf)
    return float(np.median(shift_n)) / math.hypot(camera.width, camera.height)


def _known(values_b: np.ndarray, images_b: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(value) if images else None for value, images in zip(values_b, images_b, strict=True))
