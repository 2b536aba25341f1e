import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from transpose.geometry.poses import (
    Pose,
    compose,
    exp_se3,
    exp_so3,
    invert,
    log_se3,
    log_so3,
    pose_error,
    project_to_rotation,
    quaternion_wxyz,
    rigid_defect,
    rotation_error_deg,
    rotation_from_quaternion,
    transform,
)

vectors = arrays(np.float64, 3, elements=st.floats(-1.7, 1.7))
twists = arrays(np.float64, 6, elements=st.floats(-1.7, 1.7))


@given(vectors)
def test_log_undoes_exp(omega_3: np.ndarray) -> None:
    assert np.allclose(log_so3(exp_so3(omega_3)), omega_3, atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 1.8, 2.0, 3.0, math.pi - 1e-7])
def test_log_keeps_its_digits_at_every_angle(angle: float) -> None:
    axis_43 = np.array([[1, 0, 0], [0.6, 0, -0.8], [0, -1, 0], [2 / 3, 1 / 3, 2 / 3]])
    R_433 = exp_so3(angle * axis_43)
    assert np.allclose(log_so3(R_433), angle * axis_43, rtol=1e-7, atol=1e-15)
    assert np.allclose(log_so3(R_433), Rotation.from_matrix(R_433).as_rotvec(), rtol=1e-7, atol=1e-15)


def test_log_is_that_of_the_nearest_rotation() -> None:
    near_33 = exp_so3(np.array([0.3, -0.2, 0.1])) + np.array([[0, 1e-4, 0], [0, 0, 2e-4], [1e-4, 0, 0]])
    assert np.allclose(log_so3(near_33), log_so3(project_to_rotation(near_33)), atol=1e-12)
    for reflection_33 in (np.diag([1.0, 1.0, -1.0]), -exp_so3(np.array([0, 0, 2 * math.pi / 3])), np.zeros((3, 3))):
        with pytest.raises(ValueError, match="determinant"):
            log_so3(reflection_33)


@given(vectors)
def test_exp_is_a_rotation_by_its_norm(omega_3: np.ndarray) -> None:
    R_33 = exp_so3(omega_3)
    assert rigid_defect(compose(R_33, np.zeros(3))) is None
    assert math.isclose(rotation_error_deg(R_33, np.eye(3)), math.degrees(np.linalg.norm(omega_3)), abs_tol=1e-5)


@given(twists, twists)
def test_group_axioms(a_6: np.ndarray, b_6: np.ndarray) -> None:
    A, B = exp_se3(a_6), exp_se3(b_6)
    assert np.allclose(A @ invert(A), np.eye(4), atol=1e-12)
    assert np.allclose(invert(A @ B), invert(B) @ invert(A), atol=1e-12)
    points_n3 = np.arange(12.0).reshape(4, 3)
    assert np.allclose(transform(A, transform(B, points_n3)), transform(A @ B, points_n3))
    assert np.allclose(exp_se3(log_se3(A)), A, atol=1e-9)


@given(vectors)
def test_quaternions_round_trip(omega_3: np.ndarray) -> None:
    R_33 = exp_so3(omega_3)
    assert np.allclose(rotation_from_quaternion(3.0 * quaternion_wxyz(R_33)), R_33, atol=1e-9)


@given(vectors, arrays(np.float64, (3, 3), elements=st.floats(-0.05, 0.05)))
def test_projection_finds_the_nearest_rotation(omega_3: np.ndarray, noise_33: np.ndarray) -> None:
    R_33 = exp_so3(omega_3)
    near_33 = project_to_rotation(R_33 + noise_33)
    assert rigid_defect(compose(near_33, np.zeros(3))) is None
    assert np.linalg.norm(near_33 - R_33 - noise_33) <= np.linalg.norm(noise_33) + 1e-12
    assert np.allclose(project_to_rotation(R_33), R_33)


def test_small_angles_keep_their_digits() -> None:
    R_33 = exp_so3(np.array([0, 0, 1e-7]))
    assert math.isclose(rotation_error_deg(R_33, np.eye(3)), math.degrees(1e-7), rel_tol=1e-6)


def test_pose_error_of_a_failure_is_infinite() -> None:
    truth = Pose(np.eye(4))
    assert pose_error(None, truth) == (math.inf, math.inf)
    moved = Pose(compose(np.eye(3), np.array([3.0, 4.0, 0.0])))
    assert pose_error(moved, truth) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("T_44", "word"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.eye(3), "shape"),
        (np.diag([1.0, 1, -1, 1]), "reflection"),
        (np.diag([2.0, 2, 2, 1]), "not a rotation"),
        (np.eye(4) + np.eye(4)[::-1] * 0.5, "last row"),
    ],
)
def test_defects_are_named(T_44: np.ndarray, word: str) -> None:
    assert word in (rigid_defect(T_44) or "")
