"""Surfaces over a regular grid: heights to triangles, few where the ground is flat and no crack between them.

The triangulation is the right-triangulated irregular network of Evans, Kirkpatrick and Townsend (Algorithmica 2001):
a triangle is halved at the middle of its longest side as long as the surface bends there. Both triangles of a side
ask the same number, so they are halved together and their edges always meet.
"""

from __future__ import annotations

import cv2
import numpy as np

_ANYTHING_M = 1e30


def triangulate(
    height_hw: np.ndarray, tolerance: float | np.ndarray, class_hw: np.ndarray | None = None, block: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles over a grid of heights.

    Args:
        height_hw: heights in metres, rows from north to south; NaN where there is no surface.
        tolerance: how far a vertex that is left out may lie from the surface, metres, but for some in a thousand that
            lie up to half as far again, since bends of several sides add up; 0 keeps every bend. An array
            (h, w) allows more here than there.
        class_hw: a label per vertex; triangles stay small where it changes.
        block: triangles do not cross the lines of every `block`-th row and column; a power of two.

    Returns:
        Row and column (vertices, 2) of the vertices that are used, int32, and triangles (faces, 3), int32,
        counter-clockwise seen from above where columns go east. A triangle with an unknown corner is left out.
    """
    rows, columns = height_hw.shape
    side = 1 << max(1, int(np.ceil(np.log2(max(rows, columns, 3) - 1))))
    padded_nn = np.full((side + 1, side + 1), np.nan, np.float32)
    padded_nn[:rows, :columns] = height_hw
    bend_nn = _bends(padded_nn, tolerance, class_hw)
    _spread(bend_nn, block)
    faces_f3 = _halved(bend_nn > 1)
    flat_n = padded_nn.reshape(-1)
    faces_f3 = faces_f3[np.isfinite(flat_n[faces_f3]).all(1)]
    used_n = np.zeros(flat_n.size, bool)
    used_n[faces_f3.reshape(-1)] = True
    vertices_v = np.flatnonzero(used_n)
    number_n = np.cumsum(used_n, dtype=np.int32) - 1
    rows_columns_v2 = np.stack(np.divmod(vertices_v, side + 1), axis=1).astype(np.int32)
    return rows_columns_v2, number_n[faces_f3].astype(np.int32)


def _middles(side: int) -> list[tuple[int, int, list[tuple[slice, slice]]]]:
    """For every size s of squares from 2 to `side`: the slices that pick the middles of their edges and centres."""
    steps = []
    s = 2
    while s <= side:
        h = s // 2
        odd, even = slice(h, None, s), slice(0, None, s)
        steps.append((s, h, [(even, odd), (odd, even), (odd, odd)]))
        s *= 2
    return steps


def _bends(height_nn: np.ndarray, tolerance: float | np.ndarray, class_hw: np.ndarray | None) -> np.ndarray:
    """At each vertex, how far it is from the middle of the side that it halves, as a fraction of the tolerance.

    Infinite where halves differ in class, or where some of the vertices around are unknown and others are not.
    """
    side = len(height_nn) - 1
    bend_nn = np.zeros_like(height_nn)
    class_nn = None
    if class_hw is not None:
        class_nn = np.zeros(height_nn.shape, np.int16)
        class_nn[: class_hw.shape[0], : class_hw.shape[1]] = class_hw
    for s, h, (across, down, centre) in _middles(side):
        for middle in (across, down):
            _measure(bend_nn, height_nn, class_nn, middle, (0, h) if middle is across else (h, 0), h)
        # The diagonal of a square runs from the corner with even numbers to the one with odd numbers.
        even_first = (np.add.outer(np.arange(side // s), np.arange(side // s)) % 2) == 0
        _measure(bend_nn, height_nn, class_nn, centre, (h, h), h, even_first)
    allowed_nn: float | np.ndarray = tolerance
    if isinstance(tolerance, np.ndarray):
        allowed_nn = np.full(height_nn.shape, _ANYTHING_M, np.float32)
        allowed_nn[: tolerance.shape[0], : tolerance.shape[1]] = tolerance
    return bend_nn / np.maximum(allowed_nn, 1e-6)


def _measure(
    bend_nn: np.ndarray,
    height_nn: np.ndarray,
    class_nn: np.ndarray | None,
    middle: tuple[slice, slice],
    along: tuple[int, int],
    h: int,
    even_first: np.ndarray | None = None,
) -> None:
    """Writes the bends of one kind of middles: those of edges, or of squares where `even_first` is given."""
    side = len(height_nn) - 1
    row_m = np.arange(middle[0].start, side + 1, middle[0].step)
    column_m = np.arange(middle[1].start, side + 1, middle[1].step)

    def around(values_nn: np.ndarray, by: tuple[int, int]) -> np.ndarray:
        # Beyond the grid's rim the point on this side stands in for its missing twin.
        r, c = row_m + by[0], column_m + by[1]
        r = np.where((r < 0) | (r > side), row_m - by[0], r)
        c = np.where((c < 0) | (c > side), column_m - by[1], c)
        return values_nn[np.ix_(r, c)]

    dr, dc = along
    ends = [(-dr, -dc), (dr, dc)]
    others = [(-dr, dc), (dr, -dc)] if even_first is not None else [(-dc, -dr), (dc, dr)]
    at = height_nn[middle]
    corners = [around(height_nn, by) for by in (*ends, *others)]
    if even_first is not None:
        straight = np.where(even_first, corners[0] + corners[1], corners[2] + corners[3]) / 2
    else:
        straight = (corners[0] + corners[1]) / 2
    known = np.sum([np.isfinite(c) for c in (at, *corners)], axis=0)
    bend = np.where(known == 5, np.abs(at - straight), np.where(known == 0, 0, np.inf))
    if class_nn is not None:
        here = class_nn[middle]
        differs = np.any([around(class_nn, by) != here for by in (*ends, *others)], axis=0)
        bend = np.where(differs & (known > 0), np.inf, bend)
    bend_nn[middle] = bend


def _spread(bend_nn: np.ndarray, block: int | None) -> None:
    """A side must be halved if any smaller side that depends on it must be: maxima from small squares to large."""
    side = len(bend_nn) - 1
    for s, h, (across, down, centre) in _middles(side):
        if h > 1:
            q = h // 2
            smaller_nn = bend_nn[q::h, q::h]  # centres of squares of half the size, (side / h, side / h)
            near = np.zeros((side // h + 2, side // h + 2), bend_nn.dtype)
            near[1:-1, 1:-1] = smaller_nn
            for middle in (across, down):
                r = np.arange(middle[0].start, side + 1, s) // h
                c = np.arange(middle[1].start, side + 1, s) // h
                for i in (0, 1):
                    for j in (0, 1):
                        np.maximum(bend_nn[middle], near[np.ix_(r + i, c + j)], out=bend_nn[middle])
        for edge in (bend_nn[across][:-1], bend_nn[across][1:], bend_nn[down][:, :-1], bend_nn[down][:, 1:]):
            np.maximum(bend_nn[centre], edge, out=bend_nn[centre])
        if block is not None and s > block:
            for middle in (across, down, centre):
                bend_nn[middle] = np.inf


def _halved(split_nn: np.ndarray) -> np.ndarray:
    """Triangles (faces, 3) of flat vertex numbers; the first two corners are the ends of the longest side."""
    width = split_nn.shape[1]
    side = width - 1
    first, last = 0, width * width - 1
    active_t3 = np.array([[first, last, side], [last, first, side * width]], np.int64)
    done = []
    split_n = split_nn.reshape(-1)
    for _ in range(2 * int(np.log2(side))):
        a, b, c = active_t3.T
        middle = (a + b) // 2
        split = split_n[middle]
        done.append(active_t3[~split])
        a, b, c, middle = a[split], b[split], c[split], middle[split]
        active_t3 = np.concatenate([np.stack([c, a, middle], 1), np.stack([b, c, middle], 1)])
        if not len(active_t3):
            break
    return np.concatenate([*done, active_t3])


def closed(known_hw: np.ndarray, gap: float) -> np.ndarray:
    """The mask with holes and notches closed that are no wider than `gap` cells; its outline does not grow."""
    reach = int(np.ceil(gap / 2))
    if reach < 1:
        return known_hw.copy()
    padded = np.pad(known_hw, reach + 1)
    from_known = cv2.distanceTransform((~padded).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    from_open = cv2.distanceTransform((from_known <= gap / 2).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = slice(reach + 1, -reach - 1)
    return known_hw | (from_open[inside, inside] > gap / 2)


def filled(values_hwc: np.ndarray, known_hw: np.ndarray) -> np.ndarray:
    """Values (h, w, c) float32 everywhere: the known ones as they are, gaps from ever wider means around them.

    Averages of known values go up a pyramid of halves, and come down again into what is unknown (Gortler et al.,
    The Lumigraph, 1996).
    """
    weight_hw = known_hw.astype(np.float32)
    values = np.where(known_hw[..., None], values_hwc, 0).astype(np.float32)
    return _pull_push(values, weight_hw)


def _pull_push(values_hwc: np.ndarray, weight_hw: np.ndarray) -> np.ndarray:
    height, width = weight_hw.shape
    if weight_hw.all() or max(height, width) == 1:
        return values_hwc
    padding = ((0, height % 2), (0, width % 2))
    w4 = np.pad(weight_hw, padding).reshape(-(-height // 2), 2, -(-width // 2), 2)
    v4 = np.pad(values_hwc, (*padding, (0, 0))).reshape(*w4.shape, -1)
    total = w4.sum((1, 3))
    mean = np.einsum("iajbc,iajb->ijc", v4, w4) / np.maximum(total, 1e-6)[..., None]
    coarse = _pull_push(mean.astype(np.float32), np.minimum(total, 1))
    wide = cv2.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[0]), interpolation=cv2.INTER_LINEAR)
    wide = wide.reshape(2 * coarse.shape[0], 2 * coarse.shape[1], -1)[:height, :width]
    return values_hwc * weight_hw[..., None] + wide * (1 - weight_hw[..., None])
