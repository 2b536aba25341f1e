"""Least-squares adversarial losses (Mao et al., LSGAN, ICCV 2017), one value an image."""

from __future__ import annotations

from torch import Tensor


def looks_real(verdict_b1hw: Tensor) -> Tensor:
    """How far a discriminator's verdicts (b, 1, rows, columns) are from 1, which says real: (b,)."""
    return (verdict_b1hw - 1).square().flatten(1).mean(1)


def looks_made(verdict_b1hw: Tensor) -> Tensor:
    """How far they are from 0, which says made: (b,)."""
    return verdict_b1hw.square().flatten(1).mean(1)
