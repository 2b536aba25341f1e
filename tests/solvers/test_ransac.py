"""The search's parts: what is drawn, how poses are scored, when it ends, and what agreement proves."""

from __future__ import annotations

import math

import pytest
import torch

from tests.solvers.posed import posed
from tests.solvers.test_pnp import CAMERA, problem
from transpose.randomness import torch_stream
from transpose.solvers import RansacOptions, solve_pnp
from transpose.solvers.lie import invert
from transpose.solvers.robust.ransac import _needed
from transpose.solvers.robust.samples import number_of_triples, subset, triples
from transpose.solvers.robust.scoring import (
    PoseScorer,
    chances_of_inlier,
    halvings,
    log10_chance,
    soft_inlier_fraction,
)


@pytest.mark.parametrize("b", [1, 3])
def test_all_poses_are_scored_on_all_points_as_one_by_one(b: int) -> None:
    given, h = posed(b, 50, seed=5, noise_px=3.0, outliers=0.2), 7
    nudge = 0.02 * torch.randn(b, h, 3, 4, generator=torch_stream(0, "nudge"), dtype=torch.float64)
    poses_bh34 = invert(given.T_wc_b44)[:, None, :3] + nudge
    rays = torch.cat(
        [(given.px_bn2 - given.K_b33[:, None, :2, 2]) / torch.tensor([525.0, 520.0]), given.px_bn2[..., :1]], 2
    )
    rays[..., 2] = 1
    counted = (torch.rand(b, 50, generator=torch_stream(1, "counted")) < 0.8).double()
    focal_b2 = torch.tensor([52.5, 52.0], dtype=torch.float64).expand(b, 2)  # thresholds of ten pixels
    scorer = PoseScorer.of(rays.mT, given.points_bn3.mT, focal_b2, counted)
    squared_bhm, depth2_bhm = scorer.squared_errors(poses_bh34.flatten(2))
    cost_bh, few_bh = scorer.cost(poses_bh34.flatten(2)), scorer.first(20).cost(poses_bh34.flatten(2))
    for i in range(b):
        for j in range(h):
            camera = given.points_bn3[i] @ poses_bh34[i, j, :, :3].T + poses_bh34[i, j, :, 3]
            px = camera[:, :2] / camera[:, 2:] * torch.tensor([525.0, 520.0]) + given.K_b33[i, :2, 2]
            wanted_n = ((px - given.px_bn2[i]) / 10).square().sum(1)
            ahead_n = (camera[:, 2] > 1e-3) & (counted[i] > 0)
            torch.testing.assert_close(squared_bhm[i, j][ahead_n], wanted_n[ahead_n], rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(depth2_bhm[i, j][ahead_n], camera[ahead_n, 2].square(), rtol=1e-9, atol=0)
            cost_n = wanted_n.clamp_max(1).where(camera[:, 2] > 0, 1.0) * counted[i]
            torch.testing.assert_close(cost_bh[i, j], cost_n.sum(), rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(few_bh[i, j], cost_n[:20].sum(), rtol=1e-6, atol=1e-9)
    assert torch.equal(scorer.worst()[:, 0], counted.sum(1))


def test_of_few_all_triples_are_tried_and_of_many_they_are_drawn_by_weight() -> None:
    assert [number_of_triples(n) for n in (2, 3, 10, 30, 31)] == [0, 1, 120, 4060, math.inf]
    weight_bn = torch.zeros(2, 40)
    weight_bn[0, 5:15] = 1.0
    weight_bn[1, :35] = torch.linspace(1, 3, 35)
    tried = [triples(weight_bn, k, 50, torch.Generator().manual_seed(k)) for k in (0, 50, 100)]
    few = torch.cat([each[0] for each in tried], 1)[:, :120]
    assert {tuple(sorted(each)) for each in few.T.tolist()} == {
        (a, b, c) for a in range(5, 15) for b in range(a + 1, 15) for c in range(b + 1, 15)
    }
    assert (tried[2][0][:, 20:] == tried[2][0][:1, 20:]).all()  # no more are left
    many = triples(weight_bn, 0, 30_000, torch.Generator().manual_seed(0))[1]
    share = torch.bincount(many.flatten(), minlength=40) / many.numel()
    torch.testing.assert_close(share, weight_bn[1] / weight_bn[1].sum(), rtol=0.1, atol=0)


def test_a_subset_prefers_the_heavy_and_repeats_none() -> None:
    weight_bn = torch.tensor([[0.0, 1.0, 1.0, 8.0, 0.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([subset(weight_bn, 3, generator)[0] for _ in range(2000)])
    assert all(len(set(each)) == 3 for each in drawn.tolist())
    assert not torch.isin(drawn, torch.tensor([0, 4])).any()
    assert float((drawn[:, 0] == 3).float().mean()) == pytest.approx(8 / 11, abs=0.03)
    assert sorted(subset(weight_bn, 99, generator)[0][0].tolist()) == list(range(6))


def test_the_search_ends_when_a_sample_of_inliers_was_surely_drawn() -> None:
    options = RansacOptions(confidence=0.99, max_iterations=100_000)
    for fraction in (0.2, 0.5, 0.9):
        needed = _needed(fraction, 1000, options)
        good = fraction * (fraction - 0.001) * (fraction - 0.002)
        assert (1 - good) ** needed == pytest.approx(0.01, rel=1e-6)
    assert _needed(0.0, 1000, options) == 100_000
    assert _needed(0.0, 10, options) == 120
    assert 0 < _needed(1.0, 1000, options) < 1


def test_it_tells_how_many_it_tried() -> None:
    easy, hard = (solve_pnp(*problem(1, outliers=outliers)[:2], CAMERA) for outliers in (0.0, 0.8))
    assert 0 < easy.iterations <= 128 < hard.iterations <= RansacOptions().max_iterations
    limited = solve_pnp(*problem(1, outliers=0.95)[:2], CAMERA, RansacOptions(max_iterations=700))
    assert limited.iterations == 700


def test_agreement_is_judged_by_how_many_models_chance_would_offer() -> None:
    """Every threshold by whole numbers; the best of them."""
    error_n = torch.tensor([0.01] * 5 + [0.3] * 4 + [0.9] * 6 + [5.0] * 20)
    chances = [0.1 / 4**k for k in range(13)]
    models = []
    for threshold, chance in zip(halvings(1.0), chances, strict=True):
        k = int((error_n < threshold).sum())
        if k > 3:
            models.append(math.log10(13 * math.comb(35, k) * math.comb(k, 3) * chance ** (k - 3)))
    assert log10_chance(error_n, 35, 1.0, chances) == pytest.approx(min(models))
    assert len(models) > 5 and min(models) < models[0]
    assert log10_chance(error_n, 35, 1.0, chances, enough=-0.5) <= -0.5
    assert log10_chance(error_n[-20:], 20, 1.0, chances) == math.inf
    assert log10_chance(error_n[:5], 5, 1.0, chances, sample=4) > log10_chance(error_n[:5], 5, 1.0, chances)
    assert log10_chance(error_n[:3], 3, 1.0, chances) == math.inf
    assert halvings(8.0)[:4] == [8, 4, 2, 1] and len(halvings(8.0)) == 13


def test_agreement_is_counted_softly() -> None:
    error_n = torch.tensor([0.0, 10.0, 12.0, torch.inf])
    wanted = [1 / (1 + math.exp(5 * (e - 10) / 10)) for e in (0.0, 10.0, 12.0)]
    assert soft_inlier_fraction(error_n, 10.0) == pytest.approx(sum(wanted) / 4)


def test_chance_is_a_disk_over_the_pixels_extent_or_how_dense_they_are() -> None:
    stream = torch_stream(0, "chance")
    spread = torch.rand(1, 3000, 2, generator=stream, dtype=torch.float64) * torch.tensor([640.0, 480.0])
    shuffled = spread[:, torch.randperm(3000, generator=stream)]
    usable = torch.ones(1, 3000, dtype=torch.bool)
    chances = chances_of_inlier(spread, shuffled, usable, 10.0)[0]
    disks = math.pi * torch.tensor([10.0, 5.0, 2.5, 1.25]) ** 2 / (640 * 480)
    assert (chances[:4] > 0.95 * disks).all() and (chances[:2] < 4 * disks[:2]).all()
    # A pose that is far away sees all at one place, and half of the pixels are there.
    clustered = spread.clone()
    clustered[:, ::2] = 300.0
    far = torch.full_like(spread, 301.0)
    assert float(chances_of_inlier(clustered, far, usable, 10.0)[0, 0]) == pytest.approx(0.5, abs=0.1)
    assert float(chances_of_inlier(far, far, usable, 10.0)[0, 0]) == 1
    behind = torch.full_like(spread, torch.nan)
    torch.testing.assert_close(chances_of_inlier(spread, behind, usable, 10.0)[0, :4], disks, rtol=0.1, atol=0)


@pytest.mark.parametrize("wild", [1e12, -1e12, 1e30, -1e30, 1e200, -1e200])
def test_wild_numbers_do_nothing_to_the_others(wild: float) -> None:
    px_n2, points_n3, truth, _ = problem(7, n=200, outliers=0.2)
    for axis in range(3):
        points_n3[axis, axis] = wild
    found = solve_pnp(px_n2, points_n3, CAMERA)
    assert found.pose is not None and abs(found.pose.T_wc - truth.T_wc).max() < 1e-4
