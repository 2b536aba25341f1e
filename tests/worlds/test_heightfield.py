import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.worlds.heightfield import closed, filled, triangulate


def hills(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(size=(rows, columns)), (0, 0), 3).astype(np.float32) * 5


def areas(at_v2: np.ndarray, faces_f3: np.ndarray) -> np.ndarray:
    xy = np.stack([at_v2[:, 1], -at_v2[:, 0]], axis=1).astype(float)
    a, b, c = (xy[faces_f3[:, k]] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def interpolated(height_hw: np.ndarray, at_v2: np.ndarray, faces_f3: np.ndarray) -> np.ndarray:
    """The slow twin: the height of the triangle over every grid point."""
    out = np.full(height_hw.shape, np.nan)
    for face in faces_f3:
        (r0, c0), (r1, c1), (r2, c2) = at_v2[face]
        z = height_hw[at_v2[face, 0], at_v2[face, 1]]
        rows, columns = np.mgrid[min(r0, r1, r2) : max(r0, r1, r2) + 1, min(c0, c1, c2) : max(c0, c1, c2) + 1]
        det = (r1 - r2) * (c0 - c2) + (c2 - c1) * (r0 - r2)
        l0 = ((r1 - r2) * (columns - c2) + (c2 - c1) * (rows - r2)) / det
        l1 = ((r2 - r0) * (columns - c2) + (c0 - c2) * (rows - r2)) / det
        inside = (l0 >= -1e-9) & (l1 >= -1e-9) & (l0 + l1 <= 1 + 1e-9)
        out[rows[inside], columns[inside]] = (l0 * z[0] + l1 * z[1] + (1 - l0 - l1) * z[2])[inside]
    return out


@given(st.integers(3, 40), st.integers(3, 40), st.sampled_from([0.0, 0.05, 0.3, 5.0]), st.integers(0, 1000))
def test_triangles_cover_the_grid_once_without_cracks(rows: int, columns: int, tolerance: float, seed: int) -> None:
    at_v2, faces_f3 = triangulate(hills(rows, columns, seed), tolerance)
    area = areas(at_v2, faces_f3)
    assert (area > 0).all()
    assert area.sum() == (rows - 1) * (columns - 1)
    edges = np.sort(np.concatenate([faces_f3[:, [0, 1]], faces_f3[:, [1, 2]], faces_f3[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() <= 2
    # An edge with one triangle lies on the rim: nowhere does a vertex stand in the middle of another's side.
    ends = at_v2[unique[count == 1]]
    rim = [(ends[..., k] == value).all(1) for k, value in ((0, 0), (0, rows - 1), (1, 0), (1, columns - 1))]
    assert np.any(rim, axis=0).all()


def test_tolerance_is_kept_and_saves_triangles() -> None:
    height = hills(65, 65, 0)
    exact = triangulate(height, 0.0)
    assert len(exact[1]) == 2 * 64 * 64
    coarse = triangulate(height, 0.05)
    assert len(coarse[1]) < len(exact[1]) / 2
    assert np.abs(interpolated(height, *coarse) - height).max() < 0.1
    flat = triangulate(np.zeros((65, 65), np.float32), 0.01)
    assert len(flat[1]) == 2


def test_a_tolerance_per_vertex_keeps_detail_where_it_is_asked_for() -> None:
    height = hills(65, 65, 1)
    tolerance = np.full(height.shape, 10.0)
    tolerance[:, :32] = 0.01
    at_v2, _ = triangulate(height, tolerance)
    assert (at_v2[:, 1] < 32).sum() > 10 * (at_v2[:, 1] > 48).sum()


def test_unknown_heights_leave_exactly_their_cells_open() -> None:
    height = np.zeros((50, 70), np.float32)
    height[20:25, 30:33] = np.nan
    at_v2, faces_f3 = triangulate(height, 0.1)
    assert np.isfinite(height[at_v2[:, 0], at_v2[:, 1]]).all()
    # Cells that touch an unknown vertex lose the triangle with it, at most all of them.
    assert 49 * 69 - 6 * 4 <= areas(at_v2, faces_f3).sum() <= 49 * 69 - 4 * 2


def test_classes_and_blocks_are_not_crossed() -> None:
    classes = np.ones((64, 64), np.uint8)
    classes[10:30, 20:40] = 3
    at_v2, faces_f3 = triangulate(np.zeros((64, 64), np.float32), 1.0, classes)
    of_corners = classes[at_v2[:, 0], at_v2[:, 1]][faces_f3]
    mixed = np.ptp(of_corners, axis=1) > 0
    assert areas(at_v2, faces_f3)[mixed].max() <= 1
    at_v2, faces_f3 = triangulate(np.zeros((100, 70), np.float32), 1.0, block=16)
    corners = at_v2[faces_f3]
    assert (corners.min(1) // 16 == (corners.max(1) - 1) // 16).all()


def test_small_gaps_are_closed_and_large_ones_and_the_outline_stay() -> None:
    known = np.zeros((60, 60), bool)
    known[5:55, 5:55] = True
    known[10:20, 20:23] = False
    known[25:45, 10:30] = False
    out = closed(known, 5)
    assert out[10:20, 20:23].all()
    assert not out[28:42, 13:27].any()
    assert not out[:5].any()
    assert not out[:, 55:].any()
    assert np.array_equal(closed(known, 0), known)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 100))
def test_filling_keeps_what_is_known_and_stays_within_its_range(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, known = rng.random((rows, columns, 2), np.float32), rng.random((rows, columns)) < 0.3
    known[rng.integers(rows), rng.integers(columns)] = True
    out = filled(np.where(known[..., None], values, np.nan), known)
    assert np.allclose(out[known], values[known])
    assert out.min() >= values[known].min() - 1e-5
    assert out.max() <= values[known].max() + 1e-5


def test_a_plane_is_filled_as_a_plane_nearly() -> None:
    x = np.arange(64, dtype=np.float32)
    plane = np.add.outer(x, 2 * x)[..., None]
    known = np.ones((64, 64), bool)
    known[30:33, 30:33] = False
    assert np.abs(filled(plane, known) - plane).max() < 3


def test_a_grid_of_one_row_has_no_triangles() -> None:
    assert len(triangulate(np.zeros((1, 5), np.float32), 0.1)[1]) == 0


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (9, 5)])
def test_tiny_grids(shape: tuple[int, int]) -> None:
    at_v2, faces_f3 = triangulate(np.zeros(shape, np.float32), 0.1)
    assert areas(at_v2, faces_f3).sum() == (shape[0] - 1) * (shape[1] - 1)
