"""Poses that are stamped later, or earlier, than images of the same moment."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.scenes.raw_tum import FRAME_S, START_S, shaken_pose, write_tum
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import exp_se3, invert, rotation_error_deg, transform
from transpose.scenes import open_section
from transpose.scenes.setup.clocks import Sightings, fitted_delay, measured_delay, off_lines
from transpose.scenes.setup.photo_files import listed
from transpose.scenes.setup.trajectories import Trajectory, read_trajectory
from transpose.scenes.setup.tum import _CAMERAS, TumOptions, _images, setup_tum

LENS = Lens(320, 240, 260, 260, 160, 120)
LATE_S = 0.024


def _trajectory(pose: Callable[[float], np.ndarray], late_s: float) -> Trajectory:
    seconds_n = START_S + np.arange(-1, 4, 0.01)
    T_n44 = np.stack([pose(seconds - late_s) for seconds in seconds_n])
    return Trajectory(seconds_n, T_n44[:, :3, 3], Rotation.from_matrix(T_n44[:, :3, :3]).as_quat())


def _seen(pose: Callable[[float], np.ndarray], noise_px: float, wrong: int) -> list[Sightings]:
    """30 pairs of images of a cloud of points 2 to 6 m ahead, of which some pairs are matched at random."""
    rng = np.random.default_rng(0)
    pairs = []
    for place, first_s in enumerate(START_S + 0.2 + 0.08 * np.arange(30)):
        points_m3 = transform(pose(first_s), rng.uniform([-1, -1, 2], [1, 1, 6], (60, 3)))
        rays = []
        for seconds in (first_s, first_s + 0.08):
            camera_m3 = transform(invert(pose(seconds)), points_m3)
            noisy_m3 = camera_m3 / camera_m3[:, 2:] + [*noise_px / 500 * rng.normal(size=2), 0] * rng.normal(
                size=(60, 1)
            )
            rays.append(noisy_m3 / np.linalg.norm(noisy_m3, axis=1, keepdims=True))
        second_m3 = rng.permutation(rays[1]) if place % 6 == 0 and place < 6 * wrong else rays[1]
        pairs.append(Sightings(first_s, first_s + 0.08, rays[0], second_m3))
    return pairs


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("late") / "recording"
    return write_tum(folder, LENS, frames=24, pose=shaken_pose, truth_late_s=LATE_S)


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("camera") / "camera.json"
    path.write_text(json.dumps({"width": 320, "height": 240, "fx": 260, "fy": 260, "cx": 160, "cy": 120}))
    return str(path)


@settings(max_examples=6, deadline=None)  # each looks at a thousand delays
@given(late_s=st.floats(-0.4, 0.4), noise_px=st.floats(0.0, 1.0), wrong=st.integers(0, 5))
def test_points_tell_the_delay_whatever_some_pairs_show(late_s: float, noise_px: float, wrong: int) -> None:
    found = fitted_delay(_seen(shaken_pose, noise_px, wrong), _trajectory(shaken_pose, late_s))
    assert abs(found.seconds - late_s) < 0.0015 + 0.002 * noise_px and found.sigma_s < 0.005
    assert found.pairs == 30 and (abs(late_s) < 0.005 or found.degrees < found.degrees_before)


def test_points_off_their_lines_by_a_slow_twin() -> None:
    seen, truth = _seen(shaken_pose, 1.0, 0)[3], _trajectory(shaken_pose, 0.0)
    delay_d = np.array([-0.1, 0.0, 0.25])
    expected_d = []
    for delay in delay_d:
        first, second = (pose.T_wc for pose in truth.at(np.array([seen.first_s, seen.second_s]) + delay, 1.0) if pose)
        T_21 = invert(second) @ first
        off_m = []
        for a_3, b_3 in zip(seen.first_m3, seen.second_m3, strict=True):
            normal_3 = np.cross(T_21[:3, 3], T_21[:3, :3] @ a_3)
            off_m.append(min(np.arcsin(abs(normal_3 @ b_3) / np.linalg.norm(normal_3)), np.radians(3)))
        expected_d.append(np.mean(off_m))
    assert np.allclose(off_lines(seen, truth, delay_d), expected_d)


def test_what_poses_do_not_know_is_no_agreement() -> None:
    """Beyond their first and last, poses stay where they are: points would lie on any line then."""
    truth = _trajectory(shaken_pose, 0.03)
    within = (truth.seconds_n > START_S + 0.1) & (truth.seconds_n < START_S + 2.8)
    short = Trajectory(truth.seconds_n[within], truth.positions_n3[within], truth.quaternions_n4[within])
    seen = _seen(shaken_pose, 0.5, 0)
    assert np.isnan(off_lines(seen[0], short, np.array([-0.3]))).all()
    assert abs(fitted_delay(seen, short).seconds - 0.03) < 0.003
    still = replace(short, positions_n3=short.positions_n3 * 0, quaternions_n4=short.quaternions_n4 * 0 + [0, 0, 0, 1])
    assert off_lines(seen[3], still, np.zeros(1)) > np.radians(0.5)


def even_pose(seconds: float) -> np.ndarray:
    """(4, 4) camera to world: turning and moving along its own axes as fast as ever, on a screw."""
    return exp_se3((seconds - START_S) * np.array([0.1, 1.0, 0.3, 0.2, 0.0, 0.1]))


@pytest.mark.parametrize("noise_px", [0.3, 1.0])
def test_a_camera_that_moves_evenly_does_not_tell_it(noise_px: float) -> None:
    with pytest.raises(TransposeError, match=r"--delay auto: .*a camera that moves evenly"):
        fitted_delay(_seen(even_pose, noise_px, 0), _trajectory(even_pose, 0.0))


def test_images_tell_by_how_much_poses_are_late(
    recording: Path, camera_file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["setup", "tum", "--source", str(recording), "--out", str(tmp_path / "scene"), "--camera", camera_file]
    with caplog.at_level(logging.INFO):
        assert main([*words, "--delay", "auto"]) == 0
    assert " ms late (+- " in caplog.text
    section = open_section(tmp_path / "scene" / "train")
    assert abs(section.facts.record["delay_s"] - LATE_S) < 0.003
    off = [
        rotation_error_deg(frame.pose.R_wc, shaken_pose(START_S + 0.02 + k * FRAME_S)[:3, :3])
        for k, frame in enumerate(section.frames)
    ]
    assert max(off) < 0.4


def test_a_delay_that_is_known(recording: Path, camera_file: str, tmp_path: Path) -> None:
    (written,) = setup_tum(recording, tmp_path / "scene", options=TumOptions(camera=camera_file, delay_s=LATE_S))
    for k, frame in enumerate(open_section(written).frames):
        T_wc = shaken_pose(START_S + 0.02 + k * FRAME_S)
        assert rotation_error_deg(frame.pose.R_wc, T_wc[:3, :3]) < 0.05
        assert np.allclose(frame.pose.center, T_wc[:3, 3], atol=1e-3)
    with pytest.raises(TransposeError, match="--delay is in seconds, or auto, not inf"):
        TumOptions(delay_s=float("inf"))


def test_too_few_images(recording: Path, camera_file: str, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("rgb", "depth", "groundtruth.txt", "depth.txt"):
        (few / name).symlink_to(recording / name)
    (few / "rgb.txt").write_text("\n".join((recording / "rgb.txt").read_text().splitlines()[:8]))
    with pytest.raises(TransposeError, match=r"4 pairs of images .* 10 are needed"):
        setup_tum(few, tmp_path / "scene", options=TumOptions(camera=camera_file, delay_s="auto"))
    assert not (tmp_path / "scene").exists()


def test_motion_capture_is_in_time(tum_source: Path) -> None:
    """Images of freiburg1_rpy find its truth to be right to some milliseconds."""
    truth = read_trajectory(tum_source / "groundtruth.txt")
    images = listed(_images(tum_source, "rgb.txt"), tum_source / "train.txt")
    delay = measured_delay([(each.seconds, each.image) for each in images[:60]], _CAMERAS["fr1"], truth)
    assert abs(delay.seconds) < 0.015 and delay.degrees <= delay.degrees_before < 0.3
