"""What a pose is fitted to, and how strongly a bad fit counts: residuals and robust kernels with their derivatives.

Both describe a squared residual q of a camera-frame point X: `value_and_gradient` gives it and half its gradient,
`curvature` half its Hessian (the Gauss-Newton part and the rest). Symmetric 3x3 matrices are six rows: xx, xy, xz, yy,
yz, zz. Everything is laid out as (b, components, n), so that each component is one contiguous block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

NEAR = 0.01  # of the usual depth: what is nearer may be anywhere in the image


class Residuals(Protocol):
    """A squared residual per point, and its derivatives by the camera-frame point."""

    def take(self, sample_k: Tensor, point_km: Tensor | None = None) -> Residuals:
        """Those of k samples, each with all points or with m of them."""

    def cast(self, dtype: torch.dtype) -> Residuals:
        """The same in another precision."""

    def lengths(self, camera_b3n: Tensor, largest: float) -> Tensor:
        """sqrt(q), (b, n), at most `largest`, which is also what a point gets that cannot be seen; for values only."""

    def ahead(self, camera_b3n: Tensor) -> Tensor:
        """Which points (b, n) can be seen."""

    def visible(self, camera_b3n: Tensor, weights_bn: Tensor) -> Tensor:
        """Which points (b, n) can be seen at all; those that bear weight say what is far too near."""

    def value_and_gradient(self, camera_b3n: Tensor) -> tuple[Tensor, Tensor]:
        """The squared residuals q (b, n) and half their gradient p (b, 3, n); differentiable."""

    def curvature(self, camera_b3n: Tensor, p_b3n: Tensor) -> Tensor:
        """Half the Hessian of q, (b, 6, n); with p = 0 Gauss-Newton's part of it, without second derivatives."""


@dataclass(frozen=True)
class PixelResiduals:
    """Distance in pixels between a projected point and where it was seen.

    `px_b2n` are continuous pixels, `K_b33` pinhole intrinsics with last row 0, 0, 1 (skew allowed).
    """

    px_b2n: Tensor
    K_b33: Tensor

    def take(self, sample_k: Tensor, point_km: Tensor | None = None) -> PixelResiduals:
        """See `Residuals`."""
        return PixelResiduals(taken(self.px_b2n, sample_k, point_km), self.K_b33[sample_k])

    def cast(self, dtype: torch.dtype) -> PixelResiduals:
        """See `Residuals`."""
        return PixelResiduals(self.px_b2n.to(dtype), self.K_b33.to(dtype))

    def lengths(self, camera_b3n: Tensor, largest: float) -> Tensor:
        """See `Residuals`."""
        x, y, z = camera_b3n.unbind(1)
        fx, skew, cx, fy, cy = self._intrinsics()
        inverse = 1 / z
        u = (x * fx).add_(skew * y).mul_(inverse).sub_(self.px_b2n[:, 0] - cx)
        v = (y * fy).mul_(inverse).sub_(self.px_b2n[:, 1] - cy)
        q = u.mul_(u).addcmul_(v, v).masked_fill_(z <= 0, largest**2)
        return q.clamp_max_(largest**2).sqrt_()

    def ahead(self, camera_b3n: Tensor) -> Tensor:
        """See `Residuals`: those in front of the camera."""
        return camera_b3n[:, 2] > 0

    def visible(self, camera_b3n: Tensor, weights_bn: Tensor) -> Tensor:
        """Points in front of the camera, beyond a hundredth of the usual depth of those there that bear weight."""
        z_bn = camera_b3n[:, 2]
        return z_bn > NEAR * usual_length(torch.where(weights_bn > 0, z_bn, 0.0))[:, None]

    def value_and_gradient(self, camera_b3n: Tensor) -> tuple[Tensor, Tensor]:
        """See `Residuals`; the residual is pi(X) - px, so p = P^T r with P = d pi / dX."""
        x, y, z = camera_b3n.unbind(1)
        fx, skew, cx, fy, cy = self._intrinsics()
        inverse = 1 / z
        along_u, along_v = (fx * x + skew * y) * inverse, fy * y * inverse
        u, v = along_u + (cx - self.px_b2n[:, 0]), along_v + (cy - self.px_b2n[:, 1])
        p = torch.stack([fx * u, skew * u + fy * v, -(along_u * u + along_v * v)], 1) * inverse[:, None]
        return u * u + v * v, p

    def curvature(self, camera_b3n: Tensor, p_b3n: Tensor) -> Tensor:
        """See `Residuals`: P^T P - (p e_z^T + e_z p^T) / z, the second term from the division by depth."""
        x, y, z = camera_b3n.unbind(1)
        fx, skew, _, fy, _ = self._intrinsics()
        inverse = 1 / z
        square = inverse * inverse
        along_u, along_v = (fx * x + skew * y) * inverse, fy * y * inverse
        px, py, pz = (p_b3n * inverse[:, None]).unbind(1)
        return torch.stack(
            [
                fx * fx * square,
                fx * skew * square,
                -fx * along_u * square - px,
                (skew * skew + fy * fy) * square,
                -(skew * along_u + fy * along_v) * square - py,
                (along_u * along_u + along_v * along_v) * square - 2 * pz,
            ],
            1,
        )

    def _intrinsics(self) -> tuple[Tensor, ...]:
        K = self.K_b33[:, :, :, None]
        return K[:, 0, 0], K[:, 0, 1], K[:, 0, 2], K[:, 1, 1], K[:, 1, 2]


