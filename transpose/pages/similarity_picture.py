"""A picture of how views overlap: the matrix, and a map of the cameras by how well the best other view matches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from transpose.geometry.poses import Pose
from transpose.pages.canvas import new_figure, plain_text, save_png
from transpose.scenes.unit import METRE, SceneUnit
from transpose.worlds.top_down import TopDown, top_down

_MOST_SQUARES = 500  # along a side; more views share squares
_LONELY = "#d55e00"


def draw_similarity(
    similarity: sparse.csr_array,
    names: tuple[str, str],
    poses: tuple[Sequence[Pose], Sequence[Pose]],
    up_3: np.ndarray | None,
    path: Path,
    metric: bool = True,
) -> Path:
    """Writes a PNG.

    Args:
        similarity: (rows, columns) in 0..1; a view's similarity with itself left out.
        names: of the sections of rows and of columns.
        poses: of their views.
        up_3: the world's up vector, where it is known.
        path: of the PNG.
        metric: whether lengths are metres.
    """
    figure = new_figure(13, 6.2)
    matrix, above = figure.subplots(1, 2)
    drawn = matrix.imshow(
        _squares(similarity),
        vmin=0,
        vmax=1,
        cmap="viridis",
        interpolation="nearest",
        aspect="auto",
        extent=(0, similarity.shape[1], similarity.shape[0], 0),
    )
    matrix.set(xlabel=plain_text(f"views of {names[1]}"), ylabel=plain_text(f"views of {names[0]}"))
    figure.colorbar(drawn, ax=[matrix, above], label="similarity; on the map, to the most similar view", shrink=0.8)
    centers_n3 = np.array([pose.center for some in poses for pose in some])
    plan = top_down(centers_n3, up_3, METRE if metric else SceneUnit(False, 1.0))
    if names[0] != names[1]:
        above.plot(*plan.places(_centers(poses[1])).T, ".", color="#bbbbbb", markersize=3, label=plain_text(names[1]))
    _draw_best(above, plan, poses[0], _largest_of_rows(similarity), names[0])
    above.set(xlabel=plan.labels[0], ylabel=plan.labels[1], aspect="equal")
    above.legend(frameon=False, loc="upper right", fontsize=8)
    return save_png(figure, path)


def _draw_best(axes: Any, plan: TopDown, poses: Sequence[Pose], best_n: np.ndarray, name: str) -> None:
    places_n2, ahead_n2 = plan.places(_centers(poses)), plan.directions(poses)
    lonely_n = best_n == 0
    axes.quiver(*places_n2.T, *ahead_n2.T, best_n, cmap="viridis", clim=(0, 1), width=0.003, scale=28)
    label = plain_text(f"{name}: {lonely_n.sum()} of {len(poses)} overlap with nothing")
    axes.plot(*places_n2[lonely_n].T, "x", color=_LONELY, markersize=5, label=label)


def _centers(poses: Sequence[Pose]) -> np.ndarray:
    return np.array([pose.center for pose in poses]).reshape(-1, 3)


def _largest_of_rows(similarity: sparse.csr_array) -> np.ndarray:
    return np.asarray(similarity.max(axis=1).toarray()).ravel()


def _squares(similarity: sparse.csr_array) -> np.ndarray:
    """The matrix with no more squares than can be seen; of several views in one, the largest similarity."""
    size = [min(_MOST_SQUARES, side) for side in similarity.shape]
    squares = np.zeros(size)
    entries = similarity.tocoo()
    row_m, column_m = (
        at.astype(np.int64) * squares_along // side
        for at, squares_along, side in zip((entries.row, entries.col), size, similarity.shape, strict=True)
    )
    np.maximum.at(squares, (row_m, column_m), entries.data)
    return squares
