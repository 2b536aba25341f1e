import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transpose.geometry.poses import exp_se3
from transpose.randomness import stream, torch_stream
from transpose.solvers.robust.p3p import _polished, p3p


def problems(h: int, seed: int, depth: tuple[float, float] = (1.0, 4.0)):
    """Rays, world points and the true poses of random triangles in view."""
    rng = stream(seed, "p3p")
    T_cw_h44 = exp_se3(np.concatenate([rng.normal(0, 1.5, (h, 3)), rng.normal(0, 3, (h, 3))], 1))
    rays_h33 = np.concatenate([rng.uniform(-0.6, 0.6, (h, 3, 2)), np.ones((h, 3, 1))], 2)
    camera_h33 = rays_h33 * rng.uniform(*depth, (h, 3, 1))
    points_h33 = np.einsum("hij,hpi->hpj", T_cw_h44[:, :3, :3], camera_h33 - T_cw_h44[:, None, :3, 3])
    return torch.from_numpy(rays_h33), torch.from_numpy(points_h33), torch.from_numpy(T_cw_h44)


def distance(R_h433, t_h43, valid_h4, T_cw_h44) -> torch.Tensor:
    """Largest entry by which the best solution differs from the truth."""
    difference = (R_h433 - T_cw_h44[:, None, :3, :3]).abs().amax((2, 3)) + (
        t_h43 - T_cw_h44[:, None, :3, 3]
    ).abs().amax(2)
    return difference.masked_fill(~valid_h4, math.inf).amin(1)


def test_true_pose_is_among_the_solutions() -> None:
    rays, points, truth = problems(20_000, 0)
    error_h = distance(*p3p(rays, points), truth)
    assert error_h.median() < 1e-13
    assert error_h.max() < 1e-5


def test_all_solutions_are_poses_that_see_the_points() -> None:
    rays, points, _ = problems(5000, 1)
    R, t, valid = p3p(rays, points)
    seen = torch.einsum("hsij,hpj->hspi", R, points) + t[:, :, None]
    assert torch.allclose(R @ R.mT, torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-5)
    assert (torch.linalg.det(R) > 0).all()
    assert (seen[valid][..., 2] > 0).all()
    error = (seen[..., :2] / seen[..., 2:] - rays[:, None, :, :2]).abs().amax((2, 3))
    assert error[valid].max() < 1e-5
    assert 1 <= valid.sum(1).max() <= 4


def test_number_of_solutions_agrees_with_poselib() -> None:
    poselib = pytest.importorskip("poselib")
    rays, points, _ = problems(300, 2)
    unit = torch.nn.functional.normalize(rays, dim=2)
    R, t, valid = p3p(rays, points)
    for i in range(300):
        peers = poselib.p3p(list(unit[i].numpy()), list(points[i].numpy()))
        ours = R[i][valid[i]].numpy()
        found = [np.abs(ours - peer.R).max((1, 2)).min() for peer in peers] if len(ours) else []
        assert len(peers) == len(ours)
        assert all(difference < 1e-4 for difference in found)
    assert t.shape == (300, 4, 3)


def test_float32_is_enough_to_start_from() -> None:
    rays, points, truth = problems(5000, 3)
    R, t, valid = p3p(rays.float(), points.float())
    assert R.dtype == torch.float32
    assert (distance(R, t, valid, truth.float()) < 1e-2).float().mean() > 0.99


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 100.0))
def test_length_of_rays_and_scale_of_the_world_do_not_matter(seed: int, scale: float) -> None:
    rays, points, _ = problems(50, seed)
    R, t, valid = p3p(rays, points)
    R_2, t_2, valid_2 = p3p(rays * scale, points * scale)
    assert torch.equal(valid, valid_2)
    assert torch.allclose(R, R_2, atol=1e-5)
    assert torch.allclose(t * scale, t_2, atol=1e-4 * scale)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_symmetric_triangles_are_solved(tilt: float) -> None:
    """An equilateral triangle seen from ahead, and one that is turned about an axis of its symmetry."""
    angles = 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)
    points = torch.stack([angles.cos(), angles.sin(), torch.zeros(3, dtype=torch.float64)], 1)
    c, s = math.cos(tilt), math.sin(tilt)
    R = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)
    camera = points @ R.T + torch.tensor([0, 0, 3.0], dtype=torch.float64)
    R_est, t_est, valid = p3p(camera[None] / camera[:, 2:], points[None])
    assert valid.any()
    error = (R_est[0] - R).abs().amax((1, 2)) + (t_est[0] - torch.tensor([0, 0, 3.0])).abs().amax(1)
    assert error[valid[0]].min() < 1e-4


@pytest.mark.parametrize("kind", ["same", "line", "nan", "inf", "zero rays", "same rays", "huge"])
def test_degenerate_problems_have_no_solution_and_do_no_harm(kind: str) -> None:
    rays, points, truth = problems(8, 4)
    if kind == "same":
        points[3] = 1.0
    elif kind == "line":
        points[3] = torch.tensor([[1.0], [2.0], [4.0]]) * torch.tensor([1.0, 2.0, 3.0])
    elif kind == "nan":
        points[3, 1] = math.nan
    elif kind == "inf":
        points[3, 1] = math.inf
    elif kind == "zero rays":
        rays[3] = 0
    elif kind == "same rays":
        rays[3] = rays[3, :1]
    else:
        points[3] *= 1e200
    R, t, valid = p3p(rays, points)
    assert torch.isfinite(R).all()
    assert torch.isfinite(t).all()
    assert not valid[3].any()
    assert torch.equal(R[3], torch.eye(3, dtype=R.dtype).expand(4, 3, 3))
    others = torch.arange(8) != 3
    assert distance(R, t, valid, truth)[others].max() < 1e-6


def test_empty_batch_and_wrong_shapes() -> None:
    R, t, valid = p3p(torch.zeros(0, 3, 3), torch.zeros(0, 3, 3))
    assert R.shape == (0, 4, 3, 3)
    assert t.shape == (0, 4, 3)
    assert valid.shape == (0, 4)
    with pytest.raises(ValueError, match="h, 3, 3"):
        p3p(torch.zeros(5, 3, 2), torch.zeros(5, 3, 3))


def test_polishing_is_a_newton_step() -> None:
    """What is off by e is off by some e^2 after it; a candidate that it would move far stays."""
    draws = torch_stream(9, "polish")
    true_3h = 1 + 3 * torch.rand(3, 200, generator=draws, dtype=torch.float64)
    unit_33h = torch.randn(3, 3, 200, generator=draws, dtype=torch.float64) + torch.tensor([0.0, 0, 3])[None, :, None]
    unit_33h = unit_33h / unit_33h.norm(dim=1, keepdim=True)
    following = [1, 2, 0]
    cosines_3h = (unit_33h * unit_33h[following]).sum(1)
    points_33h = true_3h[:, None] * unit_33h
    squared_3h = (points_33h - points_33h[following]).square().sum(1)
    off_34h = torch.randn(3, 4, 200, generator=draws, dtype=torch.float64)
    for size in (1e-4, 1e-6):
        left = _polished(true_3h[:, None] + size * off_34h, cosines_3h, squared_3h) - true_3h[:, None]
        assert left.abs().median() < 3 * size**2
    far = torch.full((3, 4, 200), 2.0, dtype=torch.float64)
    moved = (_polished(far, cosines_3h, squared_3h) - far).abs()
    assert ((moved < 0.2).all(0)).all() and (moved == 0).all(0).any() and (moved > 0.01).any()
