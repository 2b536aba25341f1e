"""The equations of a camera's calibration: residuals of many photos over their poses and one camera, and their sums.

The camera's five parameters are log(f / f_0), the shift of the principal point in focal lengths f_0, k1 and k2; a
pose's six are those of `tangent`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.solvers.lie import skew

PARAMETERS = ("focal", "cx", "cy", "k1", "k2")
_CAUCHY_SCALE = 2.385  # 95 % efficient where noise is Gaussian (Holland and Welsch 1977)
_BEHIND_PX = 1e6
_FEW_PHOTOS = 15  # below which a photo's correspondences are clustered by ninths of the image
# Of the parameters, as wide as they may be: they keep the equations solvable where the photos tell nothing.
_PRIOR = (0.5, 0.1, 0.1, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Sightings:
    """Correspondences of b photos, padded to n.

    Attributes:
        px_bn2: pixels.
        local_b4n: points less each photo's `center_b3`, and a one.
        center_b3: metres.
        weight_bn: 1, or 0 for padding.
        start: the camera from which the parameters count.
        free_5: which of the parameters are estimated; the others stay where they start.
        sigma_px: of the pixels.
    """

    px_bn2: Tensor
    local_b4n: Tensor
    center_b3: Tensor
    weight_bn: Tensor
    start: Camera
    free_5: Tensor
    sigma_px: float

    @property
    def cluster_bn(self) -> Tensor:
        """Within which errors may be correlated: photos, or where these are few, ninths of them."""
        photo_b1 = torch.arange(len(self.px_bn2))[:, None].expand(self.weight_bn.shape)
        if len(self.px_bn2) >= _FEW_PHOTOS:
            return photo_b1
        sides_2 = torch.tensor([self.start.width, self.start.height], dtype=torch.float64)
        ninth_bn2 = (3 * self.px_bn2 / sides_2).floor().clamp(0, 2).long()
        return photo_b1 * 9 + ninth_bn2[..., 1] * 3 + ninth_bn2[..., 0]

    @property
    def prior_5(self) -> Tensor:
        """Standard deviations of the parameters beforehand; those of k1 and k2 at the image's corner."""
        c = self.start
        r2 = (c.width / 2 / c.fx) ** 2 + (c.height / 2 / c.fy) ** 2
        return torch.tensor(_PRIOR, dtype=torch.float64) / torch.tensor([1, 1, 1, r2, r2**2], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Linearized:
    """Residuals e (b, n, 2) in standard deviations of a pixel, and their derivatives by pose and camera.

    `robust_bn` is the weight that Cauchy's loss leaves each point.
    """

    e_bn2: Tensor
    by_pose_bn26: Tensor
    by_camera_bn25: Tensor
    robust_bn: Tensor

    @property
    def bend_bn(self) -> Tensor:
        """What is left of a point's weight in the Hessian where the loss bends over; see `curvature`."""
        off_bn = self.e_bn2.square().sum(2) / _CAUCHY_SCALE**2
        return self.robust_bn * ((1 - off_bn) / (1 + off_bn)).clamp_min(0)


@dataclass(frozen=True, eq=False)
class Equations:
    """Sums over the points: blocks of the Gauss-Newton matrix, and the gradient of the cost.

    `pose_b66`, `cross_b65` and `camera_55` are its blocks, `gradient_b6` and `gradient_5` the gradient's.
    """

    pose_b66: Tensor
    cross_b65: Tensor
    camera_55: Tensor
    gradient_b6: Tensor
    gradient_5: Tensor


def camera_at(start: Camera, values_5: Tensor) -> Camera:
    """The camera of some parameters."""
    zoom, right, down, k1, k2 = values_5.tolist()
    factor = math.exp(zoom)
    return Camera(
        start.width,
        start.height,
        start.fx * factor,
        start.fy * factor,
        start.cx + right * start.fx,
        start.cy + down * start.fy,
        k1,
        k2,
    )


def linearized(sightings: Sightings, values_5: Tensor, poses_b34: Tensor) -> Linearized:
    """Residuals and derivatives at some parameters and poses."""
    start, camera = sightings.start, camera_at(sightings.start, values_5)
    camera_b3n = poses_b34 @ sightings.local_b4n
    z_bn = camera_b3n[:, 2]
    ahead_bn = z_bn > 1e-6
    x, y = (camera_b3n[:, :2] / z_bn.where(ahead_bn, 1)[:, None]).where(ahead_bn[:, None], 0).unbind(1)
    r2 = x * x + y * y
    radial, rise = 1 + r2 * (camera.k1 + r2 * camera.k2), 2 * (camera.k1 + 2 * r2 * camera.k2)
    focal_2 = torch.tensor([camera.fx, camera.fy], dtype=torch.float64)
    center_2 = torch.tensor([camera.cx, camera.cy], dtype=torch.float64)
    xy_bn2 = torch.stack([x, y], -1)
    spot_bn2 = focal_2 * xy_bn2 * radial[..., None]
    e_bn2 = (spot_bn2 + center_2 - sightings.px_bn2).where(ahead_bn[..., None], _BEHIND_PX) / sightings.sigma_px
    # d(pixel)/d(x, y) of the lens, times d(x, y)/dX, times dX/dxi = (-[X]x, I).
    lens_bn22 = focal_2[:, None] * (
        radial[..., None, None] * torch.eye(2, dtype=torch.float64)
        + rise[..., None, None] * xy_bn2[..., :, None] * xy_bn2[..., None, :]
    )
    inverse = 1 / z_bn.where(ahead_bn, 1)
    zero = torch.zeros_like(inverse)
    by_point_bn23 = torch.stack([inverse, zero, -x * inverse, zero, inverse, -y * inverse], -1).unflatten(-1, (2, 3))
    by_point_bn23 = lens_bn22 @ by_point_bn23 / sightings.sigma_px
    by_pose_bn26 = torch.cat([-by_point_bn23 @ skew(camera_b3n.mT), by_point_bn23], -1)
    axes_22 = torch.diag(torch.tensor([start.fx, start.fy], dtype=torch.float64)).expand(*r2.shape, 2, 2)
    bent_bn2 = focal_2 * xy_bn2 * r2[..., None]
    by_camera_bn25 = torch.cat(
        [spot_bn2[..., None], axes_22, bent_bn2[..., None], (bent_bn2 * r2[..., None])[..., None]], -1
    )
    by_camera_bn25 = by_camera_bn25 * sightings.free_5 / sightings.sigma_px
    robust_bn = sightings.weight_bn * ahead_bn / (1 + e_bn2.square().sum(2) / _CAUCHY_SCALE**2)
    return Linearized(e_bn2, by_pose_bn26, by_camera_bn25, robust_bn)


def cost(sightings: Sightings, at: Linearized, values_5: Tensor) -> float:
    """Cauchy's, with the prior of the parameters."""
    off_bn = at.e_bn2.square().sum(2) / _CAUCHY_SCALE**2
    loss = 0.5 * _CAUCHY_SCALE**2 * (sightings.weight_bn * off_bn.log1p()).sum()
    return float(loss + 0.5 * ((values_5 - _start_5(sightings)) / sightings.prior_5).square().sum())


def equations(sightings: Sightings, at: Linearized, values_5: Tensor, weight_bn: Tensor) -> Equations:
    """The sums, each point with its weight."""
    P, C = at.by_pose_bn26.flatten(1, 2), at.by_camera_bn25.flatten(1, 2)
    weight_b1m = weight_bn.repeat_interleave(2, 1)[:, None]
    e_bm1 = at.e_bn2.flatten(1)[..., None]
    over_pose, over_camera = P.mT * weight_b1m, C.mT * weight_b1m
    prior_5 = sightings.prior_5
    held_5 = (~sightings.free_5).double()
    camera_55 = (over_camera @ C).sum(0) + torch.diag(prior_5**-2 + held_5)
    gradient_5 = (over_camera @ e_bm1).sum(0)[:, 0] + (values_5 - _start_5(sightings)) / prior_5**2
    return Equations(
        over_pose @ P, over_pose @ C, camera_55, (over_pose @ e_bm1)[..., 0], gradient_5 * sightings.free_5
    )


def _start_5(sightings: Sightings) -> Tensor:
    return torch.tensor([0, 0, 0, sightings.start.k1, sightings.start.k2], dtype=torch.float64)


def step(of: Equations, damping: float) -> tuple[Tensor, Tensor]:
    """The damped Gauss-Newton step of poses (b, 6) and camera (5,), the poses eliminated (Schur complement)."""
    pose_b66, camera_55 = of.pose_b66.clone(), of.camera_55.clone()
    diagonal_b6 = pose_b66.diagonal(dim1=1, dim2=2)
    diagonal_b6.mul_(1 + damping).add_(1e-12)
    camera_55.diagonal().mul_(1 + damping)
    factor_b66 = torch.linalg.cholesky(pose_b66)
    eliminated_b65 = torch.cholesky_solve(of.cross_b65, factor_b66)
    reduced_55 = camera_55 - (of.cross_b65.mT @ eliminated_b65).sum(0)
    gradient_5 = of.gradient_5 - (eliminated_b65.mT @ of.gradient_b6[..., None]).sum(0)[:, 0]
    step_5 = -torch.linalg.solve(reduced_55, gradient_5)
    step_b6 = -torch.cholesky_solve(of.gradient_b6[..., None], factor_b66)[..., 0] - eliminated_b65 @ step_5
    return step_b6, step_5


def covariance(sightings: Sightings, at: Linearized, values_5: Tensor) -> Tensor:
    """Of the five parameters whatever the poses are (5, 5): a sandwich with correlated errors within a cluster.

    H^-1 B H^-1 (Huber 1967; clusters: Liang and Zeger 1986), H the curvature of the robust cost with the poses
    eliminated, B the scatter of the clusters' gradients. Held parameters have none.
    """
    curved = equations(sightings, at, values_5, at.bend_bn)
    pose_b66 = curved.pose_b66.clone()
    pose_b66.diagonal(dim1=1, dim2=2).add_(1e-12)
    eliminated_b65 = torch.linalg.solve(pose_b66, curved.cross_b65)
    reduced_55 = curved.camera_55 - (curved.cross_b65.mT @ eliminated_b65).sum(0)
    by_camera_bn25 = at.by_camera_bn25 - at.by_pose_bn26 @ eliminated_b65[:, None]
    gradient_bn5 = at.robust_bn[..., None] * (at.e_bn2[..., None, :] @ by_camera_bn25)[..., 0, :]
    cluster_bn = sightings.cluster_bn
    clusters = int(cluster_bn.max()) + 1
    sums_c5 = torch.zeros(clusters, 5, dtype=torch.float64)
    sums_c5.index_add_(0, cluster_bn.flatten(), gradient_bn5.flatten(0, 1))
    used = int((sums_c5.abs().sum(1) > 0).sum())
    scatter_55 = sums_c5.T @ sums_c5 * (used / max(1, used - 5)) + torch.diag(sightings.prior_5**-2)
    inverse_55 = torch.linalg.inv(reduced_55)
    free_5 = sightings.free_5.double()
    return inverse_55 @ scatter_55 @ inverse_55 * free_5 * free_5[:, None]
