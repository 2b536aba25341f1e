"""Depth, normals and classes of cells: how a network's outputs are read, and the likelihood of labels.

Each task states its uncertainty: depth a relative scale, a normal the concentration of its direction, classes their
probabilities. Losses are negative log-likelihoods, constants left out, so that each is weighted by the uncertainty that
it states, and none needs a weight of its own. They have one value a cell; a cell whose label is unknown counts zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.losses.cells import Cells

_TINY = 1e-12  # keeps the derivative of an angle defined at zero
_LOG_DEPTH_SCALES = (-6.9, 1.1)  # of the relative error: a thousandth to three times
_LEAST_CONCENTRATION = 0.01  # of a direction that is hardly known


@dataclass(frozen=True)
class TaskCells:
    """Cells with labels of all tasks.

    Attributes:
        cells: with world points.
        surface_n4: unit normal in the camera of the cell's image, and class; NaN where unknown.
    """

    cells: Cells
    surface_n4: Tensor

    @property
    def log_gsd_n(self) -> Tensor:
        """Log of depth along z over focal length, which is what an image shows of depth: metres that a pixel covers.

        A zoomed image shows another one of the same depth (Yin et al., Metric3D, ICCV 2023). NaN where unknown.
        """
        T_cw_n34 = self.cells.T_cw_n34
        depth_n = (T_cw_n34[:, 2, :3] * self.cells.points_n3).sum(1) + T_cw_n34[:, 2, 3]
        gsd_n = depth_n / self.cells.focal_n2.prod(1).sqrt()
        return torch.where(gsd_n > 0, gsd_n, torch.nan).log()


def task_loss(task: str, raw_nk: Tensor, targets: TaskCells) -> Tensor:
    """The negative log-likelihood (n,) of a task's labels.

    Args:
        task: of `transpose.models.tasks.TASKS`.
        raw_nk: its outputs, float32.
        targets: labels of the cells.
    """
    if task == "depth":
        return depth_loss(raw_nk, targets.log_gsd_n)
    if task == "normal":
        return normal_loss(raw_nk, targets.surface_n4[:, :3])
    return class_loss(raw_nk, targets.surface_n4[:, 3])


def depth_loss(raw_n2: Tensor, log_gsd_n: Tensor) -> Tensor:
    """Of Laplace's density of log depth: relative errors count alike near and far."""
    known_n = log_gsd_n.isfinite()
    scale_n = depth_scale(raw_n2[:, 1])
    error_n = torch.where(known_n, raw_n2[:, 0] - log_gsd_n, 0.0).abs()
    return torch.where(known_n, error_n / scale_n + scale_n.log(), 0.0)


def normal_loss(raw_n4: Tensor, normals_n3: Tensor) -> Tensor:
    """Of the density that falls by the angle (Bae et al., ICCV 2021), heavier-tailed than von Mises and Fisher's."""
    known_n = normals_n3.isfinite().all(1)
    # Any direction stands where none is known: what comes of it is left out below.
    label_n3 = torch.where(known_n[:, None], normals_n3, torch.tensor([0.0, 0.0, 1.0], device=raw_n4.device))
    kappa_n = concentration(raw_n4[:, 3])
    angle_n = angles(unit_normals(raw_n4[:, :3]), label_n3)
    loss_n = kappa_n * angle_n - torch.log1p(kappa_n.square()) + torch.log1p(torch.exp(-kappa_n * math.pi))
    return torch.where(known_n, loss_n, 0.0)


def class_loss(logits_nc: Tensor, class_n: Tensor) -> Tensor:
    """Cross entropy; `class_n` as floating-point numbers, NaN where unknown."""
    known_n = class_n.isfinite()
    target_n = torch.where(known_n, class_n, 0.0).long()
    return torch.where(known_n, F.cross_entropy(logits_nc, target_n, reduction="none"), 0.0)


def angles(a_n3: Tensor, b_n3: Tensor) -> Tensor:
    """Angles (n,), radians, between unit vectors; exact for small ones, where the arc cosine is not."""
    sine_n = (torch.linalg.cross(a_n3, b_n3).square().sum(1) + _TINY).sqrt()
    return torch.atan2(sine_n, (a_n3 * b_n3).sum(1))


def depth_scale(raw_n: Tensor) -> Tensor:
    """Scale b (n,) of log depth's Laplace density exp(-|e| / b) / 2b, from its raw output."""
    low, high = _LOG_DEPTH_SCALES
    # A sigmoid, not a clamp: where a clamp holds, no gradient leads back.
    return torch.exp(low + (high - low) * torch.sigmoid(4 * raw_n / (high - low)))


def unit_normals(raw_n3: Tensor) -> Tensor:
    """Directions (n, 3): no angles, which have poles and a seam."""
    return F.normalize(raw_n3, dim=1)


def concentration(raw_n: Tensor) -> Tensor:
    """Concentration kappa (n,) of a normal's density, which falls by exp(-kappa angle), from its raw output."""
    return F.softplus(raw_n) + _LEAST_CONCENTRATION


def expected_angle(kappa_n: Tensor) -> Tensor:
    """Mean angle (n,), radians, between a normal and its prediction under the density of Bae et al., ICCV 2021.

    The density on the sphere is (kappa^2 + 1) exp(-kappa angle) / (2 pi (1 + exp(-kappa pi))).
    """
    far_n = torch.exp(-kappa_n * torch.pi)
    return 2 * kappa_n / (kappa_n.square() + 1) + torch.pi * far_n / (1 + far_n)
