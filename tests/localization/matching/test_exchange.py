"""Either half of hloc in place of ours: its files, written and read by h5py alone as hloc writes and reads them."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import looking_down
from transpose.app.cli import main
from transpose.geometry import Camera
from transpose.geometry.poses import pose_error, transform
from transpose.scenes.hloc.lists import read_results
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import open_section
from transpose.solvers import RansacOptions, solve_pnp
from transpose.training.request import Request
from transpose.training.start import train
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

h5py = pytest.importorskip("h5py")
CAMERA = Camera.from_focal(320.0, 384, 288)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    folder = tmp_path_factory.mktemp("hloc")
    world = save_world(box_world, folder / "world")
    for section, places in (("sim", (-1.2, -0.4, 0.4, 1.2)), ("test", (-0.8, 0.1))):
        viewpoints = [Viewpoint(CAMERA, looking_down(x, y, 3.5, yaw=10.0 * x)) for x in places for y in (-0.5, 0.5)]
        render_section(world, viewpoints, (folder / "scene", section), {}, processes=1)
    return folder / "scene"


@pytest.fixture(scope="module")
def sift_file(scene: Path) -> Path:
    """SIFT of all images, as hloc's extraction writes it: pixel centres at whole numbers, one column a descriptor."""
    path = scene / "feats-sift.h5"
    for section in ("sim", "test"):
        for frame in open_section(scene / section).frames:
            grey = cv2.cvtColor(frame.image(), cv2.COLOR_RGB2GRAY)
            found, descriptors = cv2.SIFT.create(nfeatures=800, contrastThreshold=0.01).detectAndCompute(grey, None)
            root = np.sqrt(descriptors / descriptors.sum(1, keepdims=True))
            with h5py.File(path, "a", libver="latest") as file:
                group = file.create_group(f"{section}/rgb/{frame.paths['rgb'].name}")
                group.create_dataset("keypoints", data=np.float32([each.pt for each in found]))
                group.create_dataset("descriptors", data=np.float16(root.T))
                group.create_dataset("scores", data=np.float16([each.response for each in found]))
                group.create_dataset("image_size", data=np.array([384, 288]))
    return path


def worst_error(results: Path, scene: Path) -> tuple[float, float]:
    poses = read_results(results)
    frames = open_section(scene / "test").frames
    assert len(poses) == len(frames)
    errors = [pose_error(poses[f"test/rgb/{each.paths['rgb'].name}"], each.pose) for each in frames]
    return max(error[0] for error in errors), max(error[1] for error in errors)


@pytest.fixture(scope="module")
def exported(scene: Path) -> Path:
    run = train(Request(scene, ["sim"], scene / "run", validation="test"), "matching", {"keypoints": 400}).parent
    assert main(["hloc", str(run), str(scene), "--section", "test", "--out", str(scene / "exported")]) == 0
    return scene / "exported"


def test_our_features_and_matches_are_enough_for_their_half(scene: Path, exported: Path) -> None:
    """What hloc's localization does: keypoints by `matches0`, points of the database's keypoints, one PnP."""
    assert worst_error(exported / "results.txt", scene)[1] < 0.05
    frame = open_section(scene / "test").frames[0]
    query = f"test/rgb/{frame.paths['rgb'].name}"
    pixels, points = [], []
    with h5py.File(exported / "features.h5") as features, h5py.File(exported / "matches.h5") as matches:
        for line in (exported / "pairs.txt").read_text().splitlines():
            photo, image = line.split()
            if photo != query:
                continue
            to = matches[photo.replace("/", "-")][image.replace("/", "-")]["matches0"][()]
            stem = Path(image).stem
            shown = next(each for each in open_section(scene / "sim").frames if each.stem == stem)
            pixels.append(features[photo]["keypoints"][()][to >= 0] + 0.5)
            points.append(coordinates_at(shown, features[image]["keypoints"][()][to[to >= 0]].astype(float) + 0.5))
    px, world = np.concatenate(pixels).astype(float), np.concatenate(points)
    known = np.isfinite(world).all(1)
    found = solve_pnp(px[known], world[known], CAMERA, RansacOptions(max_error_px=6.0))
    assert found.pose is not None and pose_error(found.pose, frame.pose)[1] < 0.05
    with h5py.File(exported / "global.h5") as file:
        assert file[query]["global_descriptor"].dtype == np.float16


