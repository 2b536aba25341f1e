"""How far over the image errors of a coordinate map are correlated: what decides the effective number of its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import CELL_STRIDE

# Beyond the distance where the correlation has fallen to this fraction it is taken for zero: what is measured there is
# mostly chance, and there is much area. Of a Gaussian correlation, the area left out is the same fraction.
_NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class ErrorCorrelation:
    """The autocorrelation of errors over the image plane, whatever the direction.

    Attributes:
        distance_px_d: distances, growing from 0.
        correlation_d: correlation of errors so far apart, 1 at 0.
        area_px2: its integral over the plane: N cells tell as much of a pose as N stride^2 / area_px2 independent ones.
        fall_px: distance at which it has fallen to exp(-1/2); infinite where it has not within half the map.
    """

    distance_px_d: np.ndarray
    correlation_d: np.ndarray
    area_px2: float
    fall_px: float

    @property
    def length_px(self) -> float:
        """Length l of the Gaussian correlation exp(-d^2 / (2 l^2)) of the same area: `PosteriorOptions.correlation_px`.

        Where neighbours share only part of their error, `fall_px` is about one cell however far that part reaches, and
        poses come out over-confident; the area knows of both.
        """
        return math.sqrt(self.area_px2 / (2 * math.pi))

    @property
    def square_px(self) -> float:
        """Side of the square that counts as one independent cell: `RansacOptions.correlation_px`."""
        return math.sqrt(self.area_px2)


def error_correlation(
    errors_bhwk: np.ndarray, stride_px: float = CELL_STRIDE, most_medians: float = 4.0
) -> ErrorCorrelation:
    """The autocorrelation of errors over maps of held-out frames.

    No mean is taken off: an error that a whole image shares is as correlated as can be, and the length then comes out
    as long as the maps can show, about half their shorter side.

    Args:
        errors_bhwk: vectors on b maps, NaN where there is no label. Best whitened by their covariances
            (`calibration.whitened`), which is what a field of correlated noise multiplies.
        stride_px: pixels from cell to cell.
        most_medians: a vector longer than that many times the median length is shortened to it, so that a few gross
            outliers, which share nothing with their neighbours, do not decide; Gaussian errors are hardly ever so long.

    Raises:
        ValueError: another shape, no labelled cell, or no error at all.
    """
    errors_bhwk = np.asarray(errors_bhwk, dtype=np.float64)
    if errors_bhwk.ndim != 4 or not min(stride_px, most_medians) > 0:
        given = f"{errors_bhwk.shape}, {stride_px} and {most_medians}"
        raise ValueError(f"need maps (b, h, w, k), a positive stride and a positive limit, got {given}")
    known_bhw = np.isfinite(errors_bhwk).all(-1)
    if not known_bhw.any():
        raise ValueError("no cell with a label to measure a correlation on")
    errors_bhwk = _shortened(np.where(known_bhw[..., None], errors_bhwk, 0.0), known_bhw, most_medians)
    products_yx = np.sum([_autocorrelation(each_bhw) for each_bhw in np.moveaxis(errors_bhwk, -1, 0)], axis=0)
    pairs_yx = _autocorrelation(known_bhw.astype(np.float64))
    height, width = known_bhw.shape[1:]
    furthest = max(min(height, width) // 2, 1)
    y_h, x_w = np.fft.fftfreq(2 * height, 1 / (2 * height)), np.fft.fftfreq(2 * width, 1 / (2 * width))
    ring_yx = np.hypot(y_h[:, None], x_w).round().astype(np.int64)
    counted_yx = (ring_yx <= furthest) & (pairs_yx > 0.5)
    ring_m = ring_yx[counted_yx]
    products_d = np.bincount(ring_m, products_yx[counted_yx], furthest + 1)
    pairs_d = np.bincount(ring_m, pairs_yx[counted_yx], furthest + 1)
    if not products_d[0] > 0:
        raise ValueError("all errors are zero, so nothing of them can be correlated")
    distance_d = np.flatnonzero(pairs_d > 0)
    correlation_d = products_d[distance_d] / pairs_d[distance_d] * (pairs_d[0] / products_d[0])
    return _summed(distance_d, correlation_d, np.bincount(ring_yx.ravel())[distance_d], stride_px)


def _summed(
    distance_d: np.ndarray, correlation_d: np.ndarray, cells_d: np.ndarray, stride_px: float
) -> ErrorCorrelation:
    negligible = np.flatnonzero(correlation_d < _NEGLIGIBLE)
    end = int(negligible[0]) if len(negligible) else len(correlation_d)
    area_px2 = float((correlation_d * cells_d)[:end].sum()) * stride_px**2
    level = math.exp(-0.5)
    below = np.flatnonzero(correlation_d < level)
    fall_px = math.inf
    if len(below):
        i = int(below[0])
        fraction = (correlation_d[i - 1] - level) / (correlation_d[i - 1] - correlation_d[i])
        fall_px = float(distance_d[i - 1] + fraction * (distance_d[i] - distance_d[i - 1])) * stride_px
    return ErrorCorrelation(distance_d * stride_px, correlation_d, area_px2, fall_px)


def _shortened(errors_bhwk: np.ndarray, known_bhw: np.ndarray, most_medians: float) -> np.ndarray:
    length_bhw = np.linalg.norm(errors_bhwk, axis=-1)
    limit = most_medians * float(np.median(length_bhw[known_bhw]))
    if limit == 0:
        return errors_bhwk
    return errors_bhwk * (limit / np.maximum(length_bhw, limit))[..., None]


def _autocorrelation(values_bhw: np.ndarray) -> np.ndarray:
    """Sums over maps and cells of products of two values a lag apart, (2 h, 2 w) by lag as `numpy.fft` orders them."""
    height, width = values_bhw.shape[1:]
    spectrum = np.fft.rfft2(values_bhw, s=(2 * height, 2 * width), axes=(1, 2))
    return np.fft.irfft2((np.abs(spectrum) ** 2).sum(0), s=(2 * height, 2 * width))
