"""Are a network's coordinates as wrong as it says? Measured on a section with labels, in numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transpose.evaluation.uncertainty import CalibrationReport, Sparsification, sparsification, stated_error
from transpose.localization import PredictsCoordinates
from transpose.localization.labelled_maps import LabelledMap, correlation_of, labelled_map
from transpose.losses.calibration import chi2_quantile, squared_errors
from transpose.scenes.layout import Frame, Section
from transpose.storage import replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_FRAMES = 24
_FEWEST_CELLS = 100
_LEVELS = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class CoordinateCalibration:
    """What a section says of a network's coordinates.

    Attributes:
        median_m: error of the cells whose point is known.
        report: on the stated covariances; None where nothing is stated.
        covered_k: share of errors within the ellipsoids of the levels `levels_k`.
        sparse: sparsification curves.
        correlation_px: length over which errors are alike.
    """

    median_m: float
    report: CalibrationReport | None
    levels_k: np.ndarray
    covered_k: np.ndarray
    sparse: Sparsification | None
    correlation_px: float | None

    def as_json(self) -> dict[str, Any]:
        """For `results.json`."""
        facts: dict[str, Any] = {"median_m": self.median_m, "error_correlation_px": self.correlation_px}
        return facts | ({} if self.report is None else self.report.as_json())


def calibrate_coordinates(localizer: PredictsCoordinates, section: Section) -> CoordinateCalibration | None:
    """The calibration on some frames of a section, evenly chosen; None where too few of its cells are labelled."""
    labelled = [frame for frame in section.frames if frame.has("depth") or frame.has("init")]
    maps = [labelled_map(localizer, frame) for frame in _some(labelled)]
    flat = [each.flat() for each in maps]
    errors_n3 = np.concatenate([np.zeros((0, 3)), *(errors for errors, _ in flat)])
    if len(errors_n3) < _FEWEST_CELLS:
        return None
    median_m = float(np.median(np.linalg.norm(errors_n3, axis=1)))
    stated = [covariances for _, covariances in flat if covariances is not None]
    if not stated:
        return CoordinateCalibration(median_m, None, _LEVELS, np.full(len(_LEVELS), np.nan), None, None)
    return _of(errors_n3, np.concatenate(stated), median_m, maps)


def _of(
    errors_n3: np.ndarray, covariances_n33: np.ndarray, median_m: float, maps: Sequence[LabelledMap]
) -> CoordinateCalibration:
    squared_n = squared_errors(errors_n3, covariances_n33)
    bounds_k = np.array([chi2_quantile(float(level), 3) for level in _LEVELS])
    covered_k = np.searchsorted(np.sort(squared_n), bounds_k) / len(squared_n)
    correlation = correlation_of(maps)
    return CoordinateCalibration(
        median_m,
        CalibrationReport.of(errors_n3, covariances_n33),
        _LEVELS,
        covered_k,
        sparsification(np.linalg.norm(errors_n3, axis=1), stated_error(covariances_n33)),
        None if correlation is None else correlation.length_px,
    )


def _some(frames: Sequence[Frame]) -> list[Frame]:
    return [frames[i] for i in np.linspace(0, len(frames) - 1, min(_MOST_FRAMES, len(frames))).round().astype(int)]


def plot_calibration(found: CoordinateCalibration, path: Path) -> Path:
    """Two panels: how many errors the ellipsoids hold, and what is left when the least sure cells are taken away."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 100], [0, 100], color="0.7", lw=1, label="exact")
    left.plot(100 * found.levels_k, 100 * found.covered_k, color="#2a6fbb", label="coordinates")
    left.set(xlabel="ellipsoid meant to hold, %", ylabel="holds, %", xlim=(0, 100), ylim=(0, 100))
    left.legend(frameon=False)
    if found.sparse is not None:
        draw_sparsification(right, found.sparse)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path


def draw_sparsification(axes: Axes, sparse: Sparsification) -> None:
    """What is left of the error when the least sure cells are taken away, and when the truly worst are."""
    axes.plot(100 * sparse.removed_k, sparse.left_k, color="#2a6fbb", label="least sure first")
    axes.plot(100 * sparse.removed_k, sparse.oracle_k, color="0.6", ls="--", label="worst first (oracle)")
    axes.set(xlabel="cells taken away, %", ylabel="mean error left, share of all", xlim=(0, 100), ylim=(0, None))
    axes.legend(frameon=False)
