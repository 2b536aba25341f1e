"""Losses on scene coordinates and their uncertainty."""

from __future__ import annotations

import torch
from torch import Tensor

# An isotropic Laplace density of scale sigma in three dimensions has E[r^2] = 12 sigma^2, a third of it an axis.
LAPLACE_VARIANCE_PER_AXIS = 4.0


def laplace_nll(predicted_n3: Tensor, target_n3: Tensor, log_sigma_n: Tensor) -> Tensor:
    """Negative log-likelihood (n,) under p(r) ~ sigma^-3 exp(-r / sigma), r the distance; constants left out.

    Its tail is heavier than a Gaussian's, so that wrong labels and look-alike places do not own the gradient. At the
    optimum sigma is a third of the mean distance.
    """
    distance_n = ((predicted_n3 - target_n3).square().sum(1) + 1e-12).sqrt()
    return distance_n * torch.exp(-log_sigma_n) + 3 * log_sigma_n
