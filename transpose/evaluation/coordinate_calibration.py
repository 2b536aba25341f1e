"""Are a network's coordinates as accurate as it predicts? Measured on a section with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from transpose.evaluation.uncertainty import CalibrationReport, Sparsification, predicted_error, sparsification
from transpose.localization import PredictsCoordinates
from transpose.localization.labelled_maps import LabelledMap, correlation_of, labelled_map
from transpose.losses.calibration import chi2_quantile, squared_errors
from transpose.scenes.layout import Frame
from transpose.scenes.unit import METRE, SceneUnit
from transpose.selection import evenly_chosen

_MOST_FRAMES = 24
_FEWEST_CELLS = 100
_LEVELS = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class CoordinateCalibration:
    """How accurate a network's coordinates are on a section, and how well their uncertainty is calibrated.

    Attributes:
        median: error of the cells whose point is known, as it is told: metres or per cent of the cameras' extent.
        report: on the predicted covariances; None without.
        covered_k: fraction of errors within the ellipsoids of the levels `levels_k`.
        sparse: sparsification curves.
        correlation_px: correlation length of the errors.
        unit: of the scene.
    """

    median: float
    report: CalibrationReport | None
    levels_k: np.ndarray
    covered_k: np.ndarray
    sparse: Sparsification | None
    correlation_px: float | None
    unit: SceneUnit = METRE

    def as_json(self) -> dict[str, Any]:
        """For `results.json`."""
        name = "median_m" if self.unit.metric else "median_percent"
        facts: dict[str, Any] = {name: self.median, "error_correlation_px": self.correlation_px}
        return facts | ({} if self.report is None else self.report.as_json())


def calibrate_coordinates(localizer: PredictsCoordinates, frames: Sequence[Frame]) -> CoordinateCalibration | None:
    """The calibration on some of the frames, evenly chosen; None where too few of their cells are labelled."""
    labelled = [frame for frame in frames if frame.has("depth") or frame.has("init")]
    chosen = [labelled[i] for i in evenly_chosen(len(labelled), _MOST_FRAMES)]
    maps = [labelled_map(localizer, frame) for frame in chosen]
    flat = [each.flat() for each in maps]
    errors_n3 = np.concatenate([np.zeros((0, 3)), *(errors for errors, _ in flat)])
    if len(errors_n3) < _FEWEST_CELLS:
        return None
    unit = localizer.checkpoint.unit
    median = unit.told(float(np.median(np.linalg.norm(errors_n3, axis=1))))
    predicted = [covariances for _, covariances in flat if covariances is not None]
    if not predicted:
        return CoordinateCalibration(median, None, _LEVELS, np.full(len(_LEVELS), np.nan), None, None, unit)
    return replace(_of(errors_n3, np.concatenate(predicted), median, maps), unit=unit)


def _of(
    errors_n3: np.ndarray, covariances_n33: np.ndarray, median: float, maps: Sequence[LabelledMap]
) -> CoordinateCalibration:
    squared_n = squared_errors(errors_n3, covariances_n33)
    bounds_k = np.array([chi2_quantile(float(level), 3) for level in _LEVELS])
    covered_k = np.searchsorted(np.sort(squared_n), bounds_k) / len(squared_n)
    correlation = correlation_of(maps)
    return CoordinateCalibration(
        median,
        CalibrationReport.of(errors_n3, covariances_n33),
        _LEVELS,
        covered_k,
        sparsification(np.linalg.norm(errors_n3, axis=1), predicted_error(covariances_n33)),
        None if correlation is None else correlation.length_px,
    )
