"""Losses of poses: logarithms of quaternions, and AtLoc's weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transpose.geometry.poses import quaternion_wxyz, rotation_error_deg, rotation_from_quaternion
from transpose.losses.pose import log_quaternions, rotations_of, steps_between, weighted_l1
from transpose.randomness import stream, torch_stream


def quaternions(count: int) -> np.ndarray:
    q_n4 = stream(0, "quaternions").normal(size=(count, 4))
    return q_n4 / np.linalg.norm(q_n4, axis=1, keepdims=True)


def test_logarithms_are_those_of_the_quaternion() -> None:
    for q_4 in quaternions(20):
        log_3 = log_quaternions(rotation_from_quaternion(q_4))
        w, v_3 = (q_4[0], q_4[1:]) if q_4[0] >= 0 else (-q_4[0], -q_4[1:])
        np.testing.assert_allclose(log_3, math.acos(w) * v_3 / np.linalg.norm(v_3), atol=1e-9)


def test_a_quaternion_and_its_negative_are_one_rotation() -> None:
    for q_4 in quaternions(20):
        one, other = (log_quaternions(rotation_from_quaternion(sign * q_4)) for sign in (1, -1))
        np.testing.assert_allclose(one, other, atol=1e-12)
        back = quaternion_wxyz(rotations_of(one))
        np.testing.assert_allclose(back, math.copysign(1, q_4[0]) * q_4, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, math.pi - 1e-6])
def test_there_and_back(angle: float) -> None:
    log_3 = 0.5 * angle * np.array([0.6, 0.0, 0.8])
    np.testing.assert_allclose(log_quaternions(rotations_of(log_3)), log_3, atol=1e-9)
    assert rotation_error_deg(rotations_of(log_3), np.eye(3)) == pytest.approx(math.degrees(angle), abs=1e-6)


def test_the_loss_is_its_formula_and_has_its_derivative() -> None:
    error_n6 = torch.randn(5, 6, generator=torch_stream(0, "errors"), dtype=torch.float64).requires_grad_()
    scale_2 = torch.tensor([0.3, -2.0], dtype=torch.float64, requires_grad=True)
    twin = [
        sum(abs(x) for x in row[:3]) * math.exp(-0.3) + 0.3 + sum(abs(x) for x in row[3:]) * math.exp(2.0) - 2.0
        for row in error_n6.tolist()
    ]
    np.testing.assert_allclose(weighted_l1(error_n6, scale_2).detach().numpy(), twin)
    assert torch.autograd.gradcheck(weighted_l1, (error_n6, scale_2))


def test_the_scales_become_the_mean_errors() -> None:
    error_n6 = torch.randn(400, 6, generator=torch_stream(0, "errors")) * torch.tensor([2.0] * 3 + [0.1] * 3)
    best_2 = error_n6.abs().unflatten(1, (2, 3)).sum(2).mean(0).log().requires_grad_()
    weighted_l1(error_n6, best_2).mean().backward()
    torch.testing.assert_close(best_2.grad, torch.zeros(2), atol=1e-5, rtol=0)


def test_steps_go_from_one_image_of_a_group_to_the_next() -> None:
    pose_n6 = torch.arange(36.0).reshape(6, 6).square()
    expected = torch.stack([pose_n6[i + 1] - pose_n6[i] for i in (0, 1, 3, 4)])
    assert torch.equal(steps_between(pose_n6, 3), expected)
    assert len(steps_between(pose_n6, 1)) == 0
