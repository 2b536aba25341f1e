"""A batch of correspondences as the solver of poses holds it, and the picking of columns and medians from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.lenses import Lenses
from transpose.solvers.robust.samples import first_of_equals

_SINGULAR = 1e-14  # of a covariance: its determinant over the product of its variances
_FEW_VALUES = 64  # of those looked at first; then all are
_SYMMETRIC_ROW, _SYMMETRIC_COLUMN = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)


@dataclass(frozen=True)
class Images:
    """A batch of correspondences, float64: pixels, rays, points about each image's centre, and which can be used.

    Attributes:
        px_bn2: continuous pixels; zero where a correspondence cannot be used.
        rays_b3n: viewing rays with z = 1; along the axis where one cannot be used.
        local_b4n: world points less `center_b3`, and a one.
        center_b3: of each image's points, metres.
        finite_bn: with a ray, and with a covariance that is one.
        usable_bn: finite, and no repetition of one before.
        covariances_b6n: 00 01 02 11 12 22 of each point's covariance, world axes, metres squared; None without any.
        lenses: of the images.
        draw_weight_bn: how often each is drawn beside what its covariance says, up to a factor; None: alike.
    """

    px_bn2: Tensor
    rays_b3n: Tensor
    local_b4n: Tensor
    center_b3: Tensor
    finite_bn: Tensor
    usable_bn: Tensor
    covariances_b6n: Tensor | None
    lenses: Lenses
    draw_weight_bn: Tensor | None = None

    @classmethod
    def of(cls, px_bn2: Tensor, points_bn3: Tensor, covariances_bn33: Tensor | None, lenses: Lenses) -> Images:
        """As `solve_pnp` gets them: what is not finite, and what is said twice, is marked as no correspondence.

        Args:
            px_bn2: pixels.
            points_bn3: their points in the world.
            covariances_bn33: of the points, or None.
            lenses: one an image.
        """
        rays_b3n = lenses.unproject(px_bn2)
        # A sum is finite where all its terms are; a pixel to which the lens brings no ray has NaN for one.
        finite_bn = (px_bn2.sum(-1) + rays_b3n.sum(1) + points_bn3.sum(-1)).isfinite()
        covariances_b6n = None
        if covariances_bn33 is not None:
            covariances_b6n = covariances_bn33[..., _SYMMETRIC_ROW, _SYMMETRIC_COLUMN].mT
            finite_bn = finite_bn & _positive_definite(covariances_b6n)
            stand_in_61 = covariances_b6n.new_tensor([1, 0, 0, 1, 0, 1])[:, None]
            covariances_b6n = torch.where(finite_bn[:, None], covariances_b6n, stand_in_61)
        px_bn2 = torch.where(finite_bn[..., None], px_bn2, 0)
        rays_b3n = torch.where(finite_bn[:, None], rays_b3n, rays_b3n.new_tensor([0.0, 0, 1])[:, None])
        usable_bn = first_of_equals(torch.cat([px_bn2, points_bn3], 2), finite_bn)
        points_bn3 = torch.where(finite_bn[..., None], points_bn3, torch.nan)
        center_b3 = median(
            torch.where(usable_bn[..., None], points_bn3, torch.nan).mT
        )  # large coordinates keep their digits
        local_b3n = (points_bn3 - center_b3[:, None]).mT.nan_to_num()
        local_b4n = torch.cat([local_b3n, torch.ones_like(local_b3n[:, :1])], 1)
        return cls(px_bn2, rays_b3n, local_b4n, center_b3, finite_bn, usable_bn, covariances_b6n, lenses)

    def __getitem__(self, i: Tensor) -> Images:
        covariances_b6n = None if self.covariances_b6n is None else self.covariances_b6n[i]
        px_bn2, rays_b3n, local_b4n = self.px_bn2[i], self.rays_b3n[i], self.local_b4n[i]
        masks = self.finite_bn[i], self.usable_bn[i]
        weight_bn = None if self.draw_weight_bn is None else self.draw_weight_bn[i]
        return Images(
            px_bn2, rays_b3n, local_b4n, self.center_b3[i], *masks, covariances_b6n, self.lenses[i], weight_bn
        )

    def zoomed(self, zoom_b: Tensor) -> Images:
        """The same pixels through lenses of another focal length; see `Lenses.zoomed`."""
        scale_b31 = torch.stack([1 / zoom_b, 1 / zoom_b, torch.ones_like(zoom_b)], 1)[..., None]
        return replace(self, rays_b3n=self.rays_b3n * scale_b31, lenses=self.lenses.zoomed(zoom_b))

    def isotropic(self) -> bool:
        """Whether covariances are multiples of the identity."""
        if self.covariances_b6n is None:
            return True
        xx, xy, xz, yy, yz, zz = self.covariances_b6n.unbind(1)
        return bool(((xx == yy) & (xx == zz) & (xy == 0) & (xz == 0) & (yz == 0)).all())

    def variance_bn(self) -> Tensor:
        """Mean of the covariances, which there must be, over the axes."""
        assert self.covariances_b6n is not None
        return self.covariances_b6n[:, (0, 3, 5)].mean(1)

    def no_surer_than(self, variance_bn: Tensor) -> Images:
        """With covariances whose mean over the axes is no smaller than a variance: as much is added along each."""
        assert self.covariances_b6n is not None
        lacking_bn = (variance_bn - self.variance_bn()).clamp_min(0)
        alike_6 = lacking_bn.new_tensor([1.0, 0, 0, 1, 0, 1])
        return replace(self, covariances_b6n=self.covariances_b6n + alike_6[:, None] * lacking_bn[:, None])


def _positive_definite(covariances_b6n: Tensor) -> Tensor:
    """Which covariances are (b, n), by Sylvester's criterion; those that are not finite are not."""
    xx, xy, xz, yy, yz, zz = covariances_b6n.unbind(1)
    minor = xx * yy - xy * xy
    determinant = zz * minor + xz * (2 * xy * yz - xz * yy) - yz * yz * xx
    positive = (xx > 0) & (yy > 0) & (zz > 0) & (minor > _SINGULAR * xx * yy)
    return positive & (determinant > _SINGULAR * xx * yy * zz) & covariances_b6n.sum(1).isfinite()


