"""Likelihoods of depth, normals and classes are the densities that they claim to be."""

import math

import numpy as np
import pytest
import torch

from transpose.losses.cells import Cells
from transpose.losses.tasks import (
    TaskCells,
    angles,
    class_loss,
    concentration,
    depth_loss,
    depth_scale,
    expected_angle,
    normal_loss,
    task_loss,
)

NAN = float("nan")


@pytest.mark.parametrize("raw", [-3.0, 0.0, 2.0, 20.0])
def test_the_density_of_normals_integrates_to_one_and_has_the_angle_that_it_states(raw: float) -> None:
    angle_n = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    labels_n3 = torch.stack([angle_n.sin(), 0 * angle_n, angle_n.cos()], 1)
    raw_n4 = torch.tensor([0.0, 0.0, 3.0, raw], dtype=torch.float64).expand(len(angle_n), 4)
    around_n = torch.exp(-normal_loss(raw_n4, labels_n3)) * angle_n.sin()  # of a circle at that angle, over 2 pi
    assert torch.trapezoid(around_n, angle_n).item() == pytest.approx(1, abs=1e-4)
    mean = torch.trapezoid(around_n * angle_n, angle_n)
    assert mean.item() == pytest.approx(expected_angle(concentration(raw_n4[:1, 3])).item(), abs=1e-4)


def test_the_scale_of_depth_is_the_mean_error_where_it_is_most_likely() -> None:
    error_n = torch.from_numpy(np.random.default_rng(0).laplace(0, 0.05, 100_000))
    raws = torch.linspace(-6, 6, 400, dtype=torch.float64)
    losses = torch.stack(
        [depth_loss(torch.stack([error_n, raw.expand_as(error_n)], 1), 0 * error_n).mean() for raw in raws]
    )
    assert depth_scale(raws[losses.argmin()]).item() == pytest.approx(error_n.abs().mean().item(), rel=0.05)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    labels_n3 = torch.nn.functional.normalize(torch.randn(6, 3, dtype=torch.float64), dim=1)
    raw_n4 = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda raw: normal_loss(raw, labels_n3), (raw_n4,))
    raw_n2 = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda raw: depth_loss(raw, torch.zeros(6, dtype=torch.float64)), (raw_n2,))


def test_unknown_labels_count_nothing_and_an_exact_one_has_a_gradient() -> None:
    raw_n4 = torch.tensor([[0.0, 0.0, -1.0, 1.0]] * 2, requires_grad=True)
    loss_n = normal_loss(raw_n4, torch.tensor([[0.0, 0.0, -1.0], [NAN, NAN, NAN]]))
    loss_n.sum().backward()
    assert loss_n[1] == 0 and raw_n4.grad is not None and raw_n4.grad.isfinite().all()
    assert raw_n4.grad[0, 3] != 0 and not raw_n4.grad[1].any()
    logits = torch.tensor([[2.0, 0.0]] * 2, requires_grad=True)
    loss_n = class_loss(logits, torch.tensor([0.0, NAN]))
    loss_n.sum().backward()
    assert loss_n[0].item() == pytest.approx(math.log(1 + math.exp(-2))) and loss_n[1] == 0
    raw_n2 = torch.zeros(2, 2, requires_grad=True)
    depth_loss(raw_n2, torch.tensor([NAN, 0.0])).sum().backward()
    assert raw_n2.grad is not None and not raw_n2.grad[0].any()


def test_small_angles_are_exact() -> None:
    a = torch.tensor([[1.0, 0.0, 0.0]])
    b = torch.nn.functional.normalize(torch.tensor([[1.0, 1e-3, 0.0]]), dim=1)
    assert angles(a, b).item() == pytest.approx(1e-3, rel=1e-3)  # the arc cosine of float32 says 9.8e-4 at best
    assert angles(a, -a).item() == pytest.approx(math.pi)


def test_depth_is_learned_as_what_an_image_shows_of_it() -> None:
    """Twice the focal length at twice the distance: the image is the same, and so is what is to be predicted."""
    T_cw_n34 = torch.eye(4)[:3].repeat(3, 1, 1)
    T_cw_n34[:, 2, 3] = 1.0
    points_n3 = torch.tensor([[0.3, 0.2, 4.0], [0.3, 0.2, 9.0], [0.0, 0.0, -2.0]])
    focal_n2 = torch.tensor([[100.0, 100.0], [200.0, 200.0], [100.0, 100.0]])
    cells = Cells(points_n3, torch.zeros(3, 2), T_cw_n34, focal_n2, torch.zeros(3, 2))
    labels = TaskCells(cells, torch.full((3, 4), NAN))
    assert labels.log_gsd_n[0].item() == pytest.approx(math.log(5 / 100))
    assert labels.log_gsd_n[1].item() == pytest.approx(labels.log_gsd_n[0].item())
    assert labels.log_gsd_n[2].isnan()  # behind the camera
    raw_n2 = torch.zeros(3, 2)
    assert torch.equal(task_loss("depth", raw_n2, labels), depth_loss(raw_n2, labels.log_gsd_n))
    assert not task_loss("normal", torch.ones(3, 4), labels).any()
    assert not task_loss("semantics", torch.zeros(3, 6), labels).any()


def test_more_is_a_larger_scale_of_depth_and_in_the_middle_by_as_much() -> None:
    raws = torch.linspace(-12, 12, 241, dtype=torch.float64)
    logs_n = depth_scale(raws).log()
    assert (logs_n.diff() > 0).all() and -6.9 < logs_n[0] < -6.5 and 0.7 < logs_n[-1] < 1.1
    assert logs_n[120].item() == pytest.approx(-2.9)
    assert (logs_n[121] - logs_n[119]).item() == pytest.approx(0.2, rel=1e-3)
