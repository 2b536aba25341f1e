"""Focal lengths that are looked for with the pose: which are tried, and projections with one of them.

A projection is a pose [R | t] whose first two rows are multiplied by the zoom, the focal length over that of the rays:
it sees points as a camera of that focal length does, and pose and zoom can be read off it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.solvers.lie import orthonormalized
from transpose.solvers.tangent import derivatives, moved

_SPACING = 0.1  # of log f between those that one sample is tried with
_LONGEST_STEP = 0.15  # of log f in local optimization


@dataclass(frozen=True)
class Zooms:
    """Those within a factor of exp(`reach`) of 1, on a logarithmic scale."""

    reach: float

    def drawn(self, samples: int, generator: torch.Generator) -> Tensor:
        """Zooms (c, samples), float32: each sample's lie evenly, and begin somewhere, so that all together are dense.

        A pose of three right points and a focal length that is off by half a spacing misses other points by as many
        per cent of their distance from the middle: with many samples, some have a much better one.
        """
        count = max(1, math.ceil(2 * self.reach / _SPACING))
        place_cs = torch.arange(count)[:, None] + torch.rand(samples, generator=generator)
        return ((2 * place_cs / count - 1) * self.reach).exp()


def unzoomed(projections_34: Tensor) -> tuple[Tensor, Tensor]:
    """Poses [R | t] (..., 3, 4), R a rotation to all digits, and zooms (...) of projections."""
    zoom = projections_34[..., :2, :3].square().sum((-1, -2)).div(2).sqrt()
    poses_34 = rezoomed(projections_34, 1 / zoom)
    return torch.cat([orthonormalized(poses_34[..., :3]), poses_34[..., 3:]], -1), zoom


def rezoomed(poses_34: Tensor, zoom: Tensor) -> Tensor:
    """Projections (..., 3, 4) of poses, or of projections with another zoom."""
    return torch.cat([poses_34[..., :2, :] * zoom[..., None, None], poses_34[..., 2:, :]], -2)


def zoomed_derivatives(projections_34: Tensor) -> Tensor:
    """How the twelve entries change with xi = (omega rad, t) and log zoom, at zero: (..., 12, 7)."""
    poses_34, zoom = unzoomed(projections_34)
    along_12_6 = derivatives(poses_34)
    along_12_6 = torch.cat([along_12_6[..., :8, :] * zoom[..., None, None], along_12_6[..., 8:, :]], -2)
    by_zoom_12_1 = torch.nn.functional.pad(projections_34[..., :2, :], (0, 0, 0, 1)).flatten(-2)[..., None]
    return torch.cat([along_12_6, by_zoom_12_1], -1)


def zoomed_moved(projections_34: Tensor, step_7: Tensor) -> Tensor:
    """The projections after the motion of xi (`moved`) and a change of log zoom."""
    poses_34, zoom = unzoomed(projections_34)
    return rezoomed(moved(poses_34, step_7[..., :6]), zoom * step_7[..., 6].clamp(-_LONGEST_STEP, _LONGEST_STEP).exp())
