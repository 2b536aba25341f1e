"""What the refinement minimizes over pose and focal length: pixel errors, or distances between points and rays.

A network's errors sit on the 3D points, not on the pixels. Minimizing pixel error then favours far points and biases
the pose; the distance of a point to its ray is linear in the point's noise and therefore unbiased (errors in
variables).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_BEHIND = 1e12  # squared residual of a point behind the camera: it has no gradient and makes the pose worse
# The upper triangle of a symmetric 3x3 matrix.
_ROW_3, _COLUMN_3 = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)


@dataclass(frozen=True)
class FocalPrior:
    """What is known beforehand of focal lengths: log(f / guess) is normal about 0.

    Attributes:
        log_zoom_b: log of the focal lengths that a problem's rays are of, over the guess.
        sigma: standard deviation.
    """

    log_zoom_b: Tensor
    sigma: float


@dataclass(frozen=True)
class RefinementProblem:
    """What is minimized: two-dimensional residuals of unit variance, by their weight matrices in camera axes.

    Attributes:
        rays_b3n: viewing rays with z = 1.
        homogeneous_b4n: world points and a one.
        weight_bn: zero for points that take no part.
        cluster_bn: index of the group within which a point's error may be correlated with others', below
            `clusters`; None where all are independent.
        focal_b2n: in units of each point's sigma of pixel errors; None for the distance to the ray.
        across_b6n: for the distance to the ray, symmetric matrices that weight a camera-frame point.
        focal: what is known of the focal length where it is estimated too; None where it is given.
    """

    rays_b3n: Tensor
    homogeneous_b4n: Tensor
    weight_bn: Tensor
    focal_b2n: Tensor | None = None
    across_b6n: Tensor | None = None
    cluster_bn: Tensor | None = None
    clusters: int = 0
    focal: FocalPrior | None = None

    def of(self, i: int) -> RefinementProblem:
        """That of one image, as a batch of one."""
        focal = self.focal and replace(self.focal, log_zoom_b=self.focal.log_zoom_b[i : i + 1])
        return self._each(lambda values: values[i : i + 1], focal)

    def thinned(self, most: int) -> tuple[RefinementProblem, float]:
        """With at most so many of the points, evenly from first to last; and for how many each of them stands."""
        n = self.rays_b3n.shape[2]
        if n <= most:
            return self, 1.0
        column_m = torch.linspace(0, n - 1, most, device=self.rays_b3n.device).long()
        return self._each(lambda values: values[..., column_m], self.focal), n / most

    def repeated(self, k: int) -> RefinementProblem:
        """That of one image k times."""
        focal = self.focal and replace(self.focal, log_zoom_b=self.focal.log_zoom_b.expand(k))
        return self._each(lambda values: values.expand(k, *values.shape[1:]), focal)

    def _each(self, change: Callable[[Tensor], Tensor], focal: FocalPrior | None) -> RefinementProblem:
        """With all that is said of points changed."""

        def changed(values: Tensor | None) -> Tensor | None:
            return None if values is None else change(values)

        return RefinementProblem(
            change(self.rays_b3n),
            change(self.homogeneous_b4n),
            change(self.weight_bn),
            changed(self.focal_b2n),
            changed(self.across_b6n),
            changed(self.cluster_bn),
            self.clusters,
            focal,
        )

    def zoomed(self, zoom_b: Tensor) -> RefinementProblem:
        """The same pixels seen through lenses whose focal length is `zoom_b` times as long.

        Weights across rays follow the rays' turn; how they would change otherwise is of second order in it.
        """
        scale_b31 = torch.stack([1 / zoom_b, 1 / zoom_b, torch.ones_like(zoom_b)], 1)[..., None]
        rays_b3n = self.rays_b3n * scale_b31
        focal_b2n = None if self.focal_b2n is None else self.focal_b2n * zoom_b[:, None, None]
        across_b6n = None if self.across_b6n is None else _projected(self.across_b6n, rays_b3n)
        focal = self.focal and replace(self.focal, log_zoom_b=self.focal.log_zoom_b + zoom_b.log())
        return replace(self, rays_b3n=rays_b3n, focal_b2n=focal_b2n, across_b6n=across_b6n, focal=focal)

    def linearized(self, poses_b34: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared residuals (b, n), A (b, 6, n) and half the gradient of each by its camera-frame point (b, 3, n)."""
        camera_b3n = poses_b34 @ self.homogeneous_b4n
        if self.across_b6n is not None:
            return self._to_rays(camera_b3n)
        assert self.focal_b2n is not None
        x, y, z = camera_b3n.unbind(1)
        inverse_bn = 1 / z.clamp_min(1e-9)
        fx, fy = (self.focal_b2n * inverse_bn[:, None]).unbind(1)
        u, v = x * inverse_bn, y * inverse_bn
        ex, ey = self.focal_b2n[:, 0] * (u - self.rays_b3n[:, 0]), self.focal_b2n[:, 1] * (v - self.rays_b3n[:, 1])
        fxx, fyy, px, py = fx * fx, fy * fy, fx * ex, fy * ey
        fxz, fyz = u * fxx, v * fyy
        a_b6n = torch.stack([fxx, torch.zeros_like(u), -fxz, fyy, -fyz, u * fxz + v * fyz], 1)
        gradient_b3n = torch.stack([px, py, -u * px - v * py], 1)
        return torch.where(z > 0, ex * ex + ey * ey, _BEHIND), a_b6n, gradient_b3n

    def _to_rays(self, camera_b3n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assert self.across_b6n is not None
        gradient_b3n = _times(self.across_b6n, camera_b3n)
        squared_bn = (camera_b3n * gradient_b3n).sum(1).clamp_min(0)
        return torch.where((camera_b3n * self.rays_b3n).sum(1) > 0, squared_bn, _BEHIND), self.across_b6n, gradient_b3n

    def along_focal(self, camera_b3n: Tensor, gradient_b3n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What log f adds to a point's part in the normal equations.

        With J the derivatives of a residual e by the camera-frame point and k by log f: J^T k (b, 3, n), k^T k (b, n)
        and k^T e (b, n).

        Args:
            camera_b3n: the points.
            gradient_b3n: J^T e, of `linearized`.
        """
        x, y, z = camera_b3n.unbind(1)
        if self.across_b6n is not None:
            # The ray (x, y, 1) turns along (-x, -y, 0); what of the point lies along the ray comes off it.
            r_b3n = self.rays_b3n
            along_bn = (camera_b3n * r_b3n).sum(1) / r_b3n.square().sum(1)
            turned_b3n = torch.stack([r_b3n[:, 0] * along_bn, r_b3n[:, 1] * along_bn, torch.zeros_like(z)], 1)
            cross_b3n = _times(self.across_b6n, turned_b3n)
            return cross_b3n, (cross_b3n * turned_b3n).sum(1), (cross_b3n * camera_b3n).sum(1)
        assert self.focal_b2n is not None
        inverse_bn = 1 / z.clamp_min(1e-9)
        u, v = x * inverse_bn, y * inverse_bn
        kx, ky = self.focal_b2n[:, 0] * u, self.focal_b2n[:, 1] * v
        px, py = self.focal_b2n[:, 0] * inverse_bn * kx, self.focal_b2n[:, 1] * inverse_bn * ky
        # J^T e = (fx ex, fy ey, ...) / z, and k = (fx u, fy v): their product needs no e.
        slope_bn = x * gradient_b3n[:, 0] + y * gradient_b3n[:, 1]
        return torch.stack([px, py, -u * px - v * py], 1), kx * kx + ky * ky, slope_bn


def _times(symmetric_b6n: Tensor, v_b3n: Tensor) -> Tensor:
    a00, a01, a02, a11, a12, a22 = symmetric_b6n.unbind(1)
    x, y, z = v_b3n.unbind(1)
    return torch.stack([a00 * x + a01 * y + a02 * z, a01 * x + a11 * y + a12 * z, a02 * x + a12 * y + a22 * z], 1)


def _projected(symmetric_b6n: Tensor, rays_b3n: Tensor) -> Tensor:
    """P A P with P = I - r r^T / r^2: the matrices with no weight along the rays."""
    r_b3n = torch.nn.functional.normalize(rays_b3n, dim=1)
    v_b3n = _times(symmetric_b6n, r_b3n)
    half_b3n = v_b3n - 0.5 * (r_b3n * v_b3n).sum(1, keepdim=True) * r_b3n
    return symmetric_b6n - r_b3n[:, _ROW_3] * half_b3n[:, _COLUMN_3] - half_b3n[:, _ROW_3] * r_b3n[:, _COLUMN_3]


def ray_weights(rays_b3n: Tensor, variance_bn: Tensor) -> Tensor:
    """Matrices (b, 6, n) by which a camera-frame point's squared distance to its ray is divided by its variance."""
    precision_bn = 1 / variance_bn
    scaled_b3n = rays_b3n * (precision_bn / rays_b3n.square().sum(1))[:, None].sqrt()
    out_b6n = -scaled_b3n[:, _ROW_3] * scaled_b3n[:, _COLUMN_3]
    out_b6n[:, (0, 3, 5)] += precision_bn[:, None]
    return out_b6n


def ray_weights_of_covariances(rays_b3n: Tensor, covariances_b6n: Tensor, R_b33: Tensor) -> Tensor:
    """The same for full covariances of world points: the inverse of their shadow in the plane across the ray.

    Args:
        rays_b3n: viewing rays with z = 1.
        covariances_b6n: 00 01 02 11 12 22 of each point's covariance, world axes, metres squared.
        R_b33: world to camera.

    For a covariance S in camera axes and the unit ray v, E (E^T S E)^-1 E^T with any basis E of the plane across the
    ray is [v]x^T S [v]x divided by v^T adj(S) v (both are 2x2 adjugate over determinant, written without E).
    """
    full_bn33 = covariances_b6n[:, ((0, 1, 2), (1, 3, 4), (2, 4, 5))].permute(0, 3, 1, 2)
    camera_bn33 = R_b33[:, None] @ full_bn33 @ R_b33.mT[:, None]
    unit_bn3 = torch.nn.functional.normalize(rays_b3n.mT, dim=-1)
    # Rows of S [v]x are cross products of S's rows with v.
    crossed_bn33 = torch.linalg.cross(camera_bn33, unit_bn3[..., None, :].expand_as(camera_bn33), dim=-1)
    crossed_bn33 = torch.linalg.cross(crossed_bn33.mT, unit_bn3[..., None, :].expand_as(camera_bn33), dim=-1)
    rows = camera_bn33.unbind(-2)
    adjugate_bn33 = torch.stack([torch.linalg.cross(rows[i], rows[(i + 1) % 3], dim=-1) for i in (1, 2, 0)], -2)
    determinant_bn = ((adjugate_bn33 @ unit_bn3[..., None])[..., 0] * unit_bn3).sum(-1)
    return crossed_bn33[..., _ROW_3, _COLUMN_3].mT / determinant_bn[:, None]