@dataclass(frozen=True)
class ScaledPixelResiduals(PixelResiduals):
    """Pixel distance with a scale for each point and axis, `scale_b2n` in 1/px, such as one over sigma."""

    scale_b2n: Tensor

    def _intrinsics(self) -> tuple[Tensor, ...]:
        fx, skew, cx, fy, cy = super()._intrinsics()
        along_u, along_v = self.scale_b2n[:, 0], self.scale_b2n[:, 1]
        return fx * along_u, skew * along_u, cx * along_u, fy * along_v, cy * along_v


def scaled_pixels(px_b2n: Tensor, K_b33: Tensor, scale_b2n: Tensor) -> ScaledPixelResiduals:
    """Residuals scale * (pi(X) - px); scaling both camera and pixels is the same as scaling their difference."""
    return ScaledPixelResiduals(px_b2n * scale_b2n, K_b33, scale_b2n)


@dataclass(frozen=True)
class PointResiduals:
    """Distance in metres between a moved point and where the depth camera measured it, `measured_b3n`."""

    measured_b3n: Tensor

    def take(self, sample_k: Tensor, point_km: Tensor | None = None) -> PointResiduals:
        """See `Residuals`."""
        return PointResiduals(taken(self.measured_b3n, sample_k, point_km))

    def cast(self, dtype: torch.dtype) -> PointResiduals:
        """See `Residuals`."""
        return PointResiduals(self.measured_b3n.to(dtype))

    def lengths(self, camera_b3n: Tensor, largest: float) -> Tensor:
        """See `Residuals`."""
        return (camera_b3n - self.measured_b3n).norm(dim=1).clamp_max_(largest)

    def ahead(self, camera_b3n: Tensor) -> Tensor:
        """See `Residuals`: all."""
        return torch.ones_like(camera_b3n[:, 0], dtype=torch.bool)

    def visible(self, camera_b3n: Tensor, weights_bn: Tensor) -> Tensor:
        """All: a distance between points has no singularity."""
        return torch.ones_like(camera_b3n[:, 0], dtype=torch.bool)

    def value_and_gradient(self, camera_b3n: Tensor) -> tuple[Tensor, Tensor]:
        """See `Residuals`; the residual is X - measured."""
        p_b3n = camera_b3n - self.measured_b3n
        return p_b3n.square().sum(1), p_b3n

    def curvature(self, camera_b3n: Tensor, p_b3n: Tensor) -> Tensor:
        """See `Residuals`: the identity."""
        one_6 = torch.tensor([1.0, 0, 0, 1, 0, 1], dtype=p_b3n.dtype, device=p_b3n.device)
        return one_6[:, None].expand(len(p_b3n), 6, p_b3n.shape[2])


def usual_length(lengths_bn: Tensor) -> Tensor:
    """The geometric mean (b,) of those that are positive; zero where none is. No gradient, seven digits.

    One wrong point that is a thousand times as far away as the others moves it little, unlike their mean.
    """
    lengths_bn = lengths_bn.detach().float()
    positive_bn = lengths_bn > 0
    count_b = positive_bn.sum(1)
    log_b = torch.where(positive_bn, lengths_bn, 1.0).log_().sum(1)
    return torch.where(count_b > 0, (log_b / count_b.clamp_min(1)).exp(), 0.0)


def taken(values_bcn: Tensor, sample_k: Tensor, point_km: Tensor | None = None) -> Tensor:
    """The columns (k, c, n) of k samples, or (k, c, m) of m points of each; no copy where one sample serves all."""
    if point_km is not None:
        return values_bcn[sample_k[:, None], :, point_km].transpose(1, 2)
    if len(values_bcn) == 1:
        return values_bcn.expand(len(sample_k), -1, -1)
    return values_bcn[sample_k]


@dataclass(frozen=True)
class Kernel:
    """A robust cost rho(q) of the squared residual q, scaled so that rho(q) = q for small ones.

    "cauchy" is scale^2 log(1 + q / scale^2); "tukey" is the biweight, flat beyond `scale`: points farther out have no
    say and no gradient, and nothing jumps as they cross. "huber" grows linearly beyond `scale`. An infinite scale is
    plain least squares.
    """

    kind: Literal["cauchy", "tukey", "huber"] = "cauchy"
    scale: float = math.inf

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"a kernel's scale must be positive (infinite: least squares), got {self.scale}")

    def value(self, q: Tensor) -> Tensor:
        """rho(q)."""
        if math.isinf(self.scale):
            return q
        square = self.scale**2
        if self.kind == "cauchy":
            return square * torch.log1p(q / square)
        if self.kind == "huber":
            return torch.where(q > square, 2 * self.scale * q.clamp_min(square).sqrt() - square, q)
        return square / 3 * (1 - (1 - q / square).clamp_min(0) ** 3)

    def slope(self, q: Tensor) -> Tensor:
        """rho'(q): the weight that the point keeps."""
        if math.isinf(self.scale):
            return torch.ones_like(q)
        if self.kind == "cauchy":
            return 1 / (1 + q / self.scale**2)
        if self.kind == "huber":
            return self.scale / q.clamp_min(self.scale**2).sqrt()
        return (1 - q / self.scale**2).clamp_min(0).square()

    def bend(self, q: Tensor) -> Tensor:
        """rho''(q)."""
        if math.isinf(self.scale):
            return torch.zeros_like(q)
        if self.kind == "cauchy":
            return -((self.scale + q / self.scale) ** -2)
        if self.kind == "huber":
            return torch.where(q > self.scale**2, -0.5 * self.scale * q.clamp_min(self.scale**2) ** -1.5, 0.0)
        return -2 / self.scale**2 * (1 - q / self.scale**2).clamp_min(0)
