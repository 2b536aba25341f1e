"""12-Scenes and Cambridge Landmarks, written in miniature as they are published, quirks included."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scenes.hidden_files import with_hidden_twins
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose, exp_so3, pose_error, quaternion_wxyz, transform
from transpose.scenes import files
from transpose.scenes.layout import open_section
from transpose.scenes.setup import archives, twelvescenes
from transpose.scenes.setup.archives import obtain, unpack
from transpose.scenes.setup.cambridge import read_nvm, setup_cambridge
from transpose.scenes.setup.twelvescenes import setup_12scenes

POSES = [Pose(compose(exp_so3(np.array([0.1, -0.2 * i, 0.05])), np.array([i, 1.0, 0.5]))) for i in range(6)]


def write_room(room: Path) -> None:
    """Six frames, the first two test; the last has lost its pose."""
    data = room / "data"
    data.mkdir(parents=True)
    color_K, depth_K = "80 0 47.5 0 0 80 35.5 0 0 0 1 0 0 0 0 1", "40 0 23.5 0 0 40 17.5 0 0 0 1 0 0 0 0 1"
    (room / "info.txt").write_text(
        "m_versionNumber = 4\nm_sensorName = StructureSensor\nm_colorWidth = 96\nm_colorHeight = 72\n"
        f"m_depthWidth = 48\nm_depthHeight = 36\nm_depthShift = 1000\nm_calibrationColorIntrinsic = {color_K} \n"
        "m_calibrationColorExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 \n"
        f"m_calibrationDepthIntrinsic = {depth_K}\nm_calibrationDepthExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\n"
    )
    (room / "split.txt").write_text(
        "sequence0 [frames=2]  [start=0 ; end=1]\nsequence1 [frames=4]  [start=2 ; end=5]\n"
    )
    for i, pose in enumerate(POSES):
        stem = data / f"frame-{i:06d}"
        files.write_image(Path(f"{stem}.color.jpg"), np.full((72, 96, 3), 40 * i, np.uint8), 95)
        depth = np.full((36, 48), 2000, np.uint16)
        depth[0, 0] = 65535
        cv2.imwrite(f"{stem}.depth.png", depth)
        lost = "\n".join(["-1.#INF -1.#INF -1.#INF -1.#INF".replace("-1.#INF", "-inf")] * 4)
        text = lost if i == 5 else "\n".join(" ".join(map(str, row)) for row in pose.T_wc)
        Path(f"{stem}.pose.txt").write_text(text + "\n")


def test_a_room_is_split_by_its_first_sequence(tmp_path: Path) -> None:
    write_room(tmp_path / "apt1" / "kitchen")
    setup_12scenes(tmp_path / "apt1" / "kitchen", tmp_path / "scene")
    test, train = (open_section(tmp_path / "scene" / name) for name in ("test", "train"))
    assert [frame.stem for frame in test.frames] == ["frame-000000", "frame-000001"]
    assert test.facts.licence == twelvescenes.LICENCE
    assert [frame.stem for frame in train.frames] == ["frame-000002", "frame-000003", "frame-000004"]
    frame = train.frames[0]
    assert max(pose_error(frame.pose, POSES[2])) < 1e-6
    assert (frame.camera.fx, frame.camera.cx, frame.camera.cy) == (80.0, 48.0, 36.0)  # pixel centres at halves
    depth_hw = frame.depth()
    assert depth_hw.shape == (72, 96)
    assert np.isfinite(depth_hw).mean() > 0.95 and np.nanmax(np.abs(depth_hw - 2)) < 1e-3


def test_the_first_sequence_is_told_by_the_numbers_of_frames(tmp_path: Path) -> None:
    """Also where one of its images is not there, and beside hidden files."""
    write_room(tmp_path / "apt1" / "kitchen")
    data = tmp_path / "apt1" / "kitchen" / "data"
    (data / "frame-000000.color.jpg").unlink()
    (data / "frame-000003.color.jpg").rename(data / "frame-000003.color.JPG")
    with_hidden_twins(tmp_path / "apt1")
    setup_12scenes(tmp_path / "apt1" / "kitchen", tmp_path / "scene")
    test, train = (open_section(tmp_path / "scene" / name) for name in ("test", "train"))
    assert [frame.stem for frame in test.frames] == ["frame-000001"]
    assert [frame.stem for frame in train.frames] == ["frame-000002", "frame-000003", "frame-000004"]


def test_all_rooms_of_a_folder_become_scenes(tmp_path: Path) -> None:
    for room in ("kitchen", "living"):
        write_room(tmp_path / "raw" / "apt1" / room)
    assert main(["setup", "12scenes", "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["apt1_kitchen", "apt1_living"]
    with pytest.raises(TransposeError, match="holds 2 rooms"):
        setup_12scenes(tmp_path / "raw", tmp_path / "out", "train")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("info.txt", "m_colorWidth = 96\n", "lacks m_calibrationColorIntrinsic"),
        ("split.txt", "nothing", "does not begin with"),
        ("data/frame-000003.pose.txt", "1 2 3", "not 4 rows"),
        ("data/frame-000003.pose.txt", "a b c", "does not hold a table of numbers"),
        ("data/frame-000003.color.jpg", "", "is empty; copy it again"),
    ],
)
def test_broken_rooms_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_room(tmp_path / "room")
    (tmp_path / "room" / name).write_text(content)
    with pytest.raises(TransposeError, match=message):
        setup_12scenes(tmp_path / "room", tmp_path / "scene")
    assert not (tmp_path / "scene" / "train").exists()


POINTS = np.array([[0.2, 0.1, 6.0], [0.2, 0.1, 9.0], [-1.0, 0.5, 7.0], [0.0, 0.0, 2000.0]])


def write_street(scene: Path) -> None:
    """Three photos: one upright, one with a pose but not in the model."""
    names = ["seq1/frame00001.png", "seq1/frame00002.png", "seq2/frame00001.png"]
    sizes = [(64, 96), (96, 64), (64, 96)]
    for name, size in zip(names, sizes, strict=True):
        (scene / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_image(scene / name, np.full((*size, 3), 90, np.uint8))
    focal = (70.0, 75.0)
    cameras = [
        f"{name.replace('.png', '.jpg')}\t{f} 1 0 0 0 0 0 0 -0.01 0" for name, f in zip(names[:2], focal, strict=True)
    ]
    points = [" ".join(map(str, p)) + " 1 2 3 2 0 5 1.0 2.0 1 6 3.0 4.0" for p in POINTS]
    (scene / "reconstruction.nvm").write_text(
        "NVM_V3 \n\n2\n" + "\n".join(cameras) + f"\n\n{len(points)}\n" + "\n".join(points) + "\n\n\n0\n"
    )
    header = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"

    def line(i: int) -> str:
        q = quaternion_wxyz(POSES[i].T_cw[:3, :3])
        return " ".join([names[i], *map(str, POSES[i].center), *map(str, q)])

    (scene / "dataset_train.txt").write_text(header + "\n".join([line(0), line(2)]) + "\n")
    (scene / "dataset_test.txt").write_text(header + line(1) + "\n")


def test_a_street_keeps_its_photos_and_gets_sparse_labels(tmp_path: Path) -> None:
    write_street(tmp_path / "KingsCollege")
    setup_cambridge(tmp_path / "KingsCollege", tmp_path / "scene")
    train, test = (open_section(tmp_path / "scene" / name) for name in ("train", "test"))
    assert [frame.stem for frame in train.frames] == ["seq1-frame00001"]  # the other one has no focal length
    frame = train.frames[0]
    assert (frame.camera.width, frame.camera.height, frame.camera.fx) == (96, 64, 70.0)
    assert max(pose_error(frame.pose, POSES[0])) < 1e-6
    upright = test.frames[0].camera
    assert (upright.width, upright.height, upright.fx) == (64, 96, 75.0)
    map_3hw = frame.coordinates()
    assert map_3hw.shape == (3, 8, 12)
    # What falls into one cell is the nearest, and the far point is no label.
    px_n2 = frame.camera.project(transform(frame.pose.T_cw, POINTS))
    labels_n3 = map_3hw[:, np.isfinite(map_3hw[0])].T
    inside_n3 = [p for p, px in zip(POINTS[[0, 2]], px_n2[[0, 2]], strict=True) if (px >= 0).all()]
    assert np.allclose(labels_n3, inside_n3)


def test_photos_that_were_made_smaller_are_told(tmp_path: Path) -> None:
    """The model's focal length is in the pixels in which its points were measured."""
    write_street(tmp_path / "street")
    model = tmp_path / "street" / "reconstruction.nvm"
    model.write_text(model.read_text().replace("2 0 5 1.0 2.0", "2 0 5 -90.0 2.0"))
    with pytest.raises(TransposeError, match="has points 90 pixels from its middle: it was made smaller"):
        setup_cambridge(tmp_path / "street", tmp_path / "scene")
    assert not (tmp_path / "scene" / "train").exists()


