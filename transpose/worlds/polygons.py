"""Polygons as triangles: fans where they are convex, ears where they are not."""

from __future__ import annotations

import numpy as np

MOST_EARS = 2000
"""Corners of a concave polygon that is cut into ears; those of more become fans, which may leave them."""
_TRIES = 4  # corners that are tried for each ear; polygons of buildings need one or two
_SPARE = 10_000_000  # corners looked at in further tries, of all polygons together: some seconds
_STRAIGHT = 1e-9  # of a polygon's area: a corner that turns back by less is straight


def triangles_of(corners_k: np.ndarray, sides_n: np.ndarray, places_k3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polygons as triangles that cover the same area.

    Args:
        corners_k: what stands at the corners of all polygons, (k, ...), one polygon after the other.
        sides_n: the number of corners of each, (n,); those with less than three become nothing.
        places_k3: where the corners are.

    Returns:
        What stands at the triangles' corners, (triangles, 3, ...), and each triangle's polygon, (triangles,).
    """
    index_t3, polygon_t = _fans(sides_n)
    folded = np.flatnonzero(_is_concave(sides_n, places_k3) & (sides_n <= MOST_EARS))
    if len(folded):
        spare = [_SPARE]
        first_n = np.cumsum(sides_n) - sides_n
        keep_t = ~np.isin(polygon_t, folded)
        index, polygon = [index_t3[keep_t]], [polygon_t[keep_t]]
        for n in folded:
            ears = first_n[n] + _ears(_flattened(places_k3[first_n[n] : first_n[n] + sides_n[n]]), spare)
            index.append(ears)
            polygon.append(np.full(len(ears), n))
        index_t3, polygon_t = np.concatenate(index), np.concatenate(polygon)
        order_t = np.argsort(polygon_t, kind="stable")
        index_t3, polygon_t = index_t3[order_t], polygon_t[order_t]
    return corners_k[index_t3], polygon_t


def _fans(sides_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (triangles, 3) of fans around each polygon's first corner, and each triangle's polygon."""
    first_n = np.concatenate([[0], np.cumsum(sides_n)[:-1]]).astype(np.int64)
    triangles_n = np.maximum(sides_n - 2, 0)
    polygon_t = np.repeat(np.arange(len(sides_n)), triangles_n)
    step_t = np.arange(len(polygon_t)) - np.repeat(np.cumsum(triangles_n) - triangles_n, triangles_n)
    start_t = first_n[polygon_t]
    return np.stack([start_t, start_t + step_t + 1, start_t + step_t + 2], axis=1), polygon_t


def _is_concave(sides_n: np.ndarray, places_k3: np.ndarray) -> np.ndarray:
    """Whether a polygon (n,) has a corner that turns back."""
    concave_n = np.zeros(len(sides_n), bool)
    wide = np.flatnonzero(sides_n > 3)
    if len(wide) == 0:
        return concave_n
    of_w = np.repeat(sides_n > 3, sides_n)
    sides_w, place_w3 = sides_n[wide], places_k3[of_w]
    first_w = np.repeat(np.cumsum(sides_w) - sides_w, sides_w)
    step_w, count_w = np.arange(len(place_w3)) - first_w, np.repeat(sides_w, sides_w)
    came_w3 = place_w3 - place_w3[first_w + (step_w - 1) % count_w]
    goes_w3 = place_w3[first_w + (step_w + 1) % count_w] - place_w3
    starts = np.cumsum(sides_w) - sides_w
    local_w3 = place_w3 - place_w3[first_w]
    area_n3 = np.add.reduceat(np.cross(local_w3, local_w3 + goes_w3), starts)
    turn_w = (np.cross(came_w3, goes_w3) * np.repeat(area_n3, sides_w, axis=0)).sum(1)
    concave_n[wide] = np.minimum.reduceat(turn_w, starts) < -_STRAIGHT * (area_n3**2).sum(1)
    return concave_n


def _flattened(place_s3: np.ndarray) -> np.ndarray:
    """A polygon (sides, 2) seen along the axis that it faces most, counter-clockwise."""
    local_s3 = place_s3 - place_s3[0]
    area_3 = np.cross(local_s3, np.roll(local_s3, -1, axis=0)).sum(0)
    axis = int(np.abs(area_3).argmax())
    flat_s2 = local_s3[:, [(axis + 1) % 3, (axis + 2) % 3]]
    return flat_s2 if area_3[axis] > 0 else flat_s2 * [-1.0, 1.0]


def _ears(flat_s2: np.ndarray, spare: list[int]) -> np.ndarray:
    """Corners (sides - 2, 3) of triangles, cut off one after the other where nothing lies in them.

    Where a polygon is made so that ears are hard to find, they are no longer sought once `spare` is used up.
    """
    left, found = list(range(len(flat_s2))), []
    while len(left) > 3:
        tries = min(len(left), _TRIES + max(spare[0], 0) // len(left))
        at = next((at for at in range(tries) if _is_ear(flat_s2, left, at)), None)
        spare[0] -= max(0, (tries if at is None else at) - _TRIES) * len(left)
        at = len(left) - 2 if at is None else at
        found.append((left[at - 1], left[at], left[(at + 1) % len(left)]))
        del left[at]
    return np.array([*found, tuple(left)], np.int64)


def _is_ear(flat_s2: np.ndarray, left: list[int], at: int) -> bool:
    abc_32 = flat_s2[[left[at - 1], left[at], left[(at + 1) % len(left)]]]
    side_32 = np.roll(abc_32, -1, axis=0) - abc_32
    if side_32[0, 0] * side_32[1, 1] - side_32[0, 1] * side_32[1, 0] <= 0:
        return False
    to_m32 = flat_s2[left][:, None] - abc_32
    inside_m = (side_32[:, 0] * to_m32[..., 1] - side_32[:, 1] * to_m32[..., 0] >= 0).all(1)
    is_corner_m = (to_m32 == 0).all(2).any(1)  # also of another corner in the same place, as around holes
    return not bool((inside_m & ~is_corner_m).any())
