"""Whether errors are as large as predicted: errors in units of their covariance, and the one factor that mends it."""

from __future__ import annotations

import numpy as np


def chi2_quantile(level: float, freedom: int) -> float:
    """The value below which a chi-square variable of so many degrees of freedom lies with probability `level`."""
    from scipy.special import gammaincinv

    if not 0 < level < 1 or freedom < 1:
        raise ValueError(f"need 0 < level < 1 and a degree of freedom, got {level} and {freedom}")
    return float(2 * gammaincinv(freedom / 2, level))


def squared_errors(errors_nk: np.ndarray, covariance_nkk: np.ndarray) -> np.ndarray:
    """e^T C^-1 e, (n,): chi-square with k degrees of freedom where errors are Gaussian and as large as predicted.

    Args:
        errors_nk: any unit; rows with a NaN (no label) give NaN.
        covariance_nkk: of the errors, that unit squared.

    Raises:
        ValueError: shapes that do not fit, or a covariance that is not positive definite.
    """
    return np.square(whitened(errors_nk, covariance_nkk)).sum(1)


def whitened(errors_nk: np.ndarray, covariance_nkk: np.ndarray) -> np.ndarray:
    """L^-1 e (n, k) with C = L L^T: of unit variance where errors are as predicted. See `squared_errors`."""
    errors_nk = np.asarray(errors_nk, dtype=np.float64)
    L_nkk = cholesky(covariance_nkk)
    if errors_nk.ndim != 2 or L_nkk.shape != (*errors_nk.shape, errors_nk.shape[1]):
        raise ValueError(f"need errors (n, k) and covariances (n, k, k), got {errors_nk.shape} and {L_nkk.shape}")
    white_nk = np.empty_like(errors_nk)
    for i in range(errors_nk.shape[1]):  # forward substitution, all rows at once
        above_n = (L_nkk[:, i, :i] * white_nk[:, :i]).sum(1)
        white_nk[:, i] = (errors_nk[:, i] - above_n) / L_nkk[:, i, i]
    return white_nk


def cholesky(covariance_nkk: np.ndarray) -> np.ndarray:
    """Lower triangular factors of covariances (n, k, k).

    Raises:
        ValueError: one is not positive definite, or not finite.
    """
    covariance_nkk = np.asarray(covariance_nkk, dtype=np.float64)
    if not np.isfinite(covariance_nkk).all():
        raise ValueError("a covariance holds NaN or infinite numbers")
    try:
        return np.linalg.cholesky(covariance_nkk)
    except np.linalg.LinAlgError:
        raise ValueError("a covariance is not positive definite") from None


def covariance_temperature(squared_n: np.ndarray, coverage: float = 0.9, freedom: int = 3) -> float:
    """The factor on predicted covariances with which their ellipsoids hold as many errors as they should; above 1 they
    were too small.

    Measured on frames kept out of training. A quantile, and not the mean of squared errors (the maximum likelihood of
    Gaussian ones): a few cells that show something else entirely would decide a mean alone, one that is a hundred
    sigmas off as much as three thousand good ones. And not the median: the errors' tails are heavier than a Gaussian's,
    and it says nothing of them (of a Laplace density whose covariance is exact it makes 0.76).

    Args:
        squared_n: errors in units of their covariances, e^T C^-1 e (`squared_errors`); NaN (no label) is left out.
        coverage: of the errors that their ellipsoids of that probability are made to hold.
        freedom: how many components an error has.

    Raises:
        ValueError: no error is left.
    """
    squared_n = np.asarray(squared_n, dtype=np.float64)
    squared_n = squared_n[~np.isnan(squared_n)]
    if len(squared_n) == 0:
        raise ValueError("no cell with a label to measure a temperature on")
    return float(np.quantile(squared_n, coverage)) / chi2_quantile(coverage, freedom)
