"""The posterior of a focal length that an image hardly tells, against a dense grid of focal lengths."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.solvers.test_focal import CAMERA, plane
from transpose.solvers import RansacOptions, solve_pnp
from transpose.solvers.lie import compose, invert, log_se3
from transpose.solvers.robust import fit
from transpose.solvers.robust.focal_profile import _profile, profiled
from transpose.solvers.robust.normal_equations import features, normal_equations
from transpose.solvers.robust.problem import RefinementProblem
from transpose.solvers.robust.refine import Refinement, refine

NODES = 61


def told_badly(monkeypatch: pytest.MonkeyPatch, tilt_deg: float) -> tuple[RefinementProblem, Refinement]:
    """The last fit of a plane seen (nearly) straight, before its profile is looked at."""
    seen: list[tuple[RefinementProblem, Refinement]] = []

    def noted(problem: RefinementProblem, refined: Refinement) -> Refinement:
        seen.append((problem, refined))
        return profiled(problem, refined)

    monkeypatch.setattr(fit, "profiled", noted)
    px_n2, points_n3, _ = plane(0, tilt_deg)
    solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.2), RansacOptions(6.0), estimate_focal=True)
    return seen[-1]


@pytest.mark.parametrize("tilt_deg", [0.0, 4.0])
def test_its_moments_are_those_of_a_dense_grid(monkeypatch: pytest.MonkeyPatch, tilt_deg: float) -> None:
    problem, refined = told_badly(monkeypatch, tilt_deg)
    assert problem.focal is not None and refined.focal_sigma_b is not None and refined.focal_sigma_b[0] > 0.012
    found = profiled(problem, refined)
    assert found.focal_sigma_b is not None and found.zoom_b is not None

    # The log of the zoom over four standard deviations of the prior; poses refined from each neighbour's, both ways.
    sigma, offset = problem.focal.sigma, float(problem.focal.log_zoom_b[0])
    log_zoom_k = torch.linspace(-4 * sigma, 4 * sigma, NODES, dtype=torch.float64) - offset
    fixed = replace(problem.repeated(NODES).zoomed(log_zoom_k.exp()), focal=None)
    poses_k34 = refined.poses_b34.repeat(NODES, 1, 1)
    depth = float((refined.poses_b34 @ problem.homogeneous_b4n)[0, 2].mean())
    poses_k34[:, 2, 3] += (log_zoom_k.exp() / float(refined.zoom_b[0]) - 1) * depth
    best_k = torch.full((NODES,), torch.inf, dtype=torch.float64)
    best_k34, covariance_k66 = poses_k34, torch.zeros(NODES, 6, 6, dtype=torch.float64)
    for start_k34 in (poses_k34, _profile(problem, refined, 0).poses_k34[:1].expand(NODES, 3, 4)):
        for step in (0, 1, -1):
            tried = refine(fixed, start_k34.roll(step, 0))
            cost_k = normal_equations(fixed, features(fixed.homogeneous_b4n), tried.poses_b34).cost_b
            better_k = cost_k < best_k
            best_k = cost_k.where(better_k, best_k)
            best_k34 = tried.poses_b34.where(better_k[:, None, None], best_k34)
            covariance_k66 = tried.covariance_b66.where(better_k[:, None, None], covariance_k66)
            start_k34 = best_k34
    assert refined.overdispersion_b is not None
    log_k = -best_k / float(refined.overdispersion_b[0].clamp_min(1)) - 0.5 * ((log_zoom_k + offset) / sigma).square()
    share_k = log_k.softmax(0)
    answer = found.zoom_b[0].log()
    spread = (share_k @ (log_zoom_k - answer).square()).sqrt()
    torch.testing.assert_close(found.focal_sigma_b[0], spread, rtol=0.1, atol=0)
    # The answer lies near the posterior's mean, and the pose's covariance has what the focal length leaves open.
    assert abs(answer - share_k @ log_zoom_k) < 0.75 * spread
    T_k44, T_44 = (compose(p[..., :3], p[..., 3]) for p in (best_k34, found.poses_b34[0]))
    xi_k6 = log_se3(T_44 @ invert(T_k44))
    wanted_66 = torch.einsum("k,ki,kj->ij", share_k, xi_k6, xi_k6) + (share_k[:, None, None] * covariance_k66).sum(0)
    ratio_6 = (found.covariance_b66[0].diagonal() / wanted_66.diagonal()).sqrt()
    assert ratio_6.min() > 0.7 and ratio_6.max() < 1.4


def test_shares_sum_to_one_and_an_image_that_tells_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, refined = told_badly(monkeypatch, 1.0)
    profile = _profile(problem, refined, 0)
    assert float(profile.share_k.sum()) == pytest.approx(1)
    assert (profile.log_zoom_k.diff() >= 0).all()
    assert refined.focal_sigma_b is not None
    sure = replace(refined, focal_sigma_b=torch.full_like(refined.focal_sigma_b, 0.01))
    assert profiled(problem, sure) is sure


def test_errors_that_points_share_are_told_from_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point four times is as many sightings, each of which says no more than one."""
    problem, alone = told_badly(monkeypatch, 4.0)
    columns = torch.arange(problem.rays_b3n.shape[2]).repeat_interleave(4)
    again = replace(
        problem,
        rays_b3n=problem.rays_b3n[..., columns],
        homogeneous_b4n=problem.homogeneous_b4n[..., columns],
        weight_bn=problem.weight_bn[:, columns],
        focal_b2n=None if problem.focal_b2n is None else problem.focal_b2n[..., columns],
        cluster_bn=columns[None],
        clusters=int(columns.max()) + 1,
    )
    shared = refine(again, alone.poses_b34)
    assert alone.overdispersion_b is not None and shared.overdispersion_b is not None
    assert 0.4 < float(alone.overdispersion_b[0]) < 2.5
    assert float(shared.overdispersion_b[0] / alone.overdispersion_b[0]) == pytest.approx(4, rel=0.2)
