"""Fits of `pretrain_errors.py`: covariances and confidences by what poses rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from transpose.localization.confidence import beside_rival, is_doubted
from transpose.losses.calibration import chi2_quantile

_FREEDOM = 30.0  # of the Student's t likelihood: a few poses that are far off do not decide
# What the first guess is worth against the data, on a logarithmic scale: keeps what no pose tells from drifting.
_PRIOR = 1e-2
_STARTS = 4
_COVERAGE = 0.9  # of the true poses in the ellipsoid that is meant to hold so many
_RIDGE = 0.03  # of a logistic regression's weights, in poses
_NAMES = ("residual_scale", "floor_px", "floor_power", "misfit_factor", "misfit_power", "focal", "map")
_FIRST = np.log([1.5, 0.1, 1.0, 0.5, 1.2, 0.5, 1.0])
_MOST_RIVAL = 50.0
_FEATURES = ("agreeing", "share", "spread", "confirmed")  # of `localization.confidence.features`
# What each group of poses counts, by the errors of camera and map that were drawn (`Poses.quality_n`).
_SHARES = {0: 0.25, 1: 0.25, 2: 0.5}


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of one kind, found of images whose true pose is known.

    Attributes:
        xi_n6: errors.
        solver_n66, focal_n66, center_n66, map_n66: covariances: of the solver, and of an error of the focal length,
            the principal point and the map of one relative standard deviation each.
        drawn_n2: relative standard deviations of the focal length and the principal point that were drawn.
        focal_px_n, residual_px_n, misfit_px_n: see `Evidence`.
        quality_n: 0: exact camera and map; 1: off by up to 0.1 %; 2: by up to 0.3 %; 3: by more.
    """

    xi_n6: np.ndarray
    solver_n66: np.ndarray
    focal_n66: np.ndarray
    center_n66: np.ndarray
    map_n66: np.ndarray
    drawn_n2: np.ndarray
    focal_px_n: np.ndarray
    residual_px_n: np.ndarray
    misfit_px_n: np.ndarray
    quality_n: np.ndarray

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Poses:
        """Of dictionaries with the names of the fields, without their suffix."""
        columns = {name: np.array([row[name.rpartition("_")[0]] for row in rows]) for name in cls.__dataclass_fields__}
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.xi_n6)