def test_the_database_poses_are_world_to_camera(scene: Path, exported: Path) -> None:
    lines = (exported / "database.txt").read_text().splitlines()
    assert len(lines) == 8
    frame = open_section(scene / "sim").frames[0]
    words = next(line for line in lines if frame.paths["rgb"].name in line).split()
    center = transform(frame.pose.T_cw, np.zeros((1, 3)))[0]
    assert np.allclose([float(word) for word in words[5:]], center)


def test_their_features_pairs_and_matches_are_enough_for_our_half(scene: Path, sift_file: Path) -> None:
    words = ["train", str(scene), "--sections", "sim", "--val", "test", "--preset", "matching"]
    assert main([*words, "--hloc-features", str(sift_file), "--out", str(scene / "run-sift")]) == 0
    words = ["hloc", str(scene / "run-sift"), str(scene), "--section", "test", "--features", str(sift_file)]
    assert main([*words, "--out", str(scene / "by-features")]) == 0
    assert worst_error(scene / "by-features" / "results.txt", scene)[1] < 0.06
    pairs, matches = scene / "pairs.txt", scene / "matches.h5"
    _match_as_hloc(sift_file, scene, pairs, matches)
    given = ["--pairs", str(pairs), "--matches", str(matches), "--out", str(scene / "by-matches")]
    assert main([*words, *given]) == 0
    assert worst_error(scene / "by-matches" / "results.txt", scene)[1] < 0.06
    assert not (scene / "by-matches" / "global.h5").exists()


def _match_as_hloc(features: Path, scene: Path, pairs: Path, matches: Path) -> None:
    """Mutual nearest neighbours of every photo with every image, under hloc's names."""
    names = {s: [f"{s}/rgb/{f.paths['rgb'].name}" for f in open_section(scene / s).frames] for s in ("sim", "test")}
    lines = []
    with h5py.File(features) as file, h5py.File(matches, "w", libver="latest") as out:
        for photo in names["test"]:
            for image in names["sim"]:
                a, b = (file[name]["descriptors"][()].T.astype(np.float32) for name in (photo, image))
                similarity = a @ b.T
                to = similarity.argmax(1)
                mutual = similarity.argmax(0)[to] == np.arange(len(a))
                group = out.create_group(photo.replace("/", "-") + "/" + image.replace("/", "-"))
                group.create_dataset("matches0", data=np.where(mutual, to, -1).astype(np.int16))
                group.create_dataset("matching_scores0", data=np.float16(similarity.max(1) * mutual))
                lines.append(f"{photo} {image}")
    pairs.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("truncated", "is truncated or broken|is no HDF5 file"),
        ("strange", "has no keypoints of 4 of 4 photos .* another database"),
        ("missing", "does not exist"),
    ],
)
def test_bad_files_are_one_clear_line(
    scene: Path,
    sift_file: Path,
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    broken: str,
    said: str,
) -> None:
    path = tmp_path / "features.h5"
    if broken == "truncated":
        path.write_bytes(sift_file.read_bytes()[:5000])
    elif broken == "strange":
        with h5py.File(path, "w") as file:
            file.create_group("other/1.jpg").create_dataset("keypoints", data=np.zeros((1, 2)))
    words = ["hloc", str(scene / "run"), str(scene), "--section", "test", "--features", str(path)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error), error
    assert not (tmp_path / "out").exists()


def test_pairs_of_another_database_are_refused(
    scene: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.txt").write_text("test/rgb/0.png elsewhere/7.jpg\n")
    words = ["hloc", str(scene / "run"), str(scene), "--section", "test", "--out", str(tmp_path / "out")]
    assert main([*words, "--pairs", str(tmp_path / "pairs.txt")]) == 1
    assert "images that the database lacks (elsewhere/7.jpg)" in capsys.readouterr().err


def test_a_photo_alone_has_no_features_of_theirs(
    scene: Path, sift_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = scene / "run-alone"
    train(Request(scene, ["sim"], run, validation="test"), "matching", {"hloc_features": str(sift_file)})
    photo = open_section(scene / "test").frames[0].paths["rgb"]
    assert main(["localize", str(run), str(photo)]) == 1
    assert "needs its own from there: transpose hloc" in capsys.readouterr().err
