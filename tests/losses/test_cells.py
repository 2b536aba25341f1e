"""Cells: their rays and poses, and images joined."""

from __future__ import annotations

import numpy as np
import torch

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import exp_se3, transform
from transpose.losses.cells import Cells, joined_images, on_device
from transpose.randomness import stream


def some_cells(count: int, seed: int = 0) -> tuple[Cells, np.ndarray, np.ndarray]:
    """Cells, each of an image of its own; with their camera-to-world poses and depths."""
    rng = stream(seed, "cells")
    T_wc_n44, depth_n = exp_se3(rng.normal(size=(count, 6))), rng.uniform(1, 4, count)
    px_n2, points_n3, T_cw_n34, focal_n2, center_n2 = [], [], [], [], []
    for T_wc, depth in zip(T_wc_n44, depth_n, strict=True):
        camera = Camera(64, 48, *rng.uniform(40, 60, 2), *rng.uniform(20, 30, 2))
        px_n2.append(rng.uniform(0, 48, 2))
        points_n3.append(transform(T_wc, depth * camera.unproject(px_n2[-1])))
        T_cw_n34.append(Pose(T_wc).T_cw[:3])
        focal_n2.append((camera.fx, camera.fy))
        center_n2.append((camera.cx, camera.cy))
    columns = [torch.from_numpy(np.array(c)).float() for c in (points_n3, px_n2, T_cw_n34, focal_n2, center_n2)]
    return Cells(*columns), T_wc_n44, depth_n


def test_a_cells_point_lies_at_its_depth_on_its_ray() -> None:
    cells, T_wc_n44, depth_n = some_cells(20)
    assert len(cells) == 20
    np.testing.assert_allclose(cells.T_wc_n44.numpy(), T_wc_n44, atol=1e-6)
    assert cells.T_wc_n44.dtype == torch.float64
    np.testing.assert_allclose(cells.R_wc_n33.numpy(), T_wc_n44[:, :3, :3], atol=1e-6)
    along_n3 = np.einsum("nij,nj->ni", T_wc_n44[:, :3, :3], depth_n[:, None] * cells.rays_n3.numpy())
    np.testing.assert_allclose(cells.points_n3.numpy(), along_n3 + T_wc_n44[:, :3, 3], atol=1e-5)


def test_a_point_is_known_whole_or_not() -> None:
    cells, _, _ = some_cells(5)
    cells.points_n3[1, 2], cells.points_n3[3] = torch.nan, torch.inf
    assert cells.known_n.tolist() == [True, False, True, False, True]


def test_images_are_joined_one_after_the_other() -> None:
    one, other = some_cells(3)[0], some_cells(4, seed=1)[0]
    both = joined_images([one, other])
    assert (len(both), both.images) == (7, 2)
    for name in ("points_n3", "px_n2", "T_cw_n34", "focal_n2", "center_n2"):
        assert torch.equal(getattr(both, name), torch.cat([getattr(one, name), getattr(other, name)]))
    there = on_device(both, torch.device("cpu"))
    assert there.images == 2 and torch.equal(there.rays_n3, both.rays_n3)
