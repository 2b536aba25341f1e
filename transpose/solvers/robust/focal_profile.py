"""How well an image tells its focal length, where it tells it so badly that a parabola about the best fit misleads.

A plane that the camera looks at straight, or a scene of little relief, is seen alike by a longer lens from farther
away; and a plane alike from two sides. Noise then bends the cost into minima that are narrow and wrong. So the pose is
refined anew at each of many focal lengths, from both sides, and what is stated are the moments of the posterior over
them all (the profile likelihood, with the prior).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.lie import compose, exp_so3, invert, log_se3
from transpose.solvers.robust.normal_equations import features, normal_equations
from transpose.solvers.robust.problem import RefinementProblem
from transpose.solvers.robust.refine import Refinement, refine

# Standard deviation of log f from which on a parabola is not believed (planes seen straight, noise of 1 to 3 px: up
# to 0.01 errors are as normal as stated, from 0.03 on twenty times as large occur).
_DOUBTFUL = 0.012
_MOST_POINTS = 1024
_WIDE = torch.linspace(-2.5, 2.5, 21, dtype=torch.float64)  # nodes in standard deviations of the prior
_NARROW = torch.linspace(-4.0, 4.0, 9, dtype=torch.float64)  # and in those of the parabola about the best fit
_ASIDE = 0.5  # of the posterior's deviation: how far from its mean the best fit may lie to be the answer


@dataclass(frozen=True)
class _Profile:
    """The posterior of log f of one image, over k nodes.

    Attributes:
        log_zoom_k: nodes, as the log of the focal length over that of the problem, increasing.
        poses_k34: refined at each.
        covariance_k66: of each, its focal length held.
        share_k: of the posterior, about each node; they sum to one.
    """

    log_zoom_k: Tensor
    poses_k34: Tensor
    covariance_k66: Tensor
    share_k: Tensor


def profiled(problem: RefinementProblem, refined: Refinement) -> Refinement:
    """The refinement, with what the profile says of those images that tell their focal length badly.

    Args:
        problem: that was refined, with its prior of the focal length.
        refined: over pose and focal length.
    """
    assert refined.focal_sigma_b is not None
    for i in (refined.focal_sigma_b > _DOUBTFUL).nonzero()[:, 0].tolist():
        refined = _restated(refined, i, _profile(problem.of(i), refined, i))
    return refined


def _profile(problem: RefinementProblem, refined: Refinement, i: int) -> _Profile:
    """Of one image, whose problem is given as a batch of one."""
    assert problem.focal is not None and refined.zoom_b is not None
    assert refined.focal_sigma_b is not None and refined.overdispersion_b is not None
    best, sigma = refined.zoom_b[i].log(), problem.focal.sigma
    device = best.device
    wide_k = _WIDE.to(device) * sigma - problem.focal.log_zoom_b
    log_zoom_k = torch.cat([wide_k, best + _NARROW.to(device) * refined.focal_sigma_b[i]]).sort().values
    k = len(log_zoom_k)
    thinned, stands_for = problem.thinned(_MOST_POINTS)
    log_zoom_2k = log_zoom_k.repeat(2)
    at = replace(thinned.repeated(2 * k).zoomed(log_zoom_2k.exp()), focal=None)
    starts_2k34 = _starts(thinned.homogeneous_b4n[0], refined.poses_b34[i], (log_zoom_k - best).exp())
    found = refine(at, starts_2k34)
    cost_2k = normal_equations(at, features(at.homogeneous_b4n), found.poses_b34).cost_b
    better_k = cost_2k.view(2, k).argmin(0) * k + torch.arange(k, device=device)
    cost_k = cost_2k[better_k] * stands_for / refined.overdispersion_b[i].clamp_min(1)
    log_k = -cost_k - 0.5 * ((log_zoom_k + problem.focal.log_zoom_b) / sigma).square()
    width_k = torch.gradient(log_zoom_k)[0].clamp_min(0) if k > 1 else torch.ones_like(log_k)
    share_k = (log_k - log_k.max()).exp() * width_k
    covariance_k66 = found.covariance_b66[better_k] / stands_for
    return _Profile(log_zoom_k, found.poses_b34[better_k], covariance_k66, share_k / share_k.sum())


def _starts(homogeneous_4n: Tensor, pose_34: Tensor, factor_k: Tensor) -> Tensor:
    """Poses (2k, 3, 4) from which to refine at k focal lengths: backed off along the axis, and from the other side."""
    camera_3n = pose_34 @ homogeneous_4n
    middle_3 = camera_3n.mean(1)
    _, axes_33 = torch.linalg.eigh((camera_3n - middle_3[:, None]).cov())
    normal_3, ahead_3 = axes_33[:, 0], middle_3 / middle_3.norm()
    # A plane's other pose has its normal mirrored at the line of sight: turned by twice the angle between them.
    normal_3 = normal_3 * (normal_3 @ ahead_3).sign()
    across_3 = torch.linalg.cross(normal_3, ahead_3)
    angle = torch.atan2(across_3.norm(), normal_3 @ ahead_3)
    turned_33 = exp_so3(2 * angle * torch.nn.functional.normalize(across_3, dim=0))
    R_33 = turned_33 @ pose_34[:, :3]
    other_34 = torch.cat([R_33, (turned_33 @ (pose_34[:, 3] - middle_3) + middle_3)[:, None]], 1)
    both_2k34 = torch.stack([pose_34, other_34])[:, None].repeat(1, len(factor_k), 1, 1)
    both_2k34[..., 2, 3] += (factor_k - 1) * middle_3[2]
    return both_2k34.flatten(0, 1)


def _restated(refined: Refinement, i: int, profile: _Profile) -> Refinement:
    """The refinement with image i's pose, covariance and focal length as the posterior has them."""
    assert refined.zoom_b is not None and refined.focal_sigma_b is not None
    mean = profile.share_k @ profile.log_zoom_k
    deviation = (profile.share_k @ (profile.log_zoom_k - mean).square()).sqrt()
    log_zoom, pose_34 = refined.zoom_b[i].log(), refined.poses_b34[i]
    if (log_zoom - mean).abs() > _ASIDE * deviation:
        nearest = (profile.log_zoom_k - mean).abs().argmin()
        log_zoom, pose_34 = profile.log_zoom_k[nearest], profile.poses_k34[nearest]
    T_cw_k44, T_cw_44 = (compose(p[..., :3], p[..., 3]) for p in (profile.poses_k34, pose_34))
    xi_k6 = log_se3(T_cw_44 @ invert(T_cw_k44))  # T_wc of a node is that of the answer times exp(xi)
    covariance_66 = torch.einsum("k,kij->ij", profile.share_k, profile.covariance_k66.nan_to_num())
    covariance_66 = covariance_66 + torch.einsum("k,ki,kj->ij", profile.share_k, xi_k6, xi_k6)
    sigma = (profile.share_k @ (profile.log_zoom_k - log_zoom).square()).sqrt()
    at_b = torch.arange(len(refined.zoom_b), device=mean.device) == i
    return replace(
        refined,
        poses_b34=torch.where(at_b[:, None, None], pose_34, refined.poses_b34),
        covariance_b66=torch.where(at_b[:, None, None], covariance_66, refined.covariance_b66),
        zoom_b=torch.where(at_b, log_zoom.exp(), refined.zoom_b),
        focal_sigma_b=torch.where(at_b, sigma, refined.focal_sigma_b),
    )
