"""How much views of two sections show of the same, and which pairs of them are alike: by geometry, not by names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera
from transpose.geometry.depth_views import DepthView
from transpose.geometry.overlap import OverlapOptions, frustum_overlap
from transpose.geometry.surface_overlap import SurfaceOptions, surface_overlap
from transpose.inspection.view_depths import views_of
from transpose.scenes.facts import read_scene_facts
from transpose.scenes.layout import Frame, Section
from transpose.scenes.unit import is_metric

Measure = Literal["frustum", "nso"]
_SAME_PLACE = 1e-3  # metres between origins that are the same
_ORIGINS = ("origin", "gps_origin")
_STRIDES = (16, 32, 64)  # at which many views are compared
_MOST_POINTS = 20_000_000  # of all views together


@dataclass(frozen=True)
class SimilarityOptions:
    """What is measured.

    Attributes:
        measure: "frustum": the share of a view's points that the other shows (`geometry.overlap`); "nso": of its
            surface that the other has too, facing the same way (`geometry.surface_overlap`).
        stride: pixels between the points of an image.
        least: smaller values are left out.
        depth_m, depth_share: how far depths may differ, see `OverlapOptions`.
        cells, radius: within which surfaces count as one, see `SurfaceOptions`.
        device: where it is computed.
    """

    measure: Measure = "frustum"
    stride: int = CELL_STRIDE
    least: float = 0.01
    depth_m: float = 0.0
    depth_share: float = 0.05
    cells: float = 3.0
    radius: float | None = None
    device: str = "cpu"

    @classmethod
    def of_many(cls, cameras: Sequence[Camera], least: float = 0.01) -> SimilarityOptions:
        """Frusta of so many views that they are compared at fewer points: some 20 KB a view, less of very many.

        Args:
            cameras: of the views.
            least: see the class.
        """
        pixels = sum(camera.width * camera.height for camera in cameras)
        stride = next((each for each in _STRIDES if pixels <= _MOST_POINTS * each**2), _STRIDES[-1])
        return cls(stride=stride, least=least)

    def measured(
        self, sources: Sequence[DepthView], targets: Sequence[DepthView], progress: Callable[[range], Iterator[int]]
    ) -> sparse.csr_array:
        """How much of each source each target shows (sources, targets)."""
        device = torch.device(self.device)
        if self.measure == "frustum":
            frustum = OverlapOptions(self.depth_m, self.depth_share, self.least)
            return frustum_overlap(sources, targets, frustum, device, progress)
        return surface_overlap(sources, targets, SurfaceOptions(self.cells, self.radius, self.least), device, progress)


@dataclass(frozen=True, eq=False)
class Similarity:
    """Of rows, views of one section, and columns, those of another or of the same.

    Attributes:
        forward: (rows, columns) float32 in 0..1, how much of a row's view the column's shows.
        backward: (rows, columns), how much of a column's view the row's shows.
    """

    forward: sparse.csr_array
    backward: sparse.csr_array

    @property
    def both(self) -> sparse.csr_array:
        """The smaller of both ways: high only where two views show the same, not where one is a part of the other."""
        return sparse.csr_array(self.forward.minimum(self.backward))

    def pairs(self, most: int, least: float = 0.0) -> ViewPairs:
        """The most similar columns of each row, the most similar first; at least so similar, and not zero."""
        return most_similar(self.both, most, least)


@dataclass(frozen=True, eq=False)
class ViewPairs:
    """Pairs of views, those of one row after another.

    Attributes:
        row_p, column_p: numbers of the views.
        similarity_p: 0..1.
    """

    row_p: np.ndarray
    column_p: np.ndarray
    similarity_p: np.ndarray

    def __len__(self) -> int:
        return len(self.row_p)


def most_similar(similarity: sparse.csr_array, most: int, least: float = 0.0) -> ViewPairs:
    """The `most` largest entries of each row that are positive and at least `least`; of equal ones the first."""
    entries = similarity.tocoo()
    good_p = (entries.data > 0) & (entries.data >= least)
    row_p, column_p, value_p = entries.row[good_p], entries.col[good_p], entries.data[good_p]
    order_p = np.lexsort((column_p, -value_p, row_p))
    row_p, column_p, value_p = row_p[order_p], column_p[order_p], value_p[order_p]
    first_p = np.searchsorted(row_p, row_p)
    kept_p = np.arange(len(row_p)) - first_p < most
    return ViewPairs(row_p[kept_p].astype(np.int64), column_p[kept_p].astype(np.int64), value_p[kept_p])


def similarity_of(
    rows: Sequence[Frame],
    columns: Sequence[Frame] | None,
    options: SimilarityOptions,
    progress: Callable[..., Any] = lambda items, what, total=None: items,
) -> Similarity:
    """The similarity of frames of one place to others, or to one another.

    Frames without depth take it from those that have some, else their frusta alone count; see `view_depths`.

    Args:
        rows: some frames.
        columns: others, in the same frame of the world and the same unit; None: the same ones.
        options: what is measured.
        progress: wraps what is worked through; called with it, a word for it and its length.

    Raises:
        TransposeError: surfaces are asked for, and no frame of either has depth.
    """
    groups = [rows] if columns is None else [rows, columns]
    views = views_of(groups, options.stride, lambda each, total: progress(each, "reading", total))
    if options.measure == "nso" and not any(view.known and view.complete for view in views[0]) & any(
        view.known and view.complete for view in views[-1]
    ):
        raise TransposeError(
            "surfaces need depth, and views of one of the sections have none or only that of single points; measure "
            "frusta instead (--measure frustum), or render the same views (--viewpoints at:SCENE/SECTION)"
        )
    forward = options.measured(views[0], views[-1], lambda each: progress(each, "comparing"))
    if columns is None:
        return Similarity(forward, sparse.csr_array(forward.T))
    backward = options.measured(views[1], views[0], lambda each: progress(each, "comparing back"))
    return Similarity(forward, sparse.csr_array(backward.T))


def refuse_other_frames(one: Section, other: Section) -> None:
    """Raises where positions of two sections are known not to be of one frame.

    Raises:
        TransposeError: their scenes are about different origins, in different maps, or in different units.
    """
    is_metric([one, other])
    crs, other_crs = (each.facts.record.get("crs") for each in (one, other))
    if crs is not None and other_crs is not None and crs != other_crs:
        raise TransposeError(f"{one.path} is in {crs} and {other.path} in {other_crs}: set one of them up in the other")
    apart = one.scene.resolve() != other.scene.resolve()
    facts, other_facts = ({**read_scene_facts(each.scene), **each.facts.record} for each in (one, other))
    for key in _ORIGINS:
        # A scene that says nothing of an origin is about that of its coordinates.
        default = [0.0, 0.0, 0.0] if apart and key == "origin" else None
        origin, other_origin = (each.get(key) or default for each in (facts, other_facts))
        if origin is None or other_origin is None:
            continue
        if not np.allclose(origin, other_origin, rtol=0, atol=_SAME_PLACE):
            raise TransposeError(
                f"positions of {one.path} and {other.path} are about different origins ({origin} and {other_origin}), "
                "so they cannot be compared; bring both sections into one frame and one scene"
            )


def similar_views(
    photos: Sequence[Frame],
    others: Sequence[Frame],
    most: int = 5,
    least: float = 0.2,
    options: SimilarityOptions | None = None,
) -> ViewPairs:
    """For each photo those other views, such as renders, that show most of the same: pairs whatever their names.

    Args:
        photos, others: frames of one place, in one frame and unit (see `refuse_other_frames`).
        most: pairs of one photo.
        least: similarity of a pair, the smaller of both ways.
        options: what is measured.

    Returns:
        Rows are photos; those to which nothing is similar enough have no pair.

    Raises:
        TransposeError: no photo has any.
    """
    found = similarity_of(photos, others, options or SimilarityOptions(least=min(least, 0.01))).pairs(most, least)
    if len(found) == 0:
        sections = [frames[0].paths["rgb"].parent.parent if frames else "a section" for frames in (photos, others)]
        raise TransposeError(
            f"no view of {sections[0]} overlaps with one of {sections[1]} by {least:.0%} or more: do they show the "
            "same place, in one frame of the world? (transpose similarity lists what overlaps)"
        )
    return found
