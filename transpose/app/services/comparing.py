"""Comparing the views of one section with those of another: what is measured, written and told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from scipy import sparse

    from transpose.inspection.similarity import Similarity, SimilarityOptions
    from transpose.scenes.layout import Section

_TOLD = 20


@dataclass(frozen=True)
class ComparisonRequest:
    """Which views are compared and how, in the words of `transpose similarity`, whose flags these fields are."""

    scene: Path
    """The scene folder."""
    section: str
    """The section whose views are compared."""
    out: Path
    """Folder for similarity.npz, forward.npz, backward.npz (scipy's sparse matrices, a view of --section a row),
    similarity.json with the names of the views, and similarity.png."""
    against: str | None = None
    """The section that they are compared with, or SCENE/SECTION of another scene; by default the same one."""
    measure: Literal["frustum", "nso"] = "frustum"
    """frustum: how much of what a view shows lies in the other image, in front of its camera and not hidden.
    nso: normalized surface overlap, how much of its surface the other one shows too, from the same side."""
    stride: int = 8
    """Pixels between the points of an image; 16 takes a quarter of the time."""
    least: float = 0.01
    """Smaller overlaps are none."""
    depth_share: float = 0.05
    """frustum: by how much of its depth a point may be nearer or farther than what the other view shows there."""
    depth_m: float = 0.0
    """frustum: or by so many metres, where that is more."""
    radius: float | None = None
    """nso: metres within which points are of one place (published: 0.1); by default --cells."""
    cells: float = 3.0
    """nso: the radius in distances between neighbouring points of the coarser view."""
    rerank: bool = False
    """Also write reranked.npz: similarities by k-reciprocal neighbours, which find ways over views between."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""


def compare(request: ComparisonRequest) -> None:
    """Compares, writes, and says what overlaps with nothing.

    Raises:
        TransposeError: a section is missing, has one image and nothing to be compared with, or is of another frame.
    """
    from transpose.app.console import progress
    from transpose.app.outputs import check_folder
    from transpose.errors import TransposeError
    from transpose.inspection.similarity import Similarity, refuse_other_frames, similarity_of

    options = _options(request)
    check_folder(request.out)
    rows, columns = _opened(request)
    if columns is None and len(rows) == 1:
        raise TransposeError(f"{rows.path} has one image and nothing to compare it with; name a section with --against")
    if columns is not None:
        refuse_other_frames(rows, columns)
    both = rows.frames if columns is None else (*rows.frames, *columns.frames)
    whole = None
    if request.rerank and columns is not None:  # what lies between two views may be of either section
        whole = similarity_of(both, None, options, progress)
        first, second = slice(0, len(rows)), slice(len(rows), None)
        found = Similarity(whole.forward[first, second], whole.backward[first, second])
    else:
        found = similarity_of(rows.frames, None if columns is None else columns.frames, options, progress)
    reranked = _reranked(whole or found, len(rows), columns is None) if request.rerank else None
    _write(request, rows, columns, found, reranked)


def _options(request: ComparisonRequest) -> SimilarityOptions:
    from transpose.errors import TransposeError
    from transpose.inspection.similarity import SimilarityOptions
    from transpose.models.precision import checked_device

    positive = (request.stride, request.cells, request.radius or 1.0, max(request.depth_m, request.depth_share))
    if min(positive) <= 0 or request.depth_m < 0 or not 0 <= request.depth_share < 1 or not 0 <= request.least <= 1:
        raise TransposeError(
            "--stride, --cells, --radius and one of --depth-m and --depth-share must be positive, --least and "
            "--depth-share in 0..1"
        )
    return SimilarityOptions(
        request.measure,
        request.stride,
        request.least,
        request.depth_m,
        request.depth_share,
        request.cells,
        request.radius,
        str(checked_device(request.device)),
    )


def _opened(request: ComparisonRequest) -> tuple[Section, Section | None]:
    from transpose.errors import TransposeError
    from transpose.scenes.layout import open_section

    scene = request.scene
    if not scene.is_dir():
        raise TransposeError(f"{scene} is not a scene folder")
    rows = open_section(scene / request.section)
    if request.against is None:
        return rows, None
    beside = scene / request.against
    columns = open_section(beside if beside.is_dir() or "/" not in request.against else Path(request.against))
    return rows, None if columns.path.resolve() == rows.path.resolve() else columns


def _reranked(whole: Similarity, rows: int, alone: bool) -> sparse.csr_array:
    """Of all views with one another; what is asked for is a part of it."""
    from transpose.localization.rerank import RerankOptions, reranked_similarity

    options = RerankOptions().clipped(whole.both.shape[0])
    found = reranked_similarity(whole.both, options)
    return found if alone else found[:rows, rows:]


def _write(
    request: ComparisonRequest, rows: Section, columns: Section | None, found: Similarity, reranked: Any
) -> None:

    from transpose.app.console import say
    from transpose.pages.similarity_picture import draw_similarity
    from transpose.scenes.facts import scene_up
    from transpose.storage import write_json

    matrices = {"similarity": found.both, "forward": found.forward, "backward": found.backward, "reranked": reranked}
    for name, matrix in matrices.items():
        if matrix is not None:
            _save(matrix, request.out / f"{name}.npz")
    others = rows if columns is None else columns
    shown = found.both if columns is not None else _without_itself(found.both)
    draw_similarity(
        shown,
        (rows.name, others.name),
        ([frame.pose for frame in rows.frames], [frame.pose for frame in others.frames]),
        scene_up(rows.scene),
        request.out / "similarity.png",
        rows.facts.metric,
    )
    lonely = {"rows": _lonely(shown, rows), "columns": _lonely(shown.T.tocsr(), others)}
    content = {"section": str(rows.path), "against": str(others.path), "measure": request.measure}
    content |= {name: getattr(request, name) for name in ("stride", "least", "depth_share", "depth_m")}
    stems = {"rows": [frame.stem for frame in rows.frames], "columns": [frame.stem for frame in others.frames]}
    write_json(request.out / "similarity.json", {**content, **stems, "overlap_with_nothing": lonely})
    say(_summary(shown, rows, others, request.least))
    told = [(rows, others, lonely["rows"])] + ([(others, rows, lonely["columns"])] if columns is not None else [])
    for section, other, stems_alone in told:
        _tell_lonely(section, other, stems_alone)
    say(str(request.out))


def _save(matrix: sparse.csr_array, path: Path) -> None:
    from scipy import sparse

    from transpose.storage import replacing_file

    with replacing_file(path) as temporary, temporary.open("wb") as file:
        sparse.save_npz(file, matrix)


def _without_itself(similarity: sparse.csr_array) -> sparse.csr_array:
    from scipy import sparse

    entries = similarity.tocoo()
    kept = entries.row != entries.col
    kept_entries = entries.data[kept], (entries.row[kept], entries.col[kept])
    return sparse.coo_array(kept_entries, shape=similarity.shape).tocsr()


def _lonely(similarity: sparse.csr_array, section: Section) -> list[str]:
    count_n: np.ndarray = (similarity > 0).sum(axis=1)
    return [frame.stem for frame, count in zip(section.frames, count_n, strict=True) if count == 0]


def _summary(shown: sparse.csr_array, rows: Section, others: Section, least: float) -> str:
    import numpy as np

    pairs = len(rows) * (len(rows) - 1) if rows is others else len(rows) * len(others)
    best_n = shown.max(axis=1).toarray().ravel()
    names = rows.name if rows is others else f"{rows.name} and {others.name}"
    return (
        f"{names}: {(shown > 0).sum()} of {pairs} pairs of views overlap by {100 * least:g} % or more; a view's best "
        f"is {np.median(best_n):.2f} in the median"
    )


def _tell_lonely(section: Section, other: Section, stems: list[str]) -> None:
    from transpose.app.console import say, tell

    if not stems:
        return
    what = "any other" if section is other else f"any of {other.name}"
    say(f"{len(stems)} of {len(section)} views of {section.name} do not overlap with {what}:")
    for stem in stems[:_TOLD]:
        say(f"  {stem}")
    if len(stems) > _TOLD:
        say(f"  and {len(stems) - _TOLD} more, all in similarity.json")
    if len(stems) == len(section) and section is not other:
        tell(f"{section.name} and {other.name} share nothing: are their poses in one frame of the world?")
