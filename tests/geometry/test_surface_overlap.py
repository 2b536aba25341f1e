"""Normalized surface overlap: against its definition, and its laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.geometry.depth_scenes import looking_along, room_view, room_views
from transpose.geometry import Camera, Pose, cell_points, nearest_cells, visible_points
from transpose.geometry.depth_views import DepthView
from transpose.geometry.normals import normals_of_map
from transpose.geometry.surface_overlap import SurfaceOptions, ViewSurface, sampling_distance
from transpose.geometry.surface_overlap import surface_overlap as overlap

CAMERA = Camera.from_focal(90.0, 128, 96)
ROUNDING = 2 / 150


def twin(of: DepthView, against: DepthView, options: SurfaceOptions) -> float:
    """By the definition: all distances."""
    x, y = ViewSurface.of(of), ViewSurface.of(against)
    if len(x.points_n3) == 0 or len(y.points_n3) == 0:
        return 0.0
    radius = options.radius or options.cells * max(sampling_distance(of), sampling_distance(against))
    total = 0.0
    for point_3, normal_3 in zip(x.points_n3, x.normals_n3, strict=True):
        distance_n = np.linalg.norm(y.points_n3 - point_3, axis=1)
        q = distance_n.argmin()
        total += (distance_n[q] < radius) * (1 + normal_3 @ y.normals_n3[q]) / 2
    return total / len(x.points_n3)


@pytest.mark.parametrize("options", [SurfaceOptions(), SurfaceOptions(radius=0.1), SurfaceOptions(cells=1.5)])
@pytest.mark.parametrize("k1", [0.0, -0.2])
def test_it_is_its_definition(options: SurfaceOptions, k1: float, device: torch.device) -> None:
    sources, targets = room_views(7, 1), room_views(6, 2, replace(CAMERA, k1=k1))
    found = overlap(sources, targets, options, device).toarray()
    expected = np.array([[twin(x, y, options) for y in targets] for x in sources])
    np.testing.assert_allclose(found, expected, atol=ROUNDING)
    assert expected.max() > 0.3


def test_views_near_and_far_of_very_different_size() -> None:
    """One of a box from close by, one of the room: the radius is that of the coarser view."""
    views = [
        room_view(CAMERA, looking_along(-2.9, 0.1, 0.9, 0.0)),
        room_view(CAMERA, looking_along(-1.45, 0.1, 0.9, 0.0)),
    ]
    found = overlap(views, views).toarray()
    expected = [[twin(x, y, SurfaceOptions()) for y in views] for x in views]
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_a_view_overlaps_wholly_with_itself_and_no_frame_of_the_world_matters() -> None:
    views = room_views(5)
    found = overlap(views, views).toarray()
    np.testing.assert_allclose(found.diagonal(), 1.0, atol=1e-6)
    moved_44 = looking_along(4e5, -2e5, 3e5, 77.0, 33.0).T_wc
    moved = [replace(view, pose=Pose(moved_44 @ view.pose.T_wc)) for view in views]
    np.testing.assert_allclose(overlap(moved, moved).toarray(), found, atol=ROUNDING)


def test_enclosure_and_concentration() -> None:
    """A close view lies wholly in the one from farther away, of which it is a small part."""
    far, near = (room_view(CAMERA, looking_along(x, 2.0, 1.5, 180.0, 0.0)) for x in (2.5, -1.5))
    enclosure = overlap([near], [far]).toarray()[0, 0]
    concentration = overlap([far], [near]).toarray()[0, 0]
    assert enclosure > 0.95 and 0.02 < concentration < 0.5


def test_both_sides_of_a_thin_wall_face_away_from_each_other() -> None:
    """Frusta do not tell them apart, nor do distances: normals in the world's frame do."""
    shape = cell_points(CAMERA.width, CAMERA.height).shape[:2]
    ahead_hw = np.full(shape, 1.0, np.float32)
    front = DepthView(CAMERA, looking_along(-1.0, 0, 1, 0.0, 0.0), ahead_hw)
    back = DepthView(CAMERA, looking_along(1.02, 0, 1, 180.0, 0.0), ahead_hw)
    beside = DepthView(CAMERA, looking_along(-1.0, 0.05, 1, 0.0, 0.0), ahead_hw)
    assert overlap([front], [back], SurfaceOptions(radius=0.2)).toarray()[0, 0] < 1e-3
    assert overlap([front], [beside], SurfaceOptions(radius=0.2)).toarray()[0, 0] > 0.99


def test_normals_are_those_of_the_planes_and_look_at_the_camera() -> None:
    view = room_view(CAMERA, looking_along(-1.0, 1.0, 2.0, 60.0, 40.0))
    surface = ViewSurface.of(view)
    assert ((surface.normals_n3 * (surface.points_n3 - view.pose.center)).sum(1) < 0).all()
    # On the room's and the boxes' sides, normals are along the axes, but for edges.
    assert (np.abs(surface.normals_n3).max(1) > 0.999).mean() > 0.7


def test_where_no_normal_is_known_there_is_none() -> None:
    row_hw3 = np.full((5, 7, 3), np.nan)
    row_hw3[2] = np.stack([np.linspace(-1, 1, 7), np.zeros(7), np.full(7, 2.0)], 1)
    assert np.isnan(normals_of_map(row_hw3, np.zeros(3))).all()
    assert np.isnan(normals_of_map(np.full((4, 4, 3), np.nan), np.zeros(3))).all()


def test_no_depth_no_overlap() -> None:
    views = room_views(2)
    empty = DepthView.without_depth(CAMERA, views[0].pose)
    assert overlap([empty], views).nnz == 0 and overlap(views, [empty]).nnz == 0
    assert overlap([], views).shape == (0, 2) and overlap(views, []).shape == (2, 0)
    for wrong in ({"cells": 0.0}, {"radius": -1.0}, {"least": 2.0}):
        with pytest.raises(ValueError):
            SurfaceOptions(**wrong)


def test_chunks_and_what_is_not_looked_at_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = room_views(8, 3), room_views(5, 4)
    whole = overlap(sources, targets).toarray()
    monkeypatch.setitem(visible_points._CHUNK, "cpu", 211)
    np.testing.assert_allclose(overlap(sources, targets).toarray(), whole, atol=1e-6)
    monkeypatch.setattr(nearest_cells, "_AT_ONCE", 100)
    np.testing.assert_allclose(overlap(sources, targets).toarray(), whole, atol=1e-6)
    monkeypatch.setattr(nearest_cells, "_MOST_POOLED", 1)
    np.testing.assert_allclose(overlap(sources, targets).toarray(), whole, atol=1e-6)
