"""Recordings in the TUM RGB-D layout."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw_tum import FRAME_S, START_S, WALL_M, true_pose, write_tum
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.lens import Lens
from transpose.geometry.poses import rotation_error_deg, transform
from transpose.scenes import open_section
from transpose.scenes.facts import scene_up
from transpose.scenes.labels import depth_at
from transpose.scenes.setup.trajectories import nearest, paired, read_trajectory
from transpose.scenes.setup.tum import _CAMERAS, LICENCE, TumOptions, setup_tum

LENS = Lens(64, 48, 60, 61, 33, 23, k1=0.1, p1=0.002)


@pytest.fixture
def camera_file(tmp_path: Path) -> str:
    path = tmp_path / "camera.json"
    path.write_text(
        json.dumps(
            {"model": "OPENCV", "width": 64, "height": 48, "fx": 60, "fy": 61, "cx": 33, "cy": 23, "k1": 0.1,
             "k2": 0, "p1": 0.002, "p2": 0}
        )
    )  # fmt: skip
    return str(path)


def test_poses_and_depth_are_those_of_the_colour_image(tmp_path: Path, camera_file: str) -> None:
    source = write_tum(tmp_path / "recording", LENS)
    (written,) = setup_tum(source, tmp_path / "scene", options=TumOptions(camera=camera_file))
    section = open_section(written)
    assert len(section) == 6 and section.facts.depth == "png_mm" and section.facts.licence is None
    for k, frame in enumerate(section.frames):
        T_wc = true_pose(START_S + 0.02 + k * FRAME_S)
        assert np.allclose(frame.pose.center, T_wc[:3, 3], atol=1e-5)
        assert rotation_error_deg(frame.pose.R_wc, T_wc[:3, :3]) < 1e-3
        # The points of depth lie on the wall, although the camera had turned by 2.6 degrees when depth was taken.
        rays_hw3 = frame.camera.unproject(pixel_centers(frame.camera.width, frame.camera.height))
        points_hw3 = transform(frame.pose.T_wc, rays_hw3 * frame.depth()[..., None])
        known = np.isfinite(points_hw3[..., 2])
        assert known.mean() > 0.8
        assert np.quantile(np.abs(points_hw3[known][:, 2] - WALL_M), 0.9) < 0.03


def test_known_cameras_by_the_folder_or_by_name(tmp_path: Path) -> None:
    small = _CAMERAS["fr1"].resized(64, 48)
    source = write_tum(tmp_path / "rgbd_dataset_freiburg1_rpy", small)
    (written,) = setup_tum(source, tmp_path / "scene")
    section = open_section(written)
    assert scene_up(tmp_path / "scene").tolist() == [0, 0, 1]
    assert section.facts.licence == LICENCE and section.facts.record["camera"] == "fr1"
    assert np.isclose(np.nanmedian(section.frames[0].depth()), 1.035 * WALL_M, rtol=0.01)
    # The image is undistorted about the published principal point, which counts pixel centres at integers.
    camera = section.frames[0].camera
    assert camera.k1 == 0 and abs(camera.fx - 51.7) < 6
    (written,) = setup_tum(source, tmp_path / "other", options=TumOptions(camera="fr3"))
    camera = open_section(written).frames[0].camera
    assert camera.fx == pytest.approx(53.54) and camera.cx == pytest.approx(32.06)
    for name in ("tum_fr2_desk", "fr2", "freiburg_2_xyz"):
        source.rename(tmp_path / name)
        (written,) = setup_tum(tmp_path / name, tmp_path / "named")
        assert open_section(written).facts.record["camera"] == "fr2"
        (tmp_path / name).rename(source)


@pytest.mark.parametrize("steps", [1000.0, 5000.0])
def test_depth_scale(tmp_path: Path, camera_file: str, steps: float) -> None:
    source = write_tum(tmp_path / "recording", LENS, steps=steps)
    (written,) = setup_tum(source, tmp_path / "scene", options=TumOptions(camera=camera_file, depth_steps_per_m=steps))
    section = open_section(written)
    assert np.nanmedian(section.frames[0].depth()) == pytest.approx(2.0, abs=0.02)
    assert section.facts.depth == ("npz_m" if steps == 1000 else "png_mm")


def test_images_without_truth_or_depth(tmp_path: Path, camera_file: str, caplog: pytest.LogCaptureFixture) -> None:
    source = write_tum(tmp_path / "recording", LENS)
    truth, depth = source / "groundtruth.txt", source / "depth.txt"
    last_s = START_S + 0.02 + 5 * FRAME_S
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join(line for line in lines if line[0] == "#" or float(line.split()[0]) < last_s - 0.02))
    depth.write_text("\n".join(depth.read_text().splitlines()[:-2]))
    listing = tmp_path / "list.txt"
    names = sorted(path.stem for path in (source / "rgb").glob("*.png"))
    listing.write_text("\n".join(names[3:]))
    with caplog.at_level(logging.WARNING):
        (written,) = setup_tum(source, tmp_path / "s", "mine", listing, options=TumOptions(camera=camera_file))
    frames = open_section(written).frames
    assert [frame.stem for frame in frames] == names[3:5] and [frame.has("depth") for frame in frames] == [True, False]
    assert "1 of 3 images of mine have no pose within 0.02 s" in caplog.text
    assert f"1 of 2 images have no depth image within 0.02 s, such as {names[4]}.png" in caplog.text


def test_poses_of_another_program_and_the_door(
    tmp_path: Path, camera_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_tum(tmp_path / "recording", LENS)
    (source / "groundtruth.txt").rename(tmp_path / "slam.txt")
    words = ["setup", "tum", "--source", str(source), "--out", str(tmp_path / "scene"), "--camera", camera_file]
    assert main(words) == 1
    assert "name poses of the colour camera with --poses" in capsys.readouterr().err
    assert main([*words, "--poses", str(tmp_path / "slam.txt"), "--section", "mine", "--depth-scale", "5000"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "scene" / "mine")
    assert main(["info", str(tmp_path / "scene"), "--check"]) == 0
    assert main([*words, "--poses", str(tmp_path / "slam.txt"), "--tolerance", "-1"]) == 1


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("rgb.txt", "# nothing\n", "rgb.txt names no images"),
        ("rgb.txt", "1305031229.5\n", "rgb.txt, line 1: expected `timestamp file`"),
        ("rgb.txt", "now rgb/a.png\n", "rgb.txt, line 1: expected `timestamp file`"),
        ("rgb.txt", "1.0 ../a.png\n", "rgb.txt, line 1: expected `timestamp file`"),
        ("rgb.txt", None, "rgb.txt does not exist; is .* a recording"),
        ("depth.txt", "1.0 /etc/passwd\n", "depth.txt, line 1: expected `timestamp file`"),
        ("groundtruth.txt", "", "groundtruth.txt holds no poses"),
        ("groundtruth.txt", "# c\n1.0 0 0 0 1\n", "groundtruth.txt, line 2: expected"),
        ("groundtruth.txt", "1.0 0 0 0 1 1 1 1\n", "groundtruth.txt, line 1: .* is no rotation"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0 1\n", "no image of train has a pose: they were taken from 1305031229.520"),
    ],
)
def test_broken_recordings_are_named(tmp_path: Path, camera_file: str, file: str, text: str | None, words: str) -> None:
    source = write_tum(tmp_path / "recording", LENS, frames=2)
    if text is None:
        (source / file).unlink()
    else:
        (source / file).write_text(text)
    with pytest.raises(TransposeError, match=words):
        setup_tum(source, tmp_path / "scene", options=TumOptions(camera=camera_file))
    assert not (tmp_path / "scene" / "train").exists()


def test_unknown_cameras_are_refused(tmp_path: Path) -> None:
    source = write_tum(tmp_path / "shelf", LENS, frames=2)
    with pytest.raises(TransposeError, match="say it with --camera fr1, fr2, fr3 or a file"):
        setup_tum(source, tmp_path / "scene")
    with pytest.raises(TransposeError, match="fr4 is neither"):
        setup_tum(source, tmp_path / "scene", options=TumOptions(camera="fr4"))


def test_times_match_a_twin_that_looks_at_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a_n, b_m = rng.uniform(0, 1, 30), np.sort(rng.uniform(0, 1, rng.integers(1, 30)))
        apart_nm = np.abs(a_n[:, None] - b_m)
        assert np.array_equal(nearest(a_n, b_m), apart_nm.argmin(1))
        expected = [
            int(row.argmin()) if row.min() <= 0.02 and apart_nm[:, row.argmin()].min() == row.min() else -1
            for row in apart_nm
        ]
        assert paired(a_n, b_m, 0.02).tolist() == expected
    assert paired(np.array([1.0]), np.zeros(0), 1).tolist() == [-1]


def test_a_trajectory_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "poses.txt"
    path.write_text("2,1,0,0,0,0,0,1\n1 0 0 0 0 0 0.7071 0.7071 # turned\n2 9 9 9 0 0 0 1\n3 nan 0 0 0 0 0 1\n")
    trajectory = read_trajectory(path)
    assert trajectory.seconds_n.tolist() == [1, 2]
    middle, late, edge = trajectory.at(np.array([1.5, 2.5, 2.0005]), 0.6)
    assert middle is not None and np.allclose(middle.center, [0.5, 0, 0]) and late is None and edge is not None
    turned = np.arctan2(middle.R_wc[1, 0], middle.R_wc[0, 0])
    assert turned == pytest.approx(np.pi / 4, abs=1e-4)


def test_real_depth_agrees_with_motion_capture(tmp_path: Path, tum_source: Path) -> None:
    """A desk seen from two poses is one desk; a wrong time, lens or depth would show in centimetres."""
    names = tmp_path / "two.txt"
    stems = (tum_source / "train.txt").read_text().split()
    names.write_text("\n".join((stems[72], stems[73])))  # where the camera hardly turns, and the truth has no gap
    (written,) = setup_tum(tum_source, tmp_path / "scene", "two", names)
    a, b = open_section(written).frames
    grid_n2 = pixel_centers(a.camera.width, a.camera.height)[::16, ::16].reshape(-1, 2)
    depth_n = depth_at(a.depth(), grid_n2)
    points_n3 = transform(b.pose.T_cw, transform(a.pose.T_wc, a.camera.unproject(grid_n2) * depth_n[:, None]))
    seen_n = np.isfinite(points_n3).all(1) & (points_n3[:, 2] > 0)
    difference_n = depth_at(b.depth(), b.camera.project(points_n3[seen_n])) - points_n3[seen_n, 2]
    assert np.isfinite(difference_n).sum() > 200
    assert np.nanmedian(np.abs(difference_n)) < 0.03
