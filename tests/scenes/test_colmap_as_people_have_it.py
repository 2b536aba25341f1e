"""COLMAP projects as other programs and people write them: what is read is right, or refused, or said."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scenes.test_posed_photos import LENS, NAMES, POSES, project, write_binary_model, write_text_model
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.poses import pose_error
from transpose.scenes.layout import open_section
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.colmap_files import ColmapModel, find_model, read_model
from transpose.scenes.setup.photo_files import listed, locate, plain_name, stem_of

__all__ = ["project"]  # a fixture


def edit(path: Path, change: Callable[[str], str], encoding: str = "utf-8") -> None:
    path.write_bytes(change(path.read_text()).encode(encoding))


def same(a: ColmapModel, b: ColmapModel) -> None:
    assert a.cameras == b.cameras == {1: LENS}
    assert [image.name for image in a.images] == [image.name for image in b.images]
    for one, other in zip(a.images, b.images, strict=True):
        assert np.array_equal(one.pose.T_wc, other.pose.T_wc)
        assert np.array_equal(a.seen_in(one), b.seen_in(other))


def test_the_forms_of_text(tmp_path: Path) -> None:
    """Each says the same as the plain one."""
    write_text_model(tmp_path / "plain")
    plain = read_model(tmp_path / "plain")

    def windows_names(text: str) -> str:
        return text.replace("left/", "left\\")

    forms: dict[str, tuple[str, Callable[[str], str], str]] = {
        "mark": ("*.txt", str, "utf-8-sig"),
        "powershell": ("*.txt", str, "utf-16"),
        "utf-16 without mark": ("*.txt", str, "utf-16-le"),
        "windows ends": ("*.txt", lambda text: text.replace("\n", "\r\n"), "utf-8"),
        "floats": ("cameras.txt", lambda text: text.replace("64 48 ", "64.0 48.0 "), "utf-8"),
        "commas": ("cameras.txt", lambda text: text.replace(" ", ", "), "utf-8"),
        "small letters": ("cameras.txt", str.lower, "utf-8"),
        "uint64": ("images.txt", lambda text: text.replace(" -1 ", " 18446744073709551615 "), "utf-8"),
        "ids as floats": ("images.txt", lambda text: text.replace(" 7 ", " 7.0 ").replace(" -1 ", " -1.0 "), "utf-8"),
        "backslashes": ("images.txt", windows_names, "utf-8"),
        "dots": ("images.txt", lambda text: text.replace(" left/", " ./left//"), "utf-8"),
        "an unused lens": ("cameras.txt", lambda text: text + "2 OPENCV_FISHEYE 64 48 1 1 1 1 0 0 0 0\n", "utf-8"),
        "an unknown lens": ("cameras.txt", lambda text: text + "2 NEW 64 48 1 1 1\n", "utf-8"),
        "no points file": ("points3D.txt", str, "utf-8"),
    }
    for name, (pattern, change, encoding) in forms.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "plain", folder)
        for path in folder.glob(pattern):
            edit(path, change, encoding)
        same(read_model(folder), plain)


def test_names_keep_their_blanks_and_commas(tmp_path: Path) -> None:
    write_text_model(tmp_path)
    edit(tmp_path / "images.txt", lambda text: text.replace(" a.jpg", "  my  photo, 1.jpg  "))
    assert "my  photo, 1.jpg" in {image.name for image in read_model(tmp_path).images}


@pytest.mark.parametrize("which", ["all", "one"])
def test_second_lines_that_are_missing_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, which: str) -> None:
    write_text_model(tmp_path)
    plain = read_model(tmp_path)
    lines = (tmp_path / "images.txt").read_text().splitlines()[1:]
    kept = lines[::2] if which == "all" else [line for i, line in enumerate(lines) if i != 3]
    (tmp_path / "images.txt").write_text("\n".join(kept) + "\n")
    with caplog.at_level(logging.WARNING):
        model = read_model(tmp_path)
    assert f"{3 if which == 'all' else 1} images lack their second line" in caplog.text
    for image, expected in zip(model.images, plain.images, strict=True):
        assert image.name == expected.name and np.array_equal(image.pose.T_wc, expected.pose.T_wc)
    assert len(model.seen_in(model.images[0])) == (0 if which == "all" else 2)


def test_a_broken_second_line_is_no_image(tmp_path: Path) -> None:
    write_text_model(tmp_path)
    edit(tmp_path / "images.txt", lambda text: text.replace("1.5 2.5 7 3.5", "1.5 2.5 7 3.5 3.5"))
    with pytest.raises(TransposeError, match=r"images.txt, line 3: expected .* then a line of the points seen"):
        read_model(tmp_path)


def test_an_id_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    write_text_model(tmp_path)
    (tmp_path / "points3D.txt").write_text(f"{2**64 - 1} 1 2 3 0 0 0 1\n")
    with pytest.raises(TransposeError, match=r"points3D\.txt, line 1: expected `id x y z"):
        read_model(tmp_path)


@given(
    wide=st.integers(1, 9999),
    ids=st.lists(st.one_of(st.integers(-1, 2**63 - 1), st.just(2**64 - 1)), max_size=5),
    name=st.text("abc ._-,é(1)", min_size=1).filter(lambda name: name.strip(" ,") == name),
    space=st.sampled_from([" ", "\t", "  ", ", "]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_in_any_form_is_read(
    tmp_path_factory: pytest.TempPathFactory, wide: int, ids: list[int], name: str, space: str
) -> None:
    folder = tmp_path_factory.mktemp("m")
    (folder / "cameras.txt").write_text(space.join(["1", "PINHOLE", f"{wide}.0", "48", "5e1", "50", "1", "2"]))
    seen = space.join(word for each in ids for word in ("1.5", "2.5", str(each)))
    header = space.join(["3", "1", "0", "0", "0", "0.25", "-2", "3", "1", name])
    (folder / "images.txt").write_text(f"{header}\n{seen}\n", encoding="utf-8")
    model = read_model(folder)
    (image,) = model.images
    assert model.cameras[1].width == wide and model.cameras[1].fx == 50
    assert image.name == plain_name(name)
    assert image.pose.center.tolist() == [-0.25, 2, -3]
    assert image.point_ids_m.tolist() == [-1 if each == 2**64 - 1 else each for each in ids]


def test_images_that_were_not_registered_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_text_model(tmp_path)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    lines[3] = "2 nan nan nan nan nan nan nan 1 left/b.jpg"
    (tmp_path / "images.txt").write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING):
        assert [image.name for image in read_model(tmp_path).images] == ["a.jpg", "left/c.png"]
    assert "1 of 3 images have no pose and are left out: left/b.jpg" in caplog.text
    (tmp_path / "images.txt").write_text("2 0 0 0 0 0 0 0 1 left/b.jpg\n\n")
    with pytest.raises(TransposeError, match="poses of all images are none"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    "place", ["", "sparse", "sparse/0", "colmap/sparse/0", "dense/sparse", "distorted/sparse/0", "0"]
)
@pytest.mark.parametrize("write", [write_text_model, write_binary_model])
def test_models_are_found_where_programs_put_them(
    project: Path, tmp_path: Path, place: str, write: Callable[[Path], None]
) -> None:
    write(project / place)
    (project / place / "rigs.bin").write_bytes(b"\0" * 8)  # of COLMAP 3.12, which has both
    (project / place / "frames.bin").write_bytes(b"\0" * 8)
    assert find_model(project) == project / place
    setup_colmap(project, tmp_path / "scene")
    frames = open_section(tmp_path / "scene" / "train").frames
    assert [frame.stem for frame in frames] == ["a", "left-b", "left-c"]
    assert max(pose_error(frames[2].pose, POSES[2])) < 1e-5


def test_the_largest_of_several_models_is_taken(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, write in (("0", write_text_model), ("1", write_binary_model), ("10", write_text_model)):
        write(project / "sparse" / name)
    path = project / "sparse" / "0" / "images.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with caplog.at_level(logging.WARNING):
        assert find_model(project).name == "1"
    assert "1 with 3" in caplog.text and "0 with 1, 10 with 3" in caplog.text and "--source" in caplog.text
    setup_colmap(project / "sparse" / "0", tmp_path / "scene", "smaller")
    assert len(open_section(tmp_path / "scene" / "smaller")) == 1


@pytest.mark.parametrize("place", ["input", "rgb", "images_2", "sparse/0", ""])
def test_photos_are_found_where_programs_put_them(project: Path, tmp_path: Path, place: str) -> None:
    write_text_model(project / "sparse" / "0")
    for path in [p for p in (project / "images").rglob("*") if p.is_file()]:
        moved = project / place / path.relative_to(project / "images")
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    shutil.rmtree(project / "images")
    setup_colmap(project, tmp_path / "scene")
    assert len(open_section(tmp_path / "scene" / "train")) == 3


def test_photos_elsewhere_need_an_option(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text_model(project / "sparse" / "0")
    (project / "images").rename(tmp_path / "elsewhere")
    words = ["setup", "colmap", "--source", str(project), "--out", str(tmp_path / "scene")]
    assert main(words) == 1
    err = capsys.readouterr().err.strip()
    assert "3 of 3 photos of section train are missing: a.jpg, left/b.jpg, left/c.png" in err
    assert str(project) in err and "--images" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "scene").exists()
    assert main([*words, "--images", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert main([*words, "--images", str(tmp_path / "elsewhere")]) == 0
    assert len(open_section(tmp_path / "scene" / "train")) == 3


def test_a_photo_that_is_missing_is_left_out(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_text_model(project / "sparse" / "0")
    (project / "images" / "left" / "b.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        setup_colmap(project, tmp_path / "scene")
    said, unit = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "the unit of its poses" in unit
    assert said == "1 of 3 photos of section train are missing and are left out: left/b.jpg"
    assert [frame.stem for frame in open_section(tmp_path / "scene" / "train").frames] == ["a", "left-c"]
    # What a list does not name may be missing without a word.
    (project / "some.txt").write_text("images/a.jpg\r\nleft\\c.png\r\n", encoding="utf-16")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        setup_colmap(project, tmp_path / "scene", "listed", project / "some.txt")
    assert [record for record in caplog.records if "are missing" in record.message] == []
    assert len(open_section(tmp_path / "scene" / "listed")) == 2


def test_undistorted_photos_do_not_stand_in_for_distorted_ones(project: Path, tmp_path: Path) -> None:
    """Gaussian splatting keeps the photos of `distorted/sparse` in `input`, others of the same names in `images`."""
    write_text_model(project / "distorted" / "sparse" / "0")
    shutil.copytree(project / "images", project / "input")
    for name in NAMES:
        (project / "images" / name).write_bytes(b"another photo")
    (project / "input" / "a.jpg").unlink()
    setup_colmap(project, tmp_path / "scene")
    assert [frame.stem for frame in open_section(tmp_path / "scene" / "train").frames] == ["left-b", "left-c"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        (["a.jpg"], "a.jpg", "a.jpg"),
        (["a.JPG"], "a.jpg", "a.JPG"),
        (["A.jpg", "a.jpg"], "a.jpg", "a.jpg"),
        (["a.jpeg"], "a", "a.jpeg"),
        (["a.JPG"], "a", "a.JPG"),
        (["a.png", "a.jpg"], "a", "a.png"),
        (["r_0.5.png"], "r_0.5", "r_0.5.png"),
        (["a.jpg"], "a.png", "a.jpg"),
        (["a.txt"], "a", None),
        (["images/a.jpg"], "C:/me/project/images/a.jpg", "images/a.jpg"),
        (["left/a.jpg"], "/home/me/project/left/a.jpg", "left/a.jpg"),
        (["right/a.jpg"], "left/a.jpg", None),
        (["b  c.jpg"], "b  c.jpg", "b  c.jpg"),
        (["e\u0301te\u0301.jpg"], "\u00e9t\u00e9.JPG", "e\u0301te\u0301.jpg"),  # as macOS writes it
    ],
)
def test_a_name_finds_its_file(tmp_path: Path, there: list[str], name: str, found: str | None) -> None:
    touch(tmp_path, *there)
    path = locate([name], [tmp_path])[name]
    assert path == tmp_path / (found or name) and path.is_file() == (found is not None)


def test_no_file_is_two_photos(tmp_path: Path) -> None:
    """Neither photo may be the file that could be either; and one that is named exactly is nobody else's."""
    touch(tmp_path, "a.jpg", "b.jpg")
    places = locate(["left/a.jpg", "right/a.jpg", "b.jpg", "b.png"], [tmp_path])
    assert [name for name, path in places.items() if path.is_file()] == ["b.jpg"]