def squared_errors(poses: Poses, log_p: np.ndarray, conformal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """xi^T C^-1 xi and log |C| by the logarithms of `ErrorModel`'s fields, and beside these its factor."""
    scale, floor, power, factor, misfit_power, focal, map_ = np.exp(log_p)
    floor_n = floor * (poses.residual_px_n / 2) ** power
    shared_n = np.hypot(floor_n, factor * poses.misfit_px_n**misfit_power) / poses.focal_px_n
    drawn_n = poses.drawn_n2**2

    def times(variance_n: np.ndarray, of_n66: np.ndarray) -> np.ndarray:
        return np.asarray(variance_n[:, None, None] * of_n66)

    told_n66 = (
        scale * poses.solver_n66
        + times((focal * shared_n) ** 2, poses.focal_n66)
        + times(shared_n**2, poses.center_n66)
        + times((map_ * shared_n) ** 2, poses.map_n66)
    )
    covariance_n66 = (
        conformal * told_n66 + times(drawn_n[:, 0], poses.focal_n66) + times(drawn_n[:, 1], poses.center_n66)
    )
    sigma_n6 = np.sqrt(np.einsum("nii->ni", covariance_n66))
    factor_n66 = np.linalg.cholesky(covariance_n66 / sigma_n6[:, :, None] / sigma_n6[:, None] + 1e-9 * np.eye(6))
    whitened_n6 = np.linalg.solve(factor_n66, (poses.xi_n6 / sigma_n6)[..., None])[..., 0]
    log_volume_n = 2 * np.log(np.einsum("nii->ni", factor_n66)).sum(1) + 2 * np.log(sigma_n6).sum(1)
    return (whitened_n6**2).sum(1), log_volume_n


def fitted_covariance(poses: Poses) -> dict[str, float]:
    """The most likely fields of an `ErrorModel`."""
    counts_n = _counts(poses)

    def loss(log_p: np.ndarray) -> float:
        squared_n, log_volume_n = squared_errors(poses, log_p)
        surprise_n = 0.5 * log_volume_n + 0.5 * (_FREEDOM + 6) * np.log1p(squared_n / _FREEDOM)
        return float(counts_n @ surprise_n + _PRIOR * ((log_p - _FIRST) ** 2).mean())

    rng = np.random.default_rng(0)
    limits = [(first - 2, first + 2) for first in _FIRST]
    limits[2] = limits[4] = (np.log(0.2), np.log(2.5))
    starts = [_FIRST, *(_FIRST + 0.7 * rng.normal(size=len(_FIRST)) for _ in range(_STARTS - 1))]
    best = min((minimize(loss, start, method="L-BFGS-B", bounds=limits) for start in starts), key=lambda each: each.fun)
    return {name: round(float(np.exp(value)), 4) for name, value in zip(_NAMES, best.x, strict=True)}


def conformal_factor(poses: Poses, model: dict[str, float]) -> float:
    """The factor on a model's covariances with which 90 % of poses like these lie in their 90 % ellipsoids.

    Of n poses ceil(0.9 (n + 1)) are to (split conformal prediction), each counting as it does in the fit.
    """
    counts_n, log_p = _counts(poses), np.log([model[name] for name in _NAMES])
    wanted = min(1.0, _COVERAGE * (1 + 1 / max(1, int((counts_n > 0).sum()))))
    factor_k = np.geomspace(0.5, 50.0, 400)
    within_k = [
        counts_n[squared_errors(poses, log_p, factor)[0] <= chi2_quantile(_COVERAGE, 6)].sum() for factor in factor_k
    ]
    return round(float(factor_k[min(int(np.searchsorted(within_k, wanted)), len(factor_k) - 1)]), 3)


def _counts(poses: Poses) -> np.ndarray:
    """What each pose counts (n,), by how far camera and map were off; their sum is 1."""
    counts_n = np.zeros(len(poses))
    for quality, share in _SHARES.items():
        of_it = poses.quality_n == quality
        counts_n[of_it] = share / max(1, of_it.sum())
    return np.asarray(counts_n / counts_n.sum())


def told(poses: Poses, model: dict[str, float]) -> dict[str, float]:
    """Median NEES (right: 5.35) and share within the 90 % ellipsoid."""
    squared_n, _ = squared_errors(poses, np.log([model[name] for name in _NAMES]), model.get("conformal", 1.0))
    return {
        "poses": len(poses),
        "nees_median": float(np.median(squared_n)) if len(poses) else float("nan"),
        "coverage_90": float((squared_n <= chi2_quantile(_COVERAGE, 6)).mean()) if len(poses) else float("nan"),
    }


def fitted_confidence(features_nk: np.ndarray, right_n: np.ndarray) -> dict[str, float]:
    """Weights of a `ConfidenceModel`; right and wrong poses count alike in all.

    No weight may have a sign that chance alone could give it: more that agree, a larger share and a wider spread never
    speak against a pose. What is the same of all poses gets none.
    """
    mean_k, sigma_k = features_nk.mean(0), features_nk.std(0) + 1e-9
    x_nk = (features_nk - mean_k) / sigma_k
    sign_n = np.where(right_n, 1.0, -1.0)
    counts_n = _evenly(right_n)

    def loss(w: np.ndarray) -> float:
        surprise_n = np.logaddexp(0, -sign_n * (x_nk @ w[:-1] + w[-1]))
        return float(counts_n @ surprise_n + _RIDGE / len(x_nk) * (w[:-1] @ w[:-1]))

    limits = [*[(0, None)] * len(_FEATURES), (None, None)]
    w = minimize(loss, np.zeros(len(limits)), method="L-BFGS-B", bounds=limits).x
    weight_k = w[:-1] / sigma_k
    rounded = {name: round(float(weight), 4) for name, weight in zip(_FEATURES, weight_k, strict=True)}
    return {"intercept": round(float(w[-1] - weight_k @ mean_k), 4), **rounded}


def fitted_rival(logit_n: np.ndarray, rival_n: np.ndarray, right_n: np.ndarray) -> float:
    """What another pose counts (`confidence.beside_rival`); right and wrong poses count alike in all.

    Args:
        logit_n: of poses, before another was looked for.
        rival_n: see `contradiction.rival_support`.
        right_n: which are right.
    """
    doubted_n = np.array([is_doubted(logit) for logit in logit_n])
    sign_n, counts_n = np.where(right_n, 1.0, -1.0)[doubted_n], _evenly(right_n)[doubted_n]
    known = list(zip(logit_n[doubted_n], rival_n[doubted_n], strict=True))

    def loss(weight: float) -> float:
        after_n = np.array([beside_rival(logit, rival, weight) for logit, rival in known])
        return float(counts_n @ np.logaddexp(0, -sign_n * after_n))

    return round(float(minimize_scalar(loss, bounds=(0, _MOST_RIVAL), method="bounded").x), 2)


def _evenly(right_n: np.ndarray) -> np.ndarray:
    """What each counts (n,), so that right and wrong ones count alike in all."""
    return np.where(right_n, 0.5 / max(1, right_n.sum()), 0.5 / max(1, (~right_n).sum()))
