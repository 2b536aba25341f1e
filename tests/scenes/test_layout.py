import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import exp_se3
from transpose.scenes import files, open_section, split_section_path
from transpose.scenes.facts import read_scene_facts
from transpose.scenes.layout import section_names
from transpose.scenes.writer import FrameLabels, SectionWriter


def write_section(scene: Path, name: str = "train", frames: int = 3, as_png: bool = True) -> Path:
    rng = np.random.default_rng(0)
    writer = SectionWriter(scene, name, {"a": 1}, as_png)
    for k in range(frames):
        depth = rng.uniform(1, 5, (48, 64)).astype(np.float32)
        depth[:5] = np.nan
        labels = FrameLabels(depth, rng.uniform(-1, 1, (3, 6, 8)), None, rng.integers(0, 6, (48, 64)))
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        writer.add(f"f{k}", image, Pose(exp_se3(rng.uniform(-1, 1, 6))), Camera.from_focal(60, 64, 48), labels)
    return writer.finish({"made": "by a test"}, origin=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("as_png", [True, False])
def test_what_is_written_is_read(tmp_path: Path, as_png: bool) -> None:
    section = open_section(write_section(tmp_path / "scene", as_png=as_png))
    assert len(section) == 3
    assert section.has("depth")
    frame = section.frames[2]
    assert frame.camera == Camera.from_focal(60, 64, 48)
    rng = np.random.default_rng(0)
    for _ in range(3):
        depth = rng.uniform(1, 5, (48, 64)).astype(np.float32)
        coordinates = rng.uniform(-1, 1, (3, 6, 8))
        semantics = rng.integers(0, 6, (48, 64))
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        T_wc = exp_se3(rng.uniform(-1, 1, 6))
    assert np.allclose(frame.pose.T_wc, T_wc, atol=1e-12)
    assert np.array_equal(frame.image(), image)
    assert np.abs(frame.depth()[5:] - depth[5:]).max() < 1e-3
    assert np.isnan(frame.depth()[:5]).all()
    assert np.allclose(frame.coordinates(), coordinates)
    assert np.array_equal(files.read_semantics(frame.paths["semantics"]), semantics)
    facts = read_scene_facts(tmp_path / "scene")
    assert facts["origin"] == [1, 2, 3]
    assert facts["sections"]["train"]["depth"] == ("png_mm" if as_png else "npz_m")


def test_tables_may_begin_with_a_mark(tmp_path: Path) -> None:
    """Some editors put one before text in UTF-8."""
    (tmp_path / "c.txt").write_text("60\n", encoding="utf-8-sig")
    assert files.read_camera(tmp_path / "c.txt", 64, 48) == Camera.from_focal(60, 64, 48)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_tables_of_other_programs(tmp_path: Path, encoding: str) -> None:
    """Each holds the same pose."""
    T_wc = exp_se3(np.array([0.1, 0.2, -0.3, 1, 2, 3]))
    rows = [" ".join(map(repr, row)) for row in T_wc.tolist()]
    forms = {
        "plain": "\n".join(rows),
        "windows": "\r\n".join(rows),
        "3 rows": "\n".join(rows[:3]),
        "a line": " ".join(rows),
        "a line of 12": " ".join(rows[:3]),
        "commas": "\n".join(row.replace(" ", ", ") + "," for row in rows),
        "numpy": "[[" + "]\n [".join(rows) + "]]",
        "a list": str(T_wc.tolist()),
        "matlab": "[" + ";\n".join(rows) + "]",
    }
    for name, text in forms.items():
        path = tmp_path / f"{name}.txt"
        path.write_bytes(text.encode(encoding))
        assert np.allclose(files.read_pose(path).T_wc, T_wc, atol=1e-12), name
    (tmp_path / "decimal commas.txt").write_text("\n".join(rows).replace(".", ","))
    with pytest.raises(TransposeError, match="its pose has shape"):
        files.read_pose(tmp_path / "decimal commas.txt")


@pytest.mark.parametrize(
    "lost", ["-inf -inf -inf -inf\n" * 4, "nan " * 16, "-1.#INF 1.#QNAN 0 0\n" * 4, "1 0 0 NaN\n" * 3]
)
def test_frames_that_other_programs_lost_are_left_out(
    tmp_path: Path, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_section(tmp_path / "scene")
    (path / "poses" / "f1.txt").write_text(lost)
    with pytest.raises(TransposeError, match=r"f1\.txt holds NaN or infinite"):  # ours never are
        open_section(path).frames[1].pose  # noqa: B018
    (path / "section.json").unlink()
    (path.parent / "scene.json").unlink()
    with caplog.at_level(logging.WARNING):
        section = open_section(path)
    assert [frame.stem for frame in section.frames] == ["f0", "f2"]
    assert "1 of 3 frames have no pose and are left out: f1" in caplog.text
    for name in ("f0", "f2"):
        (path / "poses" / f"{name}.txt").write_text(lost)
    with pytest.raises(TransposeError, match="holds no pose: all are NaN or infinite"):
        open_section(path)


@pytest.mark.parametrize("layer", ["rgb", "depth", "init", "semantics", "poses", "calibration"])
def test_pointers_of_git_lfs_are_named(tmp_path: Path, layer: str) -> None:
    frame = open_section(write_section(tmp_path / "scene")).frames[0]
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    frame.paths[layer].write_text(pointer)
    read = {
        "rgb": frame.image,
        "depth": lambda: files.read_depth(frame.paths["depth"]),
        "init": frame.coordinates,
        "semantics": frame.semantics,
        "poses": lambda: frame.pose,
        "calibration": lambda: files.read_camera(frame.paths["calibration"], 64, 48),
    }
    with pytest.raises(TransposeError, match="a pointer of Git LFS") as caught:
        read[layer]()
    assert frame.paths[layer].name in str(caught.value)


def test_depth_of_cells_is_known_or_nan(tmp_path: Path) -> None:
    path = write_section(tmp_path / "scene", frames=1)
    (path / "depth" / "f0.png").unlink()
    torch.save(torch.tensor([[2.0, 0, -1], [-3, np.inf, np.nan]]), path / "depth" / "f0.dat")
    assert open_section(path).frames[0].cell_depth().tolist()[0][0] == 2.0
    assert np.isnan(open_section(path).frames[0].cell_depth().reshape(-1)[1:]).all()


def test_full_intrinsics_survive(tmp_path: Path) -> None:
    camera = Camera(64, 48, 60, 61, 30, 25)
    files.write_camera(tmp_path / "c.txt", camera)
    assert files.read_camera(tmp_path / "c.txt", 64, 48) == camera


@pytest.mark.parametrize("fourth_row", ["", "-0.1 0.01 0\n"])
def test_intrinsics_with_skew_are_refused_by_name(tmp_path: Path, fourth_row: str) -> None:
    (tmp_path / "c.txt").write_text("60 7 30\n0 61 25\n0 0 1\n" + fourth_row)
    with pytest.raises(TransposeError, match=r"c\.txt.*skew of 7 px"):
        files.read_camera(tmp_path / "c.txt", 64, 48)


def test_foreign_marks_of_invalid_labels_become_nan(tmp_path: Path) -> None:
    map_3hw = torch.ones(3, 2, 2)
    map_3hw[:, 0, 0], map_3hw[:, 1, 1] = 0, -1
    torch.save(map_3hw, tmp_path / "x.dat")
    read = files.read_map(tmp_path / "x.dat")
    assert np.isnan(read[:, [0, 1], [0, 1]]).all()
    assert (read[:, [0, 1], [1, 0]] == 1).all()
    cv2.imwrite(str(tmp_path / "d.png"), np.array([[0, 65535, 1500]], np.uint16))
    assert np.isnan(files.read_depth(tmp_path / "d.png")[0, :2]).all()
    assert files.read_depth(tmp_path / "d.png")[0, 2] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        ("pose missing", "poses lacks the frames f1"),
        ("pose extra", "poses has files without an image in rgb: zz"),
        ("depth extra", "depth has files without an image"),
        ("no images", "holds no images"),
        ("two images", "two files for frame f0"),
        ("not there", "is not a section folder; sections here: train"),
    ],
)
def test_mismatches_are_named(tmp_path: Path, breakage: str, words: str) -> None:
    path = write_section(tmp_path / "scene")
    if breakage == "pose missing":
        (path / "poses" / "f1.txt").unlink()
    elif breakage == "pose extra":
        (path / "poses" / "zz.txt").write_text("1")
    elif breakage == "depth extra":
        (path / "depth" / "zz.png").write_bytes(b"")
    elif breakage == "no images":
        for image in (path / "rgb").iterdir():
            image.unlink()
    elif breakage == "two images":
        (path / "rgb" / "f0.jpg").write_bytes(b"")
    else:
        path = path.with_name("tset")
    with pytest.raises(TransposeError, match=words):
        open_section(path)


