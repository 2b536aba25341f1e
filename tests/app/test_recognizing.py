"""What inputs are taken for, by their content; what is not known or lacks something is told."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.app import miniatures
from tests.app.miniatures import MAKERS
from transpose.app.services.recognizing import KINDS, recognize
from transpose.errors import TransposeError
from transpose.worlds.world import World, save_world

for package in ("rasterio", "pyproj", "laspy"):
    pytest.importorskip(package, reason="pip install 'transpose-loc[geo]'")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_is_recognized_by_its_content(tmp_path: Path, name: str) -> None:
    make, kind, command = MAKERS[name]
    found, notes = recognize([make(tmp_path / name)])
    assert (found.kind, " ".join(found.words[:2]), notes) == (kind, command, [])
    assert found.what and found.saw
    assert found.holds == ("model" if found.words[0] == "build" else "photos")


@pytest.mark.parametrize("name", ["scan.obj", "scan.glb", "points.las", "room.r3d", "film.mp4"])
def test_a_file_alone_in_a_folder_is_found_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    path = MAKERS[name][0](tmp_path / "mine" / name)
    found, _ = recognize([tmp_path / "mine"])
    assert (found.kind, found.source) == (MAKERS[name][1], path)


@pytest.mark.parametrize(
    ("name", "new"), [("scan.glb", "scan.bin"), ("points.las", "points.xyz"), ("scan.obj", "a.txt")]
)
def test_a_wrong_name_is_corrected(tmp_path: Path, name: str, new: str) -> None:
    path = MAKERS[name][0](tmp_path / name).rename(tmp_path / new)
    with pytest.raises(TransposeError, match=f"rename it to {path.stem}.{name.rpartition('.')[2]}"):
        recognize([path])


def test_what_this_program_wrote(tmp_path: Path, box_world: World) -> None:
    world = save_world(box_world, tmp_path / "world")
    assert recognize([world])[0].holds == "world"
    (tmp_path / "run").mkdir()
    with zipfile.ZipFile(tmp_path / "run" / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    for path in (tmp_path / "run", tmp_path / "run" / "model.pt"):
        found, _ = recognize([path])
        assert (found.holds, found.source) == ("run", tmp_path / "run")
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "scene" / "train" / layer).mkdir(parents=True)
    assert recognize([tmp_path / "scene"])[0].holds == "scene"
    with pytest.raises(TransposeError, match="is a section of a scene; name the scene folder"):
        recognize([tmp_path / "scene" / "train"])


@pytest.mark.parametrize("name", ["kitchen", "apt1", "street"])
def test_the_only_scene_in_a_folder_is_it(tmp_path: Path, name: str) -> None:
    MAKERS[name][0](tmp_path / "archive" / name)
    found, _ = recognize([tmp_path / "archive"])
    assert (found.kind, found.source) == (MAKERS[name][1], tmp_path / "archive" / name)


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_within_a_folder_as_archives_leave_it(tmp_path: Path, name: str) -> None:
    make, kind, _ = MAKERS[name]
    (tmp_path / "outer" / "__MACOSX").mkdir(parents=True)
    if "." in name:
        (tmp_path / "outer" / "inner").mkdir()
    make(tmp_path / "outer" / "inner" / name if "." in name else tmp_path / "outer" / "inner")
    found, notes = recognize([tmp_path / "outer"])
    assert (found.kind, found.source.is_relative_to(tmp_path / "outer" / "inner")) == (kind, True)
    # Scenes of data sets are looked for within a folder anyway.
    assert notes == [f"it is inner/ in {tmp_path / 'outer'}"] or kind in ("7scenes", "12scenes", "cambridge", "arkit")


def test_a_broken_recording_within_a_folder_is_no_secret(tmp_path: Path) -> None:
    (MAKERS["walk"][0](tmp_path / "outer" / "walk") / "rgb.mp4").unlink()
    (tmp_path / "outer" / "readme.txt").write_text("a walk")
    with pytest.raises(TransposeError, match=r"looks like a recording of Stray Scanner but lacks rgb\.mp4"):
        recognize([tmp_path / "outer"])


def test_several_known_folders_in_one_are_told(tmp_path: Path) -> None:
    for name in ("poly", "walk"):
        MAKERS[name][0](tmp_path / "scans" / name)
    with pytest.raises(TransposeError, match=r"holds several folders that are known \(poly/: a raw .*, walk/"):
        recognize([tmp_path / "scans"])
    assert recognize([tmp_path / "scans"], "stray")[0].source == tmp_path / "scans" / "walk"


def test_two_rasters_by_name_in_either_order(tmp_path: Path) -> None:
    folder = miniatures.terrain(tmp_path / "t")
    for paths in ([folder / "d.tif", folder / "o.tif"], [folder / "o.tif", folder / "d.tif"], [folder / "o.tif"]):
        words = recognize(paths)[0].words
        assert words == ("build", "terrain", str(folder / "d.tif"), "--ortho", str(folder / "o.tif"))
    (folder / "o.tif").unlink()
    with pytest.raises(TransposeError, match="has heights but lacks colours"):
        recognize([folder / "d.tif"])
    with pytest.raises(TransposeError, match="is no file; of several inputs"):
        recognize([folder / "d.tif", folder])


def test_a_folder_that_could_be_several_things(tmp_path: Path) -> None:
    folder = miniatures.colmap(miniatures.nerfstudio(tmp_path / "both"))
    found, notes = recognize([folder])
    assert found.kind == "nerfstudio" and len(notes) == 1
    assert "it might be a COLMAP project as well" in notes[0] and "--kind colmap" in notes[0]
    assert recognize([folder], "colmap")[0].kind == "colmap"
    assert recognize([folder], "reconstruct")[0].kind == "reconstruct"
    with pytest.raises(TransposeError, match=r"does not look like stray: it holds images/, sparse/, 1 \.json"):
        recognize([folder], "stray")


def test_pictures_beside_a_model_are_not_what_it_is(tmp_path: Path) -> None:
    folder = miniatures.pictures(tmp_path / "park" / "images").parent
    miniatures.las(folder / "model.las")
    assert recognize([folder])[0].kind == "cloud"


def test_the_truth_of_7_scenes_is_used(tmp_path: Path) -> None:
    folder = MAKERS["kitchen"][0](tmp_path / "k")
    (folder / "pgt_sfm.txt").write_text("")
    assert recognize([folder])[0].words[-2:] == ("--poses", str(folder / "pgt_sfm.txt"))


def broken(folder: Path, kind: str) -> Path:
    match kind:
        case "missing":
            return folder / "nowhere"
        case "empty":
            folder.mkdir()
            return folder
        case "others":
            folder.mkdir()
            (folder / "notes.txt").write_text("hello")
            return folder
        case "7scenes":
            MAKERS["kitchen"][0](folder)
            for path in folder.glob("seq-*/*.pose.txt"):
                path.unlink()
            return folder
        case "tum":
            MAKERS["desk"][0](folder)
            (folder / "groundtruth.txt").unlink()
            return folder
        case "stray":
            MAKERS["walk"][0](folder)
            (folder / "rgb.mp4").unlink()
            return folder
        case "polycam":
            MAKERS["poly"][0](folder)
            for path in folder.glob("keyframes/*cameras/*"):
                path.unlink()
            return folder
        case "two scans":
            for name in ("scan-1", "scan-2"):
                MAKERS["app"][0](folder / name)
            return folder
        case "rooms" | "streets":
            for name in ("one", "two"):
                MAKERS["apt1" if kind == "rooms" else "street"][0](folder / name)
            return folder
        case "crossloc":
            (folder / "EPFL-LHS").mkdir(parents=True)
            return folder
        case "two meshes":
            for name in ("a.glb", "b.glb"):
                miniatures.mesh(folder / name)
            return folder
        case "few photos":
            return miniatures.pictures(folder, 2)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("empty", "is not recognized: it holds nothing; known: meshes"),
        ("others", r"is not recognized: it holds 1 \.txt, no pictures; known: meshes .OBJ, GLB"),
        ("7scenes", "7-Scenes' layout without poses .*have poses found"),
        ("tum", "TUM's layout .rgb.txt. without poses .*--poses FILE"),
        ("stray", "lacks rgb.mp4"),
        ("polycam", "without cameras .* raw data"),
        ("two scans", r"several recordings of ARKit .scan-1, scan-2.; name one"),
        ("rooms", "rooms of 12-Scenes .one, two.; name one"),
        ("streets", "scenes of Cambridge Landmarks .one, two.; name one"),
        ("crossloc", "of CrossLoc's data .* transpose setup epfl --source .* or comballaz"),
        ("two meshes", "several models .a.glb, b.glb.; name the one"),
        ("few photos", "2 pictures and no model; poses need 3"),
    ],
)
def test_what_lacks_something_is_told_what(tmp_path: Path, kind: str, words: str) -> None:
    with pytest.raises(TransposeError, match=words) as error:
        recognize([broken(tmp_path / "input", kind)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.dat", b"\0\1\2", "not recognized by its content .3 bytes"),
        ("x.glb", b"", "is empty"),
        ("x.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float f_dc_0\nend_header\n", "Gaussian splats"),
        ("x.json", b"{}", "not recognized"),
        ("x.json", b"{" * 9999, "not recognized"),
        ("x.zip", b"PK\x03\x04broken", "is an archive; unpack it"),
        ("x.pdf", b"%PDF-1.7", "a PDF document"),
        ("x.glb", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TransposeError, match=words):
        recognize([tmp_path / name])


def test_one_picture_is_no_place(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match=r"is one picture; .* transpose localize RUN PHOTO"):
        recognize([miniatures.png(tmp_path / "a.png")])


def test_a_kind_of_json_by_its_keys(tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text(json.dumps({"frames": []}))
    assert recognize([tmp_path / "cameras.json"])[0].kind == "nerfstudio"


def test_kinds_are_those_of_the_command() -> None:
    from typing import get_args, get_type_hints

    from transpose.app.commands.up import Up

    literal, _ = get_args(get_type_hints(Up)["kind"])
    assert get_args(literal) == KINDS


def test_numbers_of_faces_decide_what_a_ply_is(tmp_path: Path) -> None:
    path = miniatures.mesh(tmp_path / "m.ply")
    content = path.read_bytes().replace(b"element face 12", b"element face 0")
    assert np.frombuffer(content, np.uint8).size == path.stat().st_size - 1
    path.write_bytes(content)
    assert recognize([path])[0].kind == "cloud"
