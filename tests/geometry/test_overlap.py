"""Overlap of views: against slow twins, and its laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.geometry.depth_scenes import looking_along, room_view, room_views
from transpose.geometry import Camera, Pose, coarse_grid, visible_points
from transpose.geometry.depth_views import DepthView, frustum_planes, with_depth_of_points
from transpose.geometry.overlap import OverlapOptions, frustum_overlap
from transpose.geometry.poses import compose, transform

ROUNDING = 3 / 192  # of the points of a view may fall to the other side of a cell's border in float32
LENS = replace(Camera.from_focal(90.0, 128, 96), k1=-0.2, k2=0.03)


def twin(source: DepthView, target: DepthView, options: OverlapOptions) -> float:
    """Point by point, in float64."""
    points_n3 = source.points_n3
    seen = 0
    for point_3 in points_n3:
        camera_3 = transform(target.pose.T_cw, point_3)
        px, py = target.camera.project(camera_3)
        if not (camera_3[2] > 0 and 0 <= px < target.camera.width and 0 <= py < target.camera.height):
            continue
        depth = target.depth_hw[int(py // target.stride), int(px // target.stride)]
        if np.isnan(depth):
            near, far = target.near_far
            seen += not target.complete and near <= camera_3[2] <= far
        else:
            seen += abs(camera_3[2] - depth) < max(options.absolute, options.relative * camera_3[2])
    return seen / max(1, len(points_n3))


def twins(sources: list[DepthView], targets: list[DepthView], options: OverlapOptions) -> np.ndarray:
    return np.array([[twin(source, target, options) for target in targets] for source in sources])


@pytest.mark.parametrize("lens", [Camera.from_focal(90.0, 128, 96), LENS, Camera.from_focal(70.0, 100, 76)])
def test_it_is_what_every_point_says(lens: Camera, device: torch.device) -> None:
    options = OverlapOptions(0.02, 0.04)
    sources, targets = room_views(7, 1), room_views(6, 2, lens)
    found = frustum_overlap(sources, targets, options, device).toarray()
    expected = twins(sources, targets, options)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)
    assert (expected > 0.3).any() and (expected == 0).any()


def test_a_view_overlaps_wholly_with_itself() -> None:
    for views in (room_views(5), room_views(5, camera=LENS), room_views(3, stride=16)):
        found = frustum_overlap(views, views).toarray()
        np.testing.assert_array_equal(found.diagonal(), 1.0)
        assert found.min() >= 0 and found.max() <= 1


def test_no_frame_of_the_world_changes_it() -> None:
    """Also far away from its origin, where float32 alone has lost a camera's place."""
    views = room_views(6)
    moved_44 = looking_along(4e6, -2e6, 4e6, 77.0, 33.0).T_wc
    moved = [replace(view, pose=Pose(moved_44 @ view.pose.T_wc)) for view in views]
    np.testing.assert_allclose(
        frustum_overlap(moved, moved).toarray(), frustum_overlap(views, views).toarray(), atol=ROUNDING
    )


def test_what_is_behind_a_wall_or_the_camera_does_not_count() -> None:
    camera = Camera.from_focal(90.0, 128, 96)
    here, beyond = looking_along(-2.5, 0.1, 0.5, 0.0, 0.0), looking_along(0.0, 0.1, 0.5, 0.0, 0.0)
    blocked, free = room_view(camera, here), room_view(camera, beyond)
    away = room_view(camera, looking_along(0.0, 0.1, 0.5, 180.0, 0.0))
    hidden = frustum_overlap([free], [blocked]).toarray()[0, 0]
    through = frustum_overlap([free], [DepthView.without_depth(camera, here)]).toarray()[0, 0]
    assert through == 1.0 and hidden < 0.6
    assert frustum_overlap([away], [free]).nnz == 0


def test_views_in_batches_and_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = room_views(9, 3), room_views(8, 4)
    whole = frustum_overlap(sources, targets).toarray()
    monkeypatch.setattr(visible_points, "_TARGETS", 3)
    monkeypatch.setitem(visible_points._CHUNK, "cpu", 301)
    np.testing.assert_array_equal(frustum_overlap(sources, targets).toarray(), whole)


