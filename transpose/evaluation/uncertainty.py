"""The calibration report: are errors as large as predicted, of the predicted shape, and large where predicted?

Points first (three degrees of freedom), then poses (six). Bounds are those of Gaussian errors. Where a covariance is
exact but errors have a Laplace tail, 59, 88 and 92 % of them lie in the ellipsoids of 50, 90 and 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transpose.losses.calibration import chi2_quantile, cholesky, covariance_temperature, squared_errors

LEVELS = (0.5, 0.9, 0.95)


@dataclass(frozen=True)
class CalibrationReport:
    """What a network's covariances are worth on cells whose label is known; NaN where there is no such cell.

    Attributes:
        cells: how many there are.
        squared_mean: mean of e^T C^-1 e; 3 where errors are as large as predicted, more where it is over-confident.
        squared_median: its median; 2.366 for Gaussian errors as large as predicted.
        coverage_50, coverage_90, coverage_95: fraction of errors within the ellipsoids that should hold so many.
        temperature: the factor on the covariances with which 90 % ellipsoids hold 90 %, as the end of training measures
            it (`losses.calibration.covariance_temperature`).
        temperature_robust: the same for half of the errors, whatever their tail.
        nll: mean Gaussian negative log-likelihood of the errors, nats, errors in the scene's unit, constants included.
        nll_isotropic: the same for spheres of the same mean square error: more than `nll` where the predicted shape is
            worth something, less where it is wrong.
        ause, ause_random: see `Sparsification`.
    """

    cells: int
    squared_mean: float
    squared_median: float
    coverage_50: float
    coverage_90: float
    coverage_95: float
    temperature: float
    temperature_robust: float
    nll: float
    nll_isotropic: float
    ause: float
    ause_random: float

    @classmethod
    def of(cls, errors_n3: np.ndarray, covariance_n33: np.ndarray) -> CalibrationReport:
        """The report on errors (n, 3), NaN where there is no label, and their covariances (n, 3, 3), in one unit.

        Raises:
            ValueError: shapes that do not fit, an infinite error, or a covariance that is not positive definite.
        """
        errors_n3, covariance_n33 = labelled_rows(errors_n3, covariance_n33)
        if len(errors_n3) == 0:
            return cls(0, *[math.nan] * 11)
        squared_n = squared_errors(errors_n3, covariance_n33)
        sparse = sparsification(np.linalg.norm(errors_n3, axis=1), predicted_error(covariance_n33))
        return cls(
            len(errors_n3),
            float(squared_n.mean()),
            float(np.median(squared_n)),
            *coverage(squared_n, freedom=3),
            covariance_temperature(squared_n),
            covariance_temperature(squared_n, coverage=0.5),
            float(gaussian_nll(errors_n3, covariance_n33).mean()),
            float(gaussian_nll(errors_n3, isotropic(covariance_n33)).mean()),
            sparse.ause,
            sparse.ause_random,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; None where one is not finite, which JSON has no word for."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class PoseCalibration:
    """What pose covariances are worth.

    Attributes:
        poses: how many there are.
        nees_median: of the squared errors in units of their covariances; 5.348 where errors are as large as predicted.
        nees_median_expected: that number.
        coverage_50, coverage_90, coverage_95: fraction of errors within the ellipsoids that should hold so many.
    """

    poses: int
    nees_median: float
    nees_median_expected: float
    coverage_50: float
    coverage_90: float
    coverage_95: float

    @classmethod
    def of(cls, nees_n: np.ndarray | Sequence[float]) -> PoseCalibration:
        """The report on normalised errors (n,), of `geometry.poses.normalized_error`; NaN where there is no pose."""
        all_n = np.asarray(nees_n, dtype=np.float64)
        posed_n = all_n[~np.isnan(all_n)]
        median = float(np.median(posed_n)) if len(posed_n) else math.nan
        return cls(len(posed_n), median, chi2_quantile(0.5, 6), *coverage(posed_n, freedom=6))

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; None where one is not finite, which JSON has no word for."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Sparsification:
    """What is left of the error when the most uncertain cells are taken away (Ilg et al., ECCV 2018).

    Attributes:
        removed_k: fractions of cells taken away, from 0 to below 1.
        left_k: mean error of those that stay, most uncertain first to go, in units of the mean error of all.
        oracle_k: the same where the truly worst are first to go: no curve can be lower.
        ause: area between both curves; 0 where the predicted uncertainties order cells as their errors do.
        ause_random: that area for a random order; above it the predicted uncertainty misleads.
    """

    removed_k: np.ndarray
    left_k: np.ndarray
    oracle_k: np.ndarray
    ause: float
    ause_random: float


def sparsification(error_n: np.ndarray, uncertainty_n: np.ndarray, points: int = 101) -> Sparsification:
    """The sparsification curves of errors (n,) and the predicted ones (n,), both of any unit.

    Cells of the same uncertainty go in no order: each counts as their mean. The areas are taken over all cells; only
    `points` of the curve are returned.

    Raises:
        ValueError: no cells, other shapes, or numbers that are not finite.
    """
    error_n, uncertainty_n = np.asarray(error_n, np.float64), np.asarray(uncertainty_n, np.float64)
    if error_n.ndim != 1 or error_n.shape != uncertainty_n.shape or len(error_n) == 0 or points < 1:
        raise ValueError(
            f"need errors and uncertainties (n,) of at least one cell, got {error_n.shape} and {uncertainty_n.shape}"
        )
    if not (np.isfinite(error_n).all() and np.isfinite(uncertainty_n).all()):
        raise ValueError("errors and uncertainties must be finite; leave out cells without a label")
    _, group_n, count_g = np.unique(uncertainty_n, return_inverse=True, return_counts=True)
    mean_g = np.bincount(group_n, error_n) / count_g
    unit = float(error_n.mean()) or 1.0
    # Entry m: the mean of the m + 1 cells that stay.
    left_n = _running_mean(np.repeat(mean_g, count_g)) / unit
    oracle_n = _running_mean(np.sort(error_n)) / unit
    kept_k = np.unique(np.linspace(len(error_n), 1, points).round().astype(np.int64))[::-1]
    return Sparsification(
        removed_k=1 - kept_k / len(error_n),
        left_k=left_n[kept_k - 1],
        oracle_k=oracle_n[kept_k - 1],
        ause=float((left_n - oracle_n).mean()),
        ause_random=float((error_n.mean() / unit - oracle_n).mean()),
    )


def coverage(squared_n: np.ndarray, freedom: int) -> tuple[float, float, float]:
    """Fractions of squared errors in units of their covariances within the 50, 90 and 95 % ellipsoids; NaN of none."""
    squared_n = np.asarray(squared_n, dtype=np.float64)
    if len(squared_n) == 0:
        return math.nan, math.nan, math.nan
    half, most, nearly_all = (float((squared_n <= chi2_quantile(level, freedom)).mean()) for level in LEVELS)
    return half, most, nearly_all


def gaussian_nll(errors_n3: np.ndarray, covariance_n33: np.ndarray) -> np.ndarray:
    """Negative log-likelihood (n,) of Gaussian errors in nats, constants included, so that models can be compared."""
    log_volume_n = np.log(np.diagonal(cholesky(covariance_n33), axis1=1, axis2=2)).sum(1)
    squared_n = squared_errors(errors_n3, covariance_n33)
    return 0.5 * squared_n + log_volume_n + 0.5 * errors_n3.shape[1] * math.log(2 * math.pi)


def isotropic(covariance_n33: np.ndarray) -> np.ndarray:
    """Spheres (n, 3, 3) of the same mean square error: of all isotropic Gaussians the nearest, KL(predicted | it)."""
    return np.einsum("nii->n", covariance_n33)[:, None, None] / 3 * np.eye(3)


def predicted_error(covariance_n33: np.ndarray) -> np.ndarray:
    """Root mean square distance (n,) by the covariances."""
    return np.sqrt(np.einsum("nii->n", covariance_n33))


def labelled_rows(errors_n3: np.ndarray, covariance_n33: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose error is known, in float64.

    Raises:
        ValueError: shapes that do not fit, or an infinite error.
    """
    errors_n3, covariance_n33 = np.asarray(errors_n3, np.float64), np.asarray(covariance_n33, np.float64)
    if errors_n3.ndim != 2 or errors_n3.shape[1] != 3 or covariance_n33.shape != (len(errors_n3), 3, 3):
        raise ValueError(f"need errors (n, 3) and covariances (n, 3, 3), got {errors_n3.shape}, {covariance_n33.shape}")
    if np.isinf(errors_n3).any():
        raise ValueError("an error is infinite; a label that is not known is NaN")
    known_n = ~np.isnan(errors_n3).any(1)
    return errors_n3[known_n], covariance_n33[known_n]


def _running_mean(values_n: np.ndarray) -> np.ndarray:
    return np.cumsum(values_n) / np.arange(1, len(values_n) + 1)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value if math.isfinite(value) else None for name, value in facts.items()}
