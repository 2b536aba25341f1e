"""The published losses against themselves, written cell by cell as they are specified."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from transpose.geometry.poses import compose, exp_so3
from transpose.losses.cells import Cells
from transpose.losses.coordinates import (
    InitTolerances,
    ace_reprojection,
    ace_softclamp,
    crossloc_reprojection,
    dsacstar_model,
    dsacstar_rgb,
    dsacstar_rgbd,
)
from transpose.randomness import stream

N = 60
LIMITS = InitTolerances(tolerance_m=0.5)
SOFTCLAMP = 7.0


def some_cells() -> tuple[Tensor, Cells]:
    """Predictions near and far, behind the camera and beyond it; labels and pixels missing here and there."""
    rng = stream(0, "cells")
    T_cw_n34 = np.stack([compose(exp_so3(0.3 * rng.standard_normal(3)), rng.standard_normal(3))[:3] for _ in range(N)])
    camera_n3 = np.concatenate([rng.uniform(-1, 1, (N, 2)), rng.uniform(2, 6, (N, 1))], 1)
    truth_n3 = np.einsum("nji,nj->ni", T_cw_n34[:, :, :3], camera_n3 - T_cw_n34[:, :, 3])
    focal_n2, center_n2 = np.full((N, 2), 500.0), np.full((N, 2), 300.0)
    px_n2 = camera_n3[:, :2] / camera_n3[:, 2:] * focal_n2 + center_n2
    off = rng.choice([0.05, 0.3, 3.0, 30.0, 3000.0], (N, 1)) * rng.standard_normal((N, 3))
    label_n3 = truth_n3.copy()
    label_n3[::5] = np.nan
    px_n2[3::11] = np.nan
    tensors = [torch.from_numpy(each) for each in (label_n3, px_n2, T_cw_n34, focal_n2, center_n2)]
    return torch.from_numpy(truth_n3 + off), Cells(*tensors)


class Cell:
    """What one cell's loss is made of, in plain numbers."""

    def __init__(self, predicted_n3: Tensor, cells: Cells, i: int) -> None:
        T = cells.T_cw_n34[i].numpy()
        self.c = T[:, :3] @ predicted_n3[i].detach().numpy() + T[:, 3]
        self.seen = bool(torch.isfinite(cells.px_n2[i]).all())
        self.known = bool(torch.isfinite(cells.points_n3[i]).all())
        z = max(self.c[2], 0.1)
        px = 500.0 * self.c[:2] / z + 300.0
        self.off = px - cells.px_n2[i].numpy()
        self.r = float(np.linalg.norm(self.off))
        label = cells.points_n3[i].numpy()
        self.d = float(np.linalg.norm(predicted_n3[i].detach().numpy() - label)) if self.known else math.nan
        ray = (cells.px_n2[i].numpy() - 300.0) / 500.0
        self.proxy = float(np.abs(self.c - np.array([*(10 * ray), 10.0])).sum())

    @property
    def soft(self) -> float:
        return self.r if self.r <= 100 else math.sqrt(100 * self.r)


def rgbd(c: Cell) -> float:
    return c.d if c.known else 0.0


def model(c: Cell) -> float:
    if c.seen and c.c[2] >= 0.1 and c.r <= 1000 and (not c.known or c.d <= 0.5):
        return c.soft
    return c.d if c.known else 0.0


def rgb(c: Cell) -> float:
    if not c.seen:
        return 0.0
    return c.soft if 0.1 <= c.c[2] <= 1000 and c.r <= 1000 else c.proxy


def ace(c: Cell) -> float:
    if not c.seen:
        return 0.0
    r = float(np.abs(c.off).sum())
    return SOFTCLAMP * math.tanh(r / SOFTCLAMP) if 0.1 <= c.c[2] <= 1000 and r <= 1000 else c.proxy


def crossloc(c: Cell) -> float:
    return c.soft if c.known and c.seen and c.c[2] >= 0.1 and c.r <= 1000 and c.d <= 0.5 else 0.0


LOSSES: dict[str, tuple[Callable[[Tensor, Cells], tuple[Tensor, Tensor]], Callable[[Cell], float]]] = {
    "rgbd": (dsacstar_rgbd, rgbd),
    "model": (lambda p, c: dsacstar_model(p, c, LIMITS), model),
    "rgb": (lambda p, c: dsacstar_rgb(p, c, LIMITS), rgb),
    "ace": (lambda p, c: ace_reprojection(p, c, SOFTCLAMP, LIMITS), ace),
    "crossloc": (lambda p, c: crossloc_reprojection(p, c, LIMITS), crossloc),
}


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_what_its_cells_say(name: str) -> None:
    fast, slow = LOSSES[name]
    predicted_n3, cells = some_cells()
    loss_n, _ = fast(predicted_n3, cells)
    assert np.allclose(loss_n.numpy(), [slow(Cell(predicted_n3, cells, i)) for i in range(N)], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right_and_finite(name: str) -> None:
    fast, _ = LOSSES[name]
    predicted_n3, cells = some_cells()
    predicted_n3.requires_grad_()
    loss_n, _ = fast(predicted_n3, cells)
    (gradient_n3,) = torch.autograd.grad(loss_n.sum(), predicted_n3)
    assert gradient_n3.isfinite().all()
    step = 1e-6
    for axis in range(3):
        moved = torch.zeros(N, 3, dtype=torch.float64)
        moved[:, axis] = step
        change_n = (fast(predicted_n3.detach() + moved, cells)[0] - fast(predicted_n3.detach() - moved, cells)[0]) / (
            2 * step
        )
        assert torch.allclose(gradient_n3[:, axis], change_n, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_cells_that_have_no_say_have_no_gradient(name: str) -> None:
    fast, _ = LOSSES[name]
    predicted_n3, cells = some_cells()
    nothing = Cells(
        torch.full_like(cells.points_n3, torch.nan), torch.full_like(cells.px_n2, torch.nan),
        cells.T_cw_n34, cells.focal_n2, cells.center_n2,
    )  # fmt: skip
    predicted_n3.requires_grad_()
    loss_n, valid_n = fast(predicted_n3, nothing)
    (gradient_n3,) = torch.autograd.grad(loss_n.sum(), predicted_n3)
    assert loss_n.max() <= 1e-6 and not gradient_n3.any() and not valid_n.any()


def test_a_prediction_on_its_label_and_pixel_costs_nothing() -> None:
    _, cells = some_cells()
    truth_n3 = torch.where(cells.known_n[:, None], cells.points_n3, 0.0)
    both_n = cells.known_n & cells.px_n2.isfinite().all(1)
    for fast, _ in LOSSES.values():
        assert fast(truth_n3, cells)[0][both_n].max() < 1e-4


def test_aces_bound_is_a_circle() -> None:
    """T(t) = 50 (1 - s) + 1 with s = 1 - sqrt(1 - t^2)."""
    for t in np.linspace(0, 1, 11):
        assert ace_softclamp(t) == pytest.approx((1 - (1 - math.sqrt(1 - t * t))) * 50 + 1)
    assert (ace_softclamp(0), ace_softclamp(1)) == (51, 1)


def test_tolerances_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="soft below hard"):
        InitTolerances(soft_clamp_px=2000)
    with pytest.raises(ValueError, match="least below the largest"):
        InitTolerances(min_depth_m=5000)