def test_a_street_with_missing_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_street(tmp_path / "street")
    (tmp_path / "street" / "seq1" / "frame00001.png").unlink()
    with pytest.raises(TransposeError, match=r"1 of 1 photos .* are missing: seq1/frame00001\.png"):
        setup_cambridge(tmp_path / "street", tmp_path / "scene", "train")
    train, test = (tmp_path / "street" / f"dataset_{name}.txt" for name in ("train", "test"))
    line = test.read_text().splitlines()[-1]
    train.write_text(f"{train.read_text()}{line}\n".replace("/", "\\"), encoding="utf-16")
    with caplog.at_level("WARNING"):
        setup_cambridge(tmp_path / "street", tmp_path / "scene", "train")
    assert "1 of 2 photos of section train are missing and are left out: seq1/frame00001.png" in caplog.text
    assert "1 photos are not in the model" in caplog.text
    assert [f.stem for f in open_section(tmp_path / "scene" / "train").frames] == ["seq1-frame00002"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("reconstruction.nvm", "NVM_V3\n\n5\nx", "truncated, or no NVM_V3"),
        ("reconstruction.nvm", "something", "truncated, or no NVM_V3"),
        ("dataset_train.txt", "a\nb\nc\nseq1/frame00001.png 1 2 3\n", "line 4: expected"),
    ],
)
def test_broken_streets_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_street(tmp_path / "street")
    (tmp_path / "street" / name).write_text(content)
    with pytest.raises(TransposeError, match=message):
        setup_cambridge(tmp_path / "street", tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


def test_a_models_points_are_those_of_each_photo(tmp_path: Path) -> None:
    write_street(tmp_path / "street")
    model = read_nvm(tmp_path / "street" / "reconstruction.nvm")
    assert model.focal_px == {"seq1/frame00001": 70.0, "seq1/frame00002": 75.0}
    assert all(np.array_equal(points, POINTS) for points in model.points_m3.values())
    assert model.distorted == 2


def test_archives_ask_for_their_licence_and_unpack_what_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(url: str, path: Path) -> Path:
        with zipfile.ZipFile(path.parent / "seq-01.zip", "w") as inner:
            inner.writestr("seq-01/frame-000000.color.png", b"x")
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(path.parent / "seq-01.zip", "chess/seq-01.zip")
        (path.parent / "seq-01.zip").unlink()
        return path

    monkeypatch.setattr(archives, "fetch", fetched)
    with pytest.raises(TransposeError, match=r"non-commercial.*--accept-licence"):
        obtain("7scenes", tmp_path, ["chess"], accepted=False)
    with pytest.raises(TransposeError, match="has no attic"):
        obtain("7scenes", tmp_path, ["attic"], accepted=True)
    with pytest.raises(TransposeError, match="cannot be fetched directly"):
        obtain("epfl", tmp_path, [], accepted=True)
    obtain("7scenes", tmp_path, ["chess"], accepted=True)
    assert (tmp_path / "chess" / "seq-01" / "frame-000000.color.png").exists()
    assert not list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize("top", ["chess/", ""])
def test_half_an_archive_is_never_taken_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str
) -> None:
    """The disk is full in the middle: of the archive itself, or of one of the archives in it."""
    fetched = []

    def fetch(url: str, path: Path) -> Path:
        if path.exists():
            return path
        fetched.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        inner = path.with_name("inner")
        with zipfile.ZipFile(inner, "w") as content:
            for i in range(4):
                content.writestr(f"seq-01/{i}.txt", "x")
        with zipfile.ZipFile(path, "w") as content:
            content.writestr(f"{top}a.txt", "x")
            content.write(inner, f"{top}seq-01.zip")
            content.writestr(f"{top}z.txt", "x")
        inner.unlink()
        return path

    monkeypatch.setattr(archives, "fetch", fetch)
    extract = zipfile.ZipFile._extract_member  # type: ignore[attr-defined]
    for full in ("z.txt", "2.txt"):

        def dies(self: zipfile.ZipFile, member: object, *more: object, full: str = full) -> str:
            if full in str(member):
                raise OSError(28, "No space left on device")
            return str(extract(self, member, *more))

        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "_extract_member", dies)
            with pytest.raises(TransposeError, match=r"could not be unpacked .*No space left on device"):
                obtain("7scenes", tmp_path, ["chess"], accepted=True)
        assert [path.name for path in tmp_path.iterdir()] == ["chess.zip"]
    # What an earlier version left of such an accident.
    (tmp_path / "chess").mkdir()
    (tmp_path / "chess" / "a.txt").write_text("x")
    for _ in range(2):
        obtain("7scenes", tmp_path, ["chess"], accepted=True)
        files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
        assert files == ["chess/a.txt", *(f"chess/seq-01/{i}.txt" for i in range(4)), "chess/z.txt"]
    assert len(fetched) == 1


def test_an_archive_that_reaches_outside_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.txt", b"x")
    with pytest.raises(TransposeError, match="outside its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "in")
    (tmp_path / "b.zip").write_bytes(b"PK")
    with pytest.raises(TransposeError, match="is broken"):
        unpack(tmp_path / "b.zip", tmp_path / "in")
