"""Minimal samples: which are drawn and kept, and the poses of three points."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.solvers.posed import posed
from transpose.randomness import torch_stream
from transpose.solvers.lie import exp_se3, invert
from transpose.solvers.residuals import PixelResiduals, PointResiduals
from transpose.solvers.robust.hypotheses import Draws, Minimal, draw, minimal_pnp, minimal_rigid, rigid_from_three
from transpose.solvers.robust.rigid import kabsch


def counted(agreeing: int, every: int = 1) -> tuple[Minimal, list[Tensor]]:
    """A minimal solver by whose word every so many-th sample agrees whose points' numbers are below a bound.

    Its pose is shifted along x by how many samples came before; what it was asked is kept.
    """
    asked: list[Tensor] = []

    def solve(sample_k: Tensor, point_k4: Tensor) -> tuple[Tensor, Tensor]:
        number_k = torch.arange(len(point_k4)) + sum(map(len, asked))
        asked.append(point_k4)
        pose_34k = torch.eye(3, 4, dtype=torch.float64)[..., None].repeat(1, 1, len(point_k4))
        pose_34k[0, 3] = number_k.double()
        agrees_k = (number_k % every == 0) & (point_k4 < agreeing).all(1)
        return pose_34k, torch.where(agrees_k, 0.5, 2.0).double()

    return solve, asked


@pytest.mark.parametrize("every", [1, 40])
def test_the_first_that_agree_are_kept_in_the_order_of_their_draws(every: int) -> None:
    solve, asked = counted(100, every)
    found = draw(solve, torch.ones(1, 20, dtype=torch.bool), Draws(16, 10_000, 1.0, 0))
    assert found.valid_bh.all()
    assert (-found.T_wc_bh44[0, :, 0, 3]).tolist() == [every * i for i in range(16)]
    assert torch.equal(found.index_bh3[0], torch.cat(asked)[: 16 * every : every, :3])
    assert sum(map(len, asked)) < 3 * max(256, 16 * every)  # no more than it takes, about


@pytest.mark.parametrize("most", [100, 300, 1000])
def test_no_more_is_drawn_than_was_said(most: int) -> None:
    solve, asked = counted(0)
    found = draw(solve, torch.ones(1, 20, dtype=torch.bool), Draws(16, most, 1.0, 0))
    assert sum(map(len, asked)) == most
    assert found.valid_bh.all()  # where none agrees, poses are poses


def test_only_usable_points_are_drawn_all_alike_and_four_at_least() -> None:
    usable_bn = torch.tensor([[True] * 5 + [False] * 15, [False, True] * 10, [True] * 3 + [False] * 17])
    solve, asked = counted(100)
    found = draw(solve, usable_bn, Draws(256, 1024, 1.0, 0))
    drawn_bs4 = torch.cat([each.unflatten(0, (3, -1)) for each in asked], 1)
    for usable_n, drawn_s4 in zip(usable_bn, drawn_bs4, strict=True):
        share_n = torch.bincount(drawn_s4.flatten(), minlength=20) / drawn_s4.numel()
        assert torch.allclose(share_n, usable_n / usable_n.sum(), atol=0.03)
    assert found.valid_bh.sum(1).tolist() == [256, 256, 0]
    none = draw(solve, torch.ones(2, 0, dtype=torch.bool), Draws(7, 100, 1.0, 0))
    assert none.index_bh3.shape == (2, 7, 3) and not none.valid_bh.any()
    assert torch.equal(none.T_wc_bh44, torch.eye(4, dtype=torch.float64).expand(2, 7, 4, 4))


def test_what_is_no_rotation_is_no_pose() -> None:
    def solve(sample_k: Tensor, point_k4: Tensor) -> tuple[Tensor, Tensor]:
        pose_34k = torch.eye(3, 4, dtype=torch.float64)[..., None].repeat(1, 1, len(point_k4))
        pose_34k[..., 1::2] *= 1.01
        return pose_34k, torch.zeros(len(point_k4), dtype=torch.float64)

    found = draw(solve, torch.ones(1, 9, dtype=torch.bool), Draws(10, 1000, 1.0, 0))
    assert found.valid_bh[0].tolist() == [True, False] * 5


def test_a_pose_of_three_points_sees_the_fourth_where_it_is_and_tells_by_how_much_it_misses() -> None:
    given = posed(2, 30, seed=3)
    px_b2n = given.px_bn2.mT.clone()
    px_b2n[:, :, 7] += torch.tensor([3.0, 4.0], dtype=torch.float64)
    points = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    solve = minimal_pnp(given.points_bn3.mT, PixelResiduals(px_b2n, given.K_b33))
    pose_34k, error_k = solve(torch.tensor([0, 1]), points)
    assert error_k.tolist() == pytest.approx([0, 5], abs=0.05)
    torch.testing.assert_close(pose_34k.permute(2, 0, 1), invert(given.T_wc_b44)[:, :3], rtol=0, atol=1e-3)


def test_a_rigid_motion_of_three_points_tells_by_how_much_it_misses_each() -> None:
    given = posed(1, 8, seed=4)
    measured_b3n = given.camera_bn3.mT.clone()
    measured_b3n[0, :, 3] += torch.tensor([0.2, 0.1, -0.2], dtype=torch.float64)
    solve = minimal_rigid(given.points_bn3.mT, PointResiduals(measured_b3n))
    points = torch.tensor([[0, 1, 2, 4], [0, 1, 2, 3], [0, 1, 3, 2], [0, 1, 1, 2]])
    pose_34k, error_k = solve(torch.zeros(4, dtype=torch.long), points)
    assert error_k[:2].tolist() == pytest.approx([0, 0.3], abs=1e-9)
    assert 0.05 < error_k[2] < 0.5
    assert error_k[3] == torch.inf  # two points
    torch.testing.assert_close(pose_34k[..., 0], invert(given.T_wc_b44)[0, :3], rtol=0, atol=1e-9)


def test_three_points_are_fitted_as_by_a_decomposition() -> None:
    draws = torch_stream(5, "triangles")
    source = torch.randn(50, 3, 3, generator=draws, dtype=torch.float64)
    motion = exp_se3(torch.randn(50, 6, generator=draws, dtype=torch.float64))
    target = motion[:, :3, :3] @ source + motion[:, :3, 3:] + 0.1 * torch.randn(50, 3, 3, generator=draws)
    R_k33, t_k3, spread_k = rigid_from_three(source, target)
    wanted_R, wanted_t = kabsch(source.mT, target.mT)
    torch.testing.assert_close(R_k33, wanted_R)
    torch.testing.assert_close(t_k3, wanted_t)
    assert spread_k.all()
    line = torch.arange(3.0, dtype=torch.float64).expand(50, 3, 3)
    for pair in ((line, target), (source, line)):
        assert not rigid_from_three(*pair)[2].any()
