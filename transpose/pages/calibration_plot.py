"""The calibration of predicted coordinates, as a picture.

matplotlib takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transpose.evaluation.coordinate_calibration import CoordinateCalibration
from transpose.evaluation.uncertainty import Sparsification
from transpose.pages.canvas import clean_axes, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_calibration(found: CoordinateCalibration, path: Path) -> Path:
    """Two panels: how many errors the ellipsoids hold, and what is left without the least confident cells."""
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    left.plot([0, 100], [0, 100], color="0.7", lw=1, label="exact")
    left.plot(100 * found.levels_k, 100 * found.covered_k, color="#2a6fbb", label="coordinates")
    left.set(xlabel="ellipsoid meant to hold, %", ylabel="holds, %", xlim=(0, 100), ylim=(0, 100))
    left.legend(frameon=False)
    if found.sparse is not None:
        draw_sparsification(right, found.sparse)
    for axes in (left, right):
        clean_axes(axes)
    return save_png(figure, path)


def draw_sparsification(axes: Axes, sparse: Sparsification) -> None:
    """What is left of the error when the least confident cells are taken away, and when the truly worst are."""
    axes.plot(100 * sparse.removed_k, sparse.left_k, color="#2a6fbb", label="least confident first")
    axes.plot(100 * sparse.removed_k, sparse.oracle_k, color="0.6", ls="--", label="worst first (oracle)")
    axes.set(xlabel="cells taken away, %", ylabel="mean error left, fraction of all", xlim=(0, 100), ylim=(0, None))
    axes.legend(frameon=False)