@pytest.mark.parametrize(
    ("layer", "content", "words"),
    [
        ("poses", "", "is empty"),
        ("poses", "1 0 0 0\n0 1 0 0\n0 0 nan 0\n0 0 0 1\n", "NaN"),
        ("poses", "2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n", "not a rigid pose"),
        ("poses", "1 2 3\n", "4 rows"),
        ("poses", "hello\n", "table of numbers"),
        ("calibration", "-5\n", "positive"),
        ("calibration", "1 2\n", "one focal length"),
        ("rgb", "no image", "not a readable image"),
        ("depth", "no image", "depth"),
        ("init", "no tensor", "cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, layer: str, content: str, words: str) -> None:
    frame = open_section(write_section(tmp_path / "scene")).frames[0]
    frame.paths[layer].write_text(content)
    frame = open_section(tmp_path / "scene" / "train").frames[0]
    read = {
        "poses": lambda: frame.pose,
        "calibration": lambda: frame.camera,
        "rgb": frame.image,
        "depth": lambda: files.read_depth(frame.paths["depth"]),
        "init": frame.coordinates,
    }
    with pytest.raises(TransposeError, match=words) as caught:
        read[layer]()
    assert frame.paths[layer].name in str(caught.value)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_truncated_image_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    files.read_image(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(TransposeError, match=r"truncated|not a readable"):
        files.read_image(path)


def test_sizes_must_agree(tmp_path: Path) -> None:
    frame = open_section(write_section(tmp_path / "scene")).frames[0]
    cv2.imwrite(str(frame.paths["depth"]), np.ones((10, 10), np.uint16))
    with pytest.raises(TransposeError, match="10 x 10 pixels, its image 64 x 48"):
        frame.depth()


def test_a_section_that_was_cut_off_is_not_taken_for_whole_and_goes_on(tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    camera, pose = Camera.from_focal(60, 64, 48), Pose(np.eye(4))
    image = np.zeros((48, 64, 3), np.uint8)
    SectionWriter(scene, "train", {"views": 2}).add("a", image, pose, camera, FrameLabels())
    assert section_names(scene) == [] == section_names(tmp_path / "nowhere")
    with pytest.raises(TransposeError, match="not a section"):
        open_section(scene / "train")
    again = SectionWriter(scene, "train", {"views": 2})
    assert again.is_done("a")
    assert not again.is_done("b")
    other = SectionWriter(scene, "train", {"views": 3})
    assert not other.is_done("a")
    with pytest.raises(TransposeError, match="no frame was written"):
        other.finish({})


def test_endings_in_capitals_are_seen(tmp_path: Path) -> None:
    """Cameras write DSC_0001.JPG; a section made of such files by hand is a section."""
    path = write_section(tmp_path / "scene", as_png=False)
    for file in [file for layer in path.iterdir() if layer.is_dir() for file in layer.iterdir()]:
        file.rename(file.with_suffix(file.suffix.upper()))
    (path / "rgb" / "f1.PNG").rename(path / "rgb" / "f1.Png")
    (path / "rgb" / "._f1.PNG").write_bytes(b"what macOS leaves")
    section = open_section(path)
    assert [frame.stem for frame in section.frames] == ["f0", "f1", "f2"]
    assert section.has("depth") and section.has("init") and section.has("semantics")
    for frame in section.frames:
        assert frame.image().shape == (48, 64, 3) and np.isnan(frame.depth()[:5]).all()
        assert frame.coordinates().shape == (3, 6, 8) and frame.semantics().shape == (48, 64)


@pytest.mark.parametrize("text", ["/", "..", "scene/.."])
def test_section_paths_need_a_name(text: str) -> None:
    with pytest.raises(TransposeError, match="SCENE/SECTION"):
        split_section_path(text)


def test_depth_in_other_files_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_section(tmp_path / "scene")
    for each in (path / "depth").iterdir():
        each.rename(each.with_suffix(".npy"))
    assert not open_section(path).has("depth")
    assert "f0.npy, f1.npy, f2.npy are not read; depth is to be .png or .npz" in caplog.text


@pytest.mark.parametrize("stem", ["../../evil", "a/b", "", ".hidden", "a\\b", "a\0b", "x" * 250])
def test_no_frame_is_written_outside_of_its_section(tmp_path: Path, stem: str) -> None:
    camera, image_hw3 = Camera.from_focal(60.0, 64, 48), np.zeros((48, 64, 3), np.uint8)
    writer = SectionWriter(tmp_path / "scene", "train", {})
    before = set(tmp_path.rglob("*"))
    for add in (
        lambda: writer.add(stem, image_hw3, Pose(np.eye(4)), camera, FrameLabels()),
        lambda: writer.link(stem, {"poses": tmp_path / "pose.txt"}),
        lambda: writer.link_labels(stem, {}, image_hw3),
    ):
        with pytest.raises(TransposeError, match="cannot be called"):
            add()
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("origin", [0.0, 5_300_000.0])
def test_coordinates_keep_their_digits_far_from_the_origin(tmp_path: Path, origin: float) -> None:
    """Those of a map projection, in metres; near it they are as DSAC* has them."""
    points_3hw = origin + np.random.default_rng(0).uniform(-50, 50, (3, 6, 8))
    points_3hw[:, 2, 3] = np.nan
    files.write_map(tmp_path / "a.dat", points_3hw)
    read = files.read_map(tmp_path / "a.dat")
    assert read.dtype == (np.float64 if origin else np.float32)
    np.testing.assert_allclose(read, points_3hw, atol=1e-5)


def test_labels_that_a_program_learned_are_numbers_like_others(tmp_path: Path) -> None:
    """Found by the fuzzer: a tensor that was saved with its gradient."""
    torch.save(torch.ones(3, 6, 8, requires_grad=True), tmp_path / "a.dat")
    assert (files.read_map(tmp_path / "a.dat") == 1).all()
