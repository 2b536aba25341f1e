"""What a check says of posed images with few labels or none: that they agree, what is wrong, or that it cannot say."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from transpose.app.cli import main
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_so3, invert, transform
from transpose.inspection.coverage import cover
from transpose.inspection.epipolar import CONVENTIONS, pose_agreement
from transpose.inspection.image_pairs import ImagePair
from transpose.inspection.scene_check import check_section
from transpose.inspection.surface import labelled_fraction, labelled_points
from transpose.randomness import stream
from transpose.scenes import files
from transpose.scenes.layout import Frame, open_section
from transpose.scenes.setup.posed_photos import sparse_map
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.viewpoints import rotation_from_angles

CAMERA = Camera.from_focal(270.0, 320, 240)
FLIPPED = np.diag([1.0, -1, -1, 1])


def wall(size: int = 900) -> np.ndarray:
    """A picture with structure of many sizes."""
    rng = stream(0, "wall")
    picture = sum(
        cv2.resize(rng.uniform(0, 1, (n, n, 3)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        * weight
        for n, weight in ((12, 90), (45, 100), (120, 60))
    )
    return np.clip(picture, 0, 255).astype(np.uint8)  # type: ignore[arg-type]


def poses() -> list[Pose]:
    """Six cameras over a picture of 6 x 6 m on the ground, each turned in its own way."""
    found = []
    for i in range(6):
        R_wc = rotation_from_angles(15.0 * i - 40, -75.0 + 4 * (i % 3), 3.0 * (i % 2))
        found.append(Pose(compose(R_wc, np.array([0.45 * i - 1.2, 0.3 * (i % 3) - 0.4, 2.4 + 0.15 * i]))))
    return found


def seen_from(pose: Pose, picture_hw3: np.ndarray) -> np.ndarray:
    """The picture on the ground as the camera sees it, by its homography."""
    scale = len(picture_hw3) / 6.0
    to_ground = np.array([[1 / scale, 0, -3.0], [0, -1 / scale, 3.0], [0, 0, 0], [0, 0, 1.0]])  # picture to world
    H = CAMERA.K_33 @ pose.T_cw[:3] @ to_ground
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV counts pixel centres at integers
    there = np.linalg.inv(half) @ H @ half
    return np.asarray(cv2.warpPerspective(picture_hw3, there, (320, 240), flags=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    writer = SectionWriter(tmp_path_factory.mktemp("plain") / "scene", "train", {})
    picture_hw3 = wall()
    for i, pose in enumerate(poses()):
        writer.add(f"{i}", seen_from(pose, picture_hw3), pose, CAMERA, FrameLabels())
    return writer.finish({})


def spoiled(
    section: Path, out: Path, pose: Callable[[np.ndarray], np.ndarray] = lambda T: T, focal: float = 1.0
) -> Path:
    shutil.copytree(section, out / "train")
    for path in (out / "train" / "poses").iterdir():
        np.savetxt(path, pose(files.read_pose(path).T_wc), fmt="%.17g")
    for path in (out / "train" / "calibration").iterdir():
        path.write_text(f"{270 * focal}\n")
    return out


def test_right_poses_without_labels_agree_by_what_was_looked_at(
    section: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check_section(open_section(section))
    assert (found.findings, found.unseen) == ((), "")
    assert main(["info", str(section.parent), "--check"]) == 0
    assert "everything agrees (by keypoints of" in capsys.readouterr().out


SPOILED: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float, str]] = {
    "world-to-camera": (invert, 1.0, "poses are world-to-camera: invert them"),
    "OpenGL": (lambda T: T @ FLIPPED, 1.0, "poses have OpenGL axes"),
    "world-to-camera, OpenGL": (lambda T: FLIPPED @ invert(T), 1.0, "world-to-camera with OpenGL axes"),
    "rotation alone": (
        lambda T: compose(T[:3, :3].T, T[:3, 3]),
        1.0,
        "world-to-camera rotation beside a camera centre",
    ),
    "x ahead": (
        lambda T: T @ np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        1.0,
        "x ahead, y left and z up",
    ),
    "a quarter": (
        lambda T: T @ compose(exp_so3(np.array([0, 0, np.pi / 2])), np.zeros(3)),
        1.0,
        "quarter about the viewing axis",
    ),
    "no order": (
        lambda T: compose(exp_so3(1e3 * T[:3, 3]), T[[2, 0, 1], 3] * (3, -1, 2)),
        1.0,
        "do not agree with what images show",
    ),
    "longer": (lambda T: T, 1.2, "focal length about 20 % shorter"),
    "shorter": (lambda T: T, 0.9, "focal length about 10 % longer"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_wrong_is_named_with_its_remedy(
    section: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pose, focal, words = SPOILED[name]
    assert main(["info", str(spoiled(section, tmp_path / "scene", pose, focal)), "--check"]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert "agrees" not in told.out


def test_one_photo_in_anothers_place_is_named(section: Path, tmp_path: Path) -> None:
    scene = spoiled(section, tmp_path / "scene")
    shutil.copyfile(section / "poses" / "5.txt", scene / "train" / "poses" / "0.txt")
    found = check_section(open_section(scene / "train"))
    assert [finding.where for finding in found.findings] == ["0"]
    assert "does not show what its pose says" in found.findings[0].what


def test_a_check_that_could_not_look_says_so(section: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = spoiled(section, tmp_path / "scene")
    for path in (scene / "train" / "rgb").iterdir():  # nothing that two images have in common
        noise_hw3 = stream(0, path.stem).integers(0, 255, (30, 40, 3)).astype(np.uint8)
        files.write_image(path, cv2.resize(noise_hw3, (320, 240), interpolation=cv2.INTER_CUBIC))
    assert main(["info", str(scene), "--check"]) == 0
    told = capsys.readouterr().out
    assert "poses were not compared with images: there is no depth or init, and no two of 6 images have enough" in told
    assert "agrees" not in told
    for layer in ("rgb", "poses", "calibration"):
        for path in sorted((scene / "train" / layer).iterdir())[1:]:
            path.unlink()
    assert "one frame alone" in check_section(open_section(scene / "train")).unseen


def cloud(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform((-2, -2, 4), (2, 2, 8), (200, 3))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_is_told_from_the_others(convention: str, tmp_path: Path) -> None:
    """Of exact matches of a cloud of points, with some that are false."""
    rng = stream(0, "cloud")
    right = [Pose(compose(exp_so3(rng.normal(0, 0.2, 3)), rng.normal(0, 0.6, 3))) for _ in range(4)]
    points_n3 = cloud(rng)
    px = [CAMERA.project(transform(pose.T_cw, points_n3)) for pose in right]
    pairs = []
    for i in range(4):
        for j in range(i):
            there_n = np.isfinite(px[i]).all(1) & np.isfinite(px[j]).all(1)
            first_m2, second_m2 = px[i][there_n], px[j][there_n].copy()
            second_m2[::7] = rng.uniform(0, 240, second_m2[::7].shape)
            pairs.append(ImagePair(i, j, first_m2, second_m2))

    def frames(given: list[np.ndarray]) -> list[Frame]:
        made = []
        for i, T_wc in enumerate(given):
            frame = Frame(str(i), {})
            frame.__dict__.update(pose=Pose(T_wc), camera=CAMERA)  # what is read of files when asked for
            made.append(frame)
        return made

    agreement = pose_agreement(frames([pose.T_wc for pose in right]), pairs)
    assert (agreement.wrong, agreement.odd) == (None, ()) and agreement.share > 0.8
    change = CONVENTIONS[convention]
    given = [_before(change, pose.T_wc) for pose in right]
    assert np.allclose(change(given[0]), right[0].T_wc)
    assert pose_agreement(frames(given), pairs).wrong == f"poses {convention}"


def _before(change: Callable[[np.ndarray], np.ndarray], T_wc: np.ndarray) -> np.ndarray:
    """What `change` makes a pose of, found among what the conventions are made of."""
    R_t = compose(T_wc[:3, :3].T, T_wc[:3, 3])
    turns = [change(np.eye(4))]
    candidates = [invert(T_wc), R_t, compose(T_wc[:3, :3], -T_wc[:3, :3].T @ T_wc[:3, 3])]
    candidates += [T_wc @ invert(turn) for turn in turns] + [turn @ invert(T_wc) for turn in turns]
    return next(each for each in candidates if np.allclose(change(each), T_wc))


def test_rays_of_cameras_at_one_place_are_compared_themselves() -> None:
    """A panorama cut into views: there is no epipolar line where two centres are one."""
    rng = stream(0, "turns")
    right = [Pose(compose(exp_so3(np.array([0.0, 0.3 * i, 0])), np.ones(3))) for i in range(3)]
    points_n3 = cloud(rng)
    px = [CAMERA.project(transform(pose.T_cw, points_n3)) for pose in right]
    pairs = [ImagePair(i, i + 1, px[i], px[i + 1]) for i in range(2)]
    frames = []
    for turn in (1.0, -1.0):
        some = []
        for i, pose in enumerate(right):
            frame = Frame(str(i), {})
            R_wc = pose.R_wc if turn > 0 else pose.R_wc.T
            frame.__dict__.update(pose=Pose(compose(R_wc, pose.center)), camera=CAMERA)
            some.append(frame)
        frames.append(some)
    assert pose_agreement(frames[0], pairs).wrong is None
    assert "world-to-camera" in (pose_agreement(frames[1], pairs).wrong or "")


def test_sparse_labels_of_large_photos_are_all_looked_at(section: Path, tmp_path: Path) -> None:
    """Some hundred labels among ten thousand cells, as a reconstruction leaves them."""
    writer = SectionWriter(tmp_path / "scene", "train", {})
    picture_hw3 = wall()
    points_n3 = stream(0, "points").uniform((-2.5, -2.5, 0), (2.5, 2.5, 0), (350, 3))
    size = (1280, 960)
    camera = CAMERA.resized(*size)
    for i, pose in enumerate(poses()):
        image_hw3 = cv2.resize(seen_from(pose, picture_hw3), size, interpolation=cv2.INTER_CUBIC)
        labels = FrameLabels(coordinates_3hw=sparse_map(points_n3, pose, camera))
        writer.add(f"{i}", image_hw3, pose, camera, labels, 95)
    made = open_section(writer.finish({}))
    for frame in made.frames:
        labelled = np.isfinite(frame.coordinates()).all(0)
        assert 60 < labelled.sum() < 0.04 * labelled.size
        assert len(labelled_points(frame)[0]) == labelled.sum()
        assert labelled_fraction(frame) == pytest.approx(labelled.mean())
    found = check_section(made)
    assert (found.findings, found.unseen) == ((), "") and found.compared.startswith("labels of")
    coverage = cover(made.frames)
    assert coverage is not None
    seen = sum(len(labelled_points(frame)[0]) for frame in made.frames)
    assert seen > 2 * len(coverage.centers_c3)  # each in several frames
    frames_n = np.zeros(len(points_n3), int)
    for pose in poses():
        px_n2 = camera.project(transform(pose.T_cw, points_n3))
        with np.errstate(invalid="ignore"):
            frames_n += ((px_n2 >= 0) & (px_n2 < size)).all(1)
    expected = (frames_n >= 2).sum() / (frames_n >= 1).sum()
    assert coverage.as_json()["in_2_frames"] == pytest.approx(expected, abs=0.03)
    assert coverage.as_json()["from_2_directions"] > 0.5


def test_a_handful_of_labels_is_no_reason_to_call_a_scene_wrong(section: Path, tmp_path: Path) -> None:
    scene = spoiled(section, tmp_path / "scene")
    points_n3 = stream(0, "few").uniform((-1.5, -1.5, 0), (1.5, 1.5, 0), (25, 3))
    for i, pose in enumerate(poses()):
        files.write_map(scene / "train" / "init" / f"{i}.dat", sparse_map(points_n3, pose, CAMERA))
    found = check_section(open_section(scene / "train"))
    assert (found.findings, found.unseen) == ((), "") and found.compared.startswith("keypoints of")
