"""The nearest point of a depth map: against all distances, and what is said of points that were not looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from tests.geometry.depth_scenes import looking_along, room_view
from transpose.geometry import Camera, nearest_cells
from transpose.geometry.nearest_cells import NearestCells, _most_stretched, _Seen
from transpose.geometry.surface_overlap import ViewSurface

PLAIN = Camera.from_focal(90.0, 128, 96)
CAMERAS = [PLAIN, *(replace(PLAIN, k1=k1, k2=k2) for k1, k2 in ((-0.2, 0.0), (-0.3, 0.1), (0.25, -0.02)))]
ROUNDING = 1e-5


class Asked:
    """Cells of a view of the room, some points about its surface, at its borders and behind it, and all distances."""

    def __init__(self, camera: Camera, radius: float, device: torch.device, stride: int = 4) -> None:
        view = room_view(camera, looking_along(-2.2, 0.5, 1.0, 0.0, 12.0), stride)
        surface, rng = ViewSurface.of(view), np.random.default_rng(0)
        self.own_n3 = (surface.points_n3 - view.pose.center) @ view.pose.R_wc
        about_m3 = self.own_n3[rng.integers(len(self.own_n3), size=2000)]
        about_m3 = about_m3 + rng.normal(size=(2000, 3)) * rng.choice([0.0, 0.01, 0.1, 0.5], size=(2000, 1))
        self.points_m3 = about_m3.astype(np.float32)
        self.radius_m = rng.uniform(0.5, 1.0, 2000).astype(np.float32) * radius
        self.cells = NearestCells.of(view, self.own_n3, surface.cell_n, radius, device)
        number_n1 = np.arange(len(self.own_n3), dtype=np.float32)[:, None]
        self.number_c = self.cells.image.padded(number_n1, surface.cell_n, -1.0)[0]
        self.points_3m = torch.from_numpy(np.ascontiguousarray(self.points_m3.T)).to(device)
        self.distance_mn = cdist(self.points_m3, self.own_n3)

    def agrees(self) -> None:
        found = self.cells.nearest(self.points_3m, torch.from_numpy(self.radius_m).to(self.points_3m.device))
        found_m = found.cpu().numpy()
        nearest_m = self.distance_mn.min(1)
        clear_m = np.abs(nearest_m - self.radius_m) > ROUNDING
        np.testing.assert_array_equal((found_m >= 0)[clear_m], (nearest_m < self.radius_m)[clear_m])
        which_k = np.flatnonzero(found_m >= 0)
        number_k = self.number_c[found_m[which_k]].astype(np.int64)
        assert (number_k >= 0).all()
        np.testing.assert_allclose(self.distance_mn[which_k, number_k], nearest_m[which_k], atol=ROUNDING)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("radius", [0.05, 0.3, 2.0])
def test_it_is_the_nearest_of_all(camera: Camera, radius: float, device: torch.device) -> None:
    asked = Asked(camera, radius, device)
    asked.agrees()
    assert (asked.distance_mn.min(1) < asked.radius_m).mean() > 0.1 and asked.points_m3[:, 2].min() < 0


@pytest.mark.parametrize("halves", [(), (2,), (4,), (6,)])
@pytest.mark.parametrize("pooled", [1, 12])
def test_whichever_way_it_is_looked_for(halves: tuple[int, ...], pooled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_cells, "_HALVES", halves)
    monkeypatch.setattr(nearest_cells, "_MOST_POOLED", pooled)
    monkeypatch.setattr(nearest_cells, "_AT_ONCE", 500)
    for camera in CAMERAS[:2]:
        Asked(camera, 0.4, torch.device("cpu")).agrees()


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("half", [1, 2, 6])
def test_no_point_outside_a_window_is_as_near_as_is_said(camera: Camera, half: int) -> None:
    asked = Asked(camera, 0.3, torch.device("cpu"))
    seen = _Seen.of(asked.cells.image, asked.points_3m)
    beyond_m = seen.beyond(half).numpy()
    width = asked.cells.image.width
    row_n, column_n = np.divmod(np.flatnonzero(asked.number_c >= 0), width)
    row_m, column_m = np.divmod(seen.cell_m.numpy(), width)
    down_mn, across_mn = row_n - row_m[:, None], column_n - column_m[:, None]
    outside_mn = (np.minimum(down_mn, across_mn) <= -half) | (np.maximum(down_mn, across_mn) > half)
    assert (np.where(outside_mn, asked.distance_mn, np.inf) >= beyond_m[:, None]).all()
    # What is said is of use: of points near the surface, a window of two cells holds the nearest.
    near_m = asked.distance_mn.min(1) < 0.02
    assert (beyond_m[near_m] > 0.02).mean() > 0.5


def test_few_points_are_looked_for_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, rest = Asked(PLAIN, 0.1, torch.device("cpu")), []
    monkeypatch.setattr(NearestCells, "_nearest_of_all", lambda self, points, radius: rest.append(len(radius)))
    monkeypatch.setattr(nearest_cells, "_put", lambda *_: None)
    asked.cells.nearest(asked.points_3m, torch.from_numpy(asked.radius_m))
    assert sum(rest) < 0.1 * len(asked.radius_m)


@pytest.mark.parametrize(
    "k1, k2", [(0.0, 0.0), (-0.2, 0.0), (-0.3, 0.1), (0.25, -0.02), (0.4, -0.3), (-0.9, 0.2), (0.0, -2.0)]
)
def test_a_lens_stretches_nowhere_more_than_is_said(k1: float, k2: float) -> None:
    """By finite differences along and across the radius; and somewhere as much, or nowhere more than a pinhole."""
    for reach2 in (0.3, 1.0, 2.0):
        s_n = np.linspace(1e-6, reach2, 4001)
        r_n = np.sqrt(s_n)
        along_n = np.abs(np.gradient(r_n * (1 + k1 * s_n + k2 * s_n**2), r_n))[1:-1]
        across_n = np.abs(1 + k1 * s_n + k2 * s_n**2)
        most = max(1.0, along_n.max(), across_n.max())
        assert _most_stretched(k1, k2, reach2) == pytest.approx(most, rel=2e-3)