def test_another_ending_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.jpg", "b.JPG")
    with caplog.at_level(logging.WARNING):
        locate(["a.tif", "b.jpg"], [tmp_path])
    assert "1 photos are there under another ending, such as a.jpg for a.tif" in caplog.text


def test_stems_tell_numbered_names_apart() -> None:
    assert stem_of("left/frame.0001") == "left-frame.0001" != stem_of("left/frame.0002")
    assert stem_of("C:/x/a.b.jpg") == "C-x-a.b"
    assert plain_name(".\\left\\a.jpg") == "left/a.jpg"


class Photo:
    def __init__(self, name: str) -> None:
        self.name, self.image = name, Path("project/images") / name


def test_lists_name_photos_as_people_write_them(tmp_path: Path) -> None:
    photos = [Photo(name) for name in ("a.jpg", "left/b.jpg", "my  photo.jpg", "right/b.jpg")]
    path = tmp_path / "list.txt"
    path.write_text("# test photos\n my  photo.jpg\nimages/a.jpg left-b\na\n")
    assert listed(photos, path) == [photos[2], photos[0], photos[1]]
    for text, message in (
        ("b.jpg", "names b.jpg, which is not unique: left/b.jpg, right/b.jpg"),
        ("\n#\n", "is empty"),
    ):
        path.write_text(text)
        with pytest.raises(TransposeError, match=message):
            listed(photos, path)


@pytest.mark.parametrize("name", ["images.bin", "points3D.bin", "cameras.bin"])
def test_pointers_of_git_lfs_are_named(project: Path, tmp_path: Path, name: str) -> None:
    write_binary_model(project / "sparse")
    (project / "sparse" / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(TransposeError, match=rf"{name} is a pointer of Git LFS, not the file itself; .*git lfs pull"):
        setup_colmap(project, tmp_path / "scene")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("database.db", "colmap mapper"),
        ("cameras.xml", "export its cameras as COLMAP"),
        ("transforms.json", "transpose setup nerfstudio"),
        ("bundle.out", "transpose setup photos"),
    ],
)
def test_projects_of_others_are_told_what_to_do(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"0")
    with pytest.raises(TransposeError, match=message):
        read_model(tmp_path)


def test_a_model_without_points_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_text_model(tmp_path)
    (tmp_path / "points3D.txt").unlink(missing_ok=True)
    read_model(tmp_path)
    assert "points3D.txt is not there" in caplog.text