@pytest.mark.parametrize("cells", [2, 40, 100_000])
def test_the_coarse_grid_leaves_nothing_out(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = room_views(12, 5), room_views(5, 6)
    monkeypatch.setattr(coarse_grid, "_CELLS", cells)
    monkeypatch.setattr(coarse_grid, "_SAMPLED", 1)
    found = frustum_overlap(sources, targets).toarray()
    np.testing.assert_allclose(found, twins(sources, targets, OverlapOptions()), atol=ROUNDING)
    least = frustum_overlap(sources, targets, OverlapOptions(least=0.3)).toarray()
    np.testing.assert_array_equal(least, np.where(found >= 0.3, found, 0))


def test_rooms_far_apart_are_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    here = room_views(4)
    away_3 = np.array([500.0, 0, 0])
    there = [replace(view, pose=Pose(compose(view.pose.R_wc, view.pose.center + away_3))) for view in here]
    looked: list[np.ndarray] = []
    chunks = visible_points.PointsOfViews.chunks

    def told(self: visible_points.PointsOfViews, run_r: np.ndarray) -> Iterator[torch.Tensor]:
        looked.append(self.grid.view_r[run_r])
        return chunks(self, run_r)

    monkeypatch.setattr(visible_points.PointsOfViews, "chunks", told)
    assert frustum_overlap(here, there).nnz == 0
    assert all(len(view_r) == 0 for view_r in looked)
    assert frustum_overlap(here + there, here).toarray()[4:].max() == 0
    assert all(view_r.max(initial=0) < 4 for view_r in looked)


def test_sparse_depth_hides_what_it_knows_and_no_more() -> None:
    camera = Camera.from_focal(90.0, 128, 96)
    full = room_view(camera, looking_along(-2.5, 0.1, 0.5, 0.0, 0.0))
    some_hw = np.where(np.arange(16) % 2 == 0, full.depth_hw, np.nan).astype(np.float32)
    sparse_view = replace(full, depth_hw=some_hw, complete=False)
    behind = room_view(camera, looking_along(0.0, 0.1, 0.5, 0.0, 0.0))
    shares = [frustum_overlap([behind], [each]).toarray()[0, 0] for each in (full, sparse_view)]
    assert shares[0] < shares[1] < 1
    np.testing.assert_allclose(shares[1], twin(behind, sparse_view, OverlapOptions()), atol=ROUNDING)
    holes = replace(full, depth_hw=some_hw)
    assert frustum_overlap([full], [holes]).toarray()[0, 0] == pytest.approx(0.5, abs=ROUNDING)
    assert frustum_overlap([holes], [full]).toarray()[0, 0] == 1


def test_frusta_alone() -> None:
    camera = Camera.from_focal(90.0, 128, 96)
    at = [looking_along(0, 0, 1, 0), looking_along(0.2, 0, 1, 5), looking_along(0, 0, 1, 180)]
    views = [replace(DepthView.without_depth(camera, pose), volume=(0.5, 5.0)) for pose in at]
    found = frustum_overlap(views, views).toarray()
    np.testing.assert_allclose(found, twins(views, views, OverlapOptions()), atol=ROUNDING)
    assert found[0, 1] > 0.7 and found[0, 2] == 0 and (found.diagonal() == 1).all()
    unknown = DepthView.without_depth(camera, at[0])
    assert frustum_overlap([unknown], views).nnz == 0


def test_depth_of_points_that_a_view_is_likely_to_show() -> None:
    """Of a photo without depth, by the surface that renders about it show."""
    view = room_view(Camera.from_focal(90.0, 128, 96), looking_along(-2.0, -1.0, 1.6, 30.0, 20.0))
    points_n3 = np.concatenate([each.points_n3 for each in room_views(150, 7, stride=4)])
    filled = with_depth_of_points(DepthView.without_depth(view.camera, view.pose), points_n3)
    known_hw = np.isfinite(filled.depth_hw)
    error_n = np.abs(filled.depth_hw / view.depth_hw - 1)[known_hw]
    assert known_hw.mean() > 0.5 and np.quantile(error_n, 0.8) < 0.03 and np.quantile(error_n, 0.95) < 0.15
    assert not with_depth_of_points(view, np.zeros((0, 3))).known


@pytest.mark.parametrize("camera", [Camera.from_focal(90.0, 128, 96), LENS, replace(LENS, k1=-0.6, k2=0.0)])
def test_nothing_that_a_view_shows_is_outside_its_planes(camera: Camera) -> None:
    for view in room_views(3, camera=camera):
        points_n3 = view.points_n3
        planes_64 = frustum_planes(view, 1e-6)
        assert (points_n3 @ planes_64[:, :3].T + planes_64[:, 3] > -1e-5).all()
        np.testing.assert_allclose(np.linalg.norm(planes_64[:, :3], axis=1), 1)


def test_what_makes_no_sense_is_refused() -> None:
    camera = Camera.from_focal(90.0, 128, 96)
    with pytest.raises(ValueError, match="must be"):
        DepthView(camera, looking_along(0, 0, 1, 0), np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="in front of"):
        replace(DepthView.without_depth(camera, looking_along(0, 0, 1, 0)), volume=(0.0, 1.0))
    for wrong in ({"relative": 0.0}, {"relative": 1.0}, {"least": 2.0}, {"absolute": -1.0}):
        with pytest.raises(ValueError):
            OverlapOptions(**wrong)
