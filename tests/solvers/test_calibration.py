"""One camera from many photos of known points, and what the photos do not tell of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3
from transpose.randomness import stream, torch_stream
from transpose.solvers import CalibrationOptions, SeenPoints, calibrate_camera
from transpose.solvers.calibration_equations import (
    PARAMETERS,
    Sightings,
    camera_at,
    cost,
    covariance,
    equations,
    linearized,
    step,
)
from transpose.solvers.tangent import moved

TRUE = Camera(640, 480, 510.0, 510.0, 326.0, 236.0, -0.08, 0.02)
START = Camera.from_focal(500.0, 640, 480)


def photos(
    camera: Camera, seed: int = 0, count: int = 16, points: int = 120, flat: bool = False, turned: bool = True
) -> tuple[list[SeenPoints], list[Pose]]:
    """Half a pixel of noise, a fifth of the matches wrong, poses a little off; flat: a plane seen straight."""
    rng, seen, truth = stream(seed, "calibration"), [], []
    for _ in range(count):
        pose = Pose(exp_se3(rng.normal(0, 1.0 if turned else 0.0, 6)))
        px_n2 = rng.uniform((0, 0), (camera.width, camera.height), (points, 2))
        z_n1 = np.full((points, 1), 5.0) if flat else rng.uniform(1, 4, (points, 1))
        points_n3 = camera.unproject(px_n2) * z_n1 @ pose.R_wc.T + pose.center
        px_n2 = px_n2 + 0.5 * rng.standard_normal(px_n2.shape)
        wrong_n = rng.random(points) < 0.2
        px_n2[wrong_n] = rng.uniform((0, 0), (camera.width, camera.height), (int(wrong_n.sum()), 2))
        seen.append(SeenPoints(px_n2, points_n3, Pose(pose.T_wc @ exp_se3(rng.normal(0, 0.003, 6)))))
        truth.append(pose)
    return seen, truth


def test_the_camera_is_found_within_its_standard_deviations() -> None:
    off = []
    for seed in range(12):
        seen, truth = photos(TRUE, seed)
        found = calibrate_camera(seen, START)
        assert found.camera is not None and found.held == () and found.reason == "ok"
        assert found.camera.fx == pytest.approx(510.0, abs=1.0) and found.camera.k1 == pytest.approx(-0.08, abs=0.01)
        assert pose_error(found.poses[3], truth[3])[1] < 0.02
        assert found.residual_px < 1.0
        off.append([(getattr(found.camera, name) - getattr(TRUE, name)) / found.sigmas[name] for name in found.sigmas])
    rms_6 = np.sqrt(np.mean(np.square(off), 0))
    assert rms_6.min() > 0.3 and rms_6.max() < 2.0


def test_few_photos_are_clustered_by_parts_of_the_image() -> None:
    seen, _ = photos(TRUE, 1, count=4)
    found = calibrate_camera(seen, START)
    assert found.camera is not None and found.camera.fx == pytest.approx(510.0, abs=4 * found.sigmas["fx"])


def test_the_ratio_of_focal_lengths_stays() -> None:
    camera = replace(TRUE, fy=520.0)
    found = calibrate_camera(photos(camera)[0], replace(START, fx=500.0, fy=500.0 * 520 / 510))
    assert found.camera is not None and found.camera.fy / found.camera.fx == pytest.approx(520 / 510)


def test_a_plane_seen_straight_tells_no_focal_length() -> None:
    found = calibrate_camera(photos(Camera.from_focal(510.0, 640, 480), flat=True)[0], START)
    assert (found.camera, found.reason) == (None, "focal_not_observable")
    assert found.sigmas["focal"] > 0.1


def test_what_is_not_observable_is_held_and_said() -> None:
    """Points near the middle of the image say nothing of its corners."""
    narrow = Camera.from_focal(500.0, 160, 120)
    seen = [
        SeenPoints(photo.px_n2 + np.array([240.0, 180.0]), photo.points_n3, photo.pose)
        for photo in photos(narrow, points=300, count=8)[0]
    ]
    start = replace(Camera.from_focal(505.0, 640, 480), k1=0.01, k2=-0.02)
    found = calibrate_camera(seen, start, CalibrationOptions(focal=0.2))
    assert found.camera is not None and "k2" in found.held
    assert (found.camera.k2, found.sigmas["k2"]) == (-0.02, 0.0)


def test_too_few_photos_are_none() -> None:
    seen, _ = photos(TRUE, count=2)
    assert calibrate_camera(seen, START).reason == "too_few_photos"
    far = [SeenPoints(np.full((20, 2), np.nan), photo.points_n3[:20], photo.pose) for photo in photos(TRUE)[0]]
    assert calibrate_camera(far, START).reason == "too_few_photos"
    assert calibrate_camera([], START).camera is None


def small() -> tuple[Sightings, torch.Tensor, torch.Tensor]:
    draw = torch_stream(3, "calibration")
    local_b4n = torch.randn(2, 4, 9, generator=draw, dtype=torch.float64)
    local_b4n[:, 3] = 1
    poses_b34 = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    poses_b34[:, 2, 3] = 4.0
    values_5 = torch.tensor([0.05, 0.01, -0.02, -0.1, 0.03], dtype=torch.float64)
    camera = camera_at(START, values_5)
    px = torch.from_numpy(camera.project((poses_b34 @ local_b4n).mT.numpy()))
    px = px + torch.randn(2, 9, 2, generator=draw, dtype=torch.float64)
    sightings = Sightings(
        px, local_b4n, torch.zeros(2, 3), torch.ones(2, 9).double(), START, torch.ones(5, dtype=torch.bool), 0.7
    )
    return sightings, values_5, poses_b34


def test_derivatives_are_those_of_finite_differences() -> None:
    sightings, values_5, poses_b34 = small()
    at = linearized(sightings, values_5, poses_b34)
    for column, change_5 in enumerate(1e-6 * torch.eye(5, dtype=torch.float64)):
        ahead, behind = (linearized(sightings, values_5 + s * change_5, poses_b34).e_bn2 for s in (1, -1))
        torch.testing.assert_close(at.by_camera_bn25[..., column], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-4)
    for column, change_6 in enumerate(1e-6 * torch.eye(6, dtype=torch.float64)):
        ahead, behind = (
            linearized(sightings, values_5, moved(poses_b34, s * change_6.expand(2, 6))).e_bn2 for s in (1, -1)
        )
        torch.testing.assert_close(at.by_pose_bn26[..., column], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-4)


def test_the_gradient_is_that_of_the_cost() -> None:
    sightings, values_5, poses_b34 = small()
    at = linearized(sightings, values_5, poses_b34)
    gradient_5 = equations(sightings, at, values_5, at.robust_bn).gradient_5

    def cost_at(change_5: torch.Tensor) -> float:
        return cost(sightings, linearized(sightings, values_5 + change_5, poses_b34), values_5 + change_5)

    numeric = [(cost_at(e) - cost_at(-e)) / 2e-6 for e in 1e-6 * torch.eye(5, dtype=torch.float64)]
    torch.testing.assert_close(gradient_5, torch.tensor(numeric, dtype=torch.float64), rtol=1e-5, atol=1e-4)


def test_the_schur_complement_solves_the_whole_system() -> None:
    """A slow twin: one dense matrix over both poses and the camera."""
    sightings, values_5, poses_b34 = small()
    at = linearized(sightings, values_5, poses_b34)
    of = equations(sightings, at, values_5, at.robust_bn)
    whole = torch.zeros(17, 17, dtype=torch.float64)
    for k in range(2):
        rows = slice(6 * k, 6 * k + 6)
        whole[rows, rows], whole[rows, 12:], whole[12:, rows] = of.pose_b66[k], of.cross_b65[k], of.cross_b65[k].T
    whole[12:, 12:] = of.camera_55
    wanted_17 = -torch.linalg.solve(whole, torch.cat([of.gradient_b6.flatten(), of.gradient_5]))
    step_b6, step_5 = step(of, 0.0)
    torch.testing.assert_close(torch.cat([step_b6.flatten(), step_5]), wanted_17, rtol=1e-6, atol=1e-9)


def test_held_parameters_do_not_move() -> None:
    sightings, values_5, poses_b34 = small()
    sightings = replace(sightings, free_5=torch.tensor([name != "k2" for name in PARAMETERS]))
    at = linearized(sightings, values_5, poses_b34)
    assert step(equations(sightings, at, values_5, at.robust_bn), 0.0)[1][4] == 0


@pytest.mark.parametrize("held", [(), ("cx", "k2")])
def test_the_covariance_is_the_sandwich_of_the_whole_system(held: tuple[str, ...]) -> None:
    """A slow twin: cluster by cluster, with the poses among the unknowns."""
    sightings, values_5, poses_b34 = small()
    sightings = replace(sightings, free_5=torch.tensor([name not in held for name in PARAMETERS]))
    at = linearized(sightings, values_5, poses_b34)
    of = equations(sightings, at, values_5, at.bend_bn)
    curved = torch.zeros(17, 17, dtype=torch.float64)
    for k in range(2):
        rows = slice(6 * k, 6 * k + 6)
        curved[rows, rows], curved[rows, 12:], curved[12:, rows] = of.pose_b66[k], of.cross_b65[k], of.cross_b65[k].T
    curved[12:, 12:] = of.camera_55
    gradients: dict[tuple[int, int, int], torch.Tensor] = {}
    for k in range(2):
        for i in range(9):
            u, v = (
                int(min(max(3 * x // side, 0), 2)) for x, side in zip(sightings.px_bn2[k, i], (640, 480), strict=True)
            )
            g_17 = torch.zeros(17, dtype=torch.float64)
            g_17[6 * k : 6 * k + 6] = at.e_bn2[k, i] @ at.by_pose_bn26[k, i]
            g_17[12:] = at.e_bn2[k, i] @ at.by_camera_bn25[k, i]
            gradients[k, u, v] = gradients.get((k, u, v), 0) + at.robust_bn[k, i] * g_17
    assert 5 < len(gradients) < 18
    scatter = sum(torch.outer(g, g) for g in gradients.values()) * len(gradients) / (len(gradients) - 5)
    scatter[12:, 12:] += torch.diag(sightings.prior_5**-2)
    whole = torch.linalg.inv(curved) @ scatter @ torch.linalg.inv(curved)
    free = sightings.free_5.double()
    torch.testing.assert_close(
        covariance(sightings, at, values_5), whole[12:, 12:] * torch.outer(free, free), rtol=1e-6, atol=1e-12
    )