def compressed(near_bn: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (b, m) of each image's marked columns, filled up to the most of any image, and their weight, 1 or 0."""
    count_b = near_bn.sum(1)
    place_bn = torch.where(near_bn, near_bn.cumsum(1) - 1, near_bn.shape[1])
    column_bn = torch.arange(near_bn.shape[1], device=near_bn.device).expand_as(near_bn)
    # Filled with one of the marked, whose values are in range.
    index_bn = near_bn.byte().argmax(1, keepdim=True).repeat(1, near_bn.shape[1] + 1)
    m = max(1, int(count_b.max()))
    index_bm = index_bn.scatter(1, place_bn, column_bn)[:, :m]
    return index_bm, (torch.arange(m, device=near_bn.device) < count_b[:, None]).double()


def picked(values_bcn: Tensor, index_bm: Tensor) -> Tensor:
    """The columns (b, c, m) of each image that `compressed` names."""
    return values_bcn.gather(2, index_bm[:, None].expand(-1, values_bcn.shape[1], -1))


def spread_out(usable_bn: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns (b, k) of usable ones, evenly from first to last; where there are fewer, all, and which those are."""
    count_b1 = usable_bn.sum(1, keepdim=True)
    place_bk = torch.arange(k, device=usable_bn.device).expand(len(usable_bn), -1)
    rank_bk = torch.where(count_b1 > k, place_bk * count_b1 // k, place_bk) + 1
    column_bk = torch.searchsorted(usable_bn.cumsum(1), rank_bk.contiguous()).clamp_max(usable_bn.shape[1] - 1)
    return column_bk, place_bk < count_b1


def median(values_n: Tensor) -> Tensor:
    """Over the last axis without NaN, of some five hundred values where there are many; zero where there is none."""
    some_n = values_n[..., :: max(1, values_n.shape[-1] // 512)]
    if bool(((~some_n.isnan()).sum(-1) < _FEW_VALUES).any()):
        some_n = values_n
    return some_n.nanmedian(-1).values.nan_to_num()
