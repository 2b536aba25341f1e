"""Random fields over the image plane: noise that neighbouring cells of a coordinate map share.

A field is white noise on a lattice, blurred by a Gaussian and brought to unit variance, read off between the lattice
points. Its autocorrelation at a distance d is exp(-d^2 / (2 length^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_SPACINGS_PER_LENGTH = 2.0
_MARGIN = 3.0  # lengths around the points, so that the border is like the middle
_LARGEST_LATTICE = 1_000_000


@dataclass(frozen=True)
class CorrelatedField:
    """A stationary Gaussian field of unit variance at given pixels.

    `blur_yy` and `blur_xx` take white noise on the lattice to the field on it; `corner_n4` and `weight_n4` are the
    lattice points around each pixel and how much each counts.
    """

    blur_yy: Tensor
    blur_xx: Tensor
    corner_n4: Tensor
    weight_n4: Tensor

    @classmethod
    def at(cls, px_n2: Tensor, length_px: float) -> CorrelatedField:
        """The field with a correlation length in pixels, read at `px_n2`.

        Raises:
            ValueError: the length is not positive, or so small that the lattice would not fit in memory.
        """
        if not length_px > 0:
            raise ValueError(f"the correlation length must be positive, got {length_px}")
        spacing = length_px / _SPACINGS_PER_LENGTH
        low_2 = px_n2.amin(0) - _MARGIN * length_px
        size_x, size_y = (int(v) + 2 for v in ((px_n2.amax(0) - low_2 + _MARGIN * length_px) / spacing).ceil())
        if size_x * size_y > _LARGEST_LATTICE:
            raise ValueError(f"correlation length {length_px} px is too short for these pixels; use None (independent)")
        place_n2 = (px_n2 - low_2) / spacing
        cell_n2 = place_n2.floor()
        x_n, y_n = cell_n2.long().unbind(1)
        u_n, v_n = (place_n2 - cell_n2).unbind(1)
        corner_n4 = torch.stack([y_n, y_n, y_n + 1, y_n + 1], 1) * size_x + torch.stack([x_n, x_n + 1] * 2, 1)
        weight_n4 = torch.stack([(1 - u_n) * (1 - v_n), u_n * (1 - v_n), (1 - u_n) * v_n, u_n * v_n], 1)
        # Between lattice points the mean of neighbours has less variance; the kernel says how much.
        step = math.exp(-0.5 / _SPACINGS_PER_LENGTH**2)
        kept_n = ((1 - u_n) ** 2 + u_n**2 + 2 * u_n * (1 - u_n) * step) * (
            (1 - v_n) ** 2 + v_n**2 + 2 * v_n * (1 - v_n) * step
        )
        weight_n4 = weight_n4 / kept_n.sqrt()[:, None]
        return cls(_blur(size_y, px_n2), _blur(size_x, px_n2), corner_n4, weight_n4)

    def sample(self, count: int, stream: torch.Generator) -> Tensor:
        """Independent fields (count, n); the numbers are drawn on the stream's device."""
        shape = (count, len(self.blur_yy), len(self.blur_xx))
        white = torch.randn(shape, generator=stream, dtype=self.blur_yy.dtype, device=stream.device).to(self.blur_yy)
        lattice = (self.blur_yy @ white @ self.blur_xx.mT).flatten(1)
        return (lattice[:, self.corner_n4] * self.weight_n4).sum(2)

    def scatter(self, vectors_nk: Tensor) -> Tensor:
        """E[(sum_n z_n v_n)(sum_n z_n v_n)^T], (k, k): the covariance of what the field does to a weighted sum."""
        weighted_n4k = vectors_nk[:, None] * self.weight_n4[..., None]
        lattice_k = vectors_nk.new_zeros(len(self.blur_yy) * len(self.blur_xx), vectors_nk.shape[1])
        lattice_k.index_add_(0, self.corner_n4.flatten(), weighted_n4k.flatten(0, 1))
        lattice_kyx = lattice_k.T.unflatten(1, (len(self.blur_yy), len(self.blur_xx)))
        blurred_k = (self.blur_yy.mT @ lattice_kyx @ self.blur_xx).flatten(1)
        return blurred_k @ blurred_k.mT


def _blur(size: int, like: Tensor) -> Tensor:
    """Rows of a Gaussian, unit norm each, whose products with one another are the field's autocorrelation."""
    index = torch.arange(size, dtype=like.dtype, device=like.device)
    # A kernel of width w gives an autocorrelation of width sqrt(2) w.
    kernel = torch.exp(-((index[:, None] - index) ** 2) / _SPACINGS_PER_LENGTH**2)
    return kernel / kernel.norm(dim=1, keepdim=True)
