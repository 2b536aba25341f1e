"""The unit of a scene: said by the user, by a file, by the scene, or not known; and never guessed without a word."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose, exp_so3, quaternion_wxyz
from transpose.inspection.scene_check import check_section
from transpose.scenes import files
from transpose.scenes.digest import section_digest
from transpose.scenes.facts import read_scene_facts, read_section_facts, record_in_scene
from transpose.scenes.layout import open_section
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photo_units import metres_per_unit
from transpose.scenes.unit import METRE, SceneUnit, cameras_extent, is_metric
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.storage import read_json, write_json
from transpose.training.sections import gather_frames

POSES = [Pose(compose(exp_so3(np.array([0.1 * i, -0.2, 0.3])), np.array([3.0 * i, 4.0 * i, 1.0]))) for i in range(3)]
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def photos_in(project: Path) -> Path:
    for i in range(3):
        image_hw3 = np.random.default_rng(i).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        files.write_image(project / "images" / f"{i}.png", image_hw3)
    return project


@pytest.fixture
def nerfstudio(tmp_path: Path) -> Path:
    """A folder with depth: 2 of its units everywhere."""
    project = photos_in(tmp_path / "project")
    for i in range(3):
        files.write_depth(project / "depth" / f"{i}", np.full((48, 64), 2, np.float32), as_png=True)
    frames = [
        {
            "file_path": f"images/{i}.png",
            "depth_file_path": f"depth/{i}.png",
            "transform_matrix": (pose.T_wc @ OPENGL).tolist(),
        }
        for i, pose in enumerate(POSES)
    ]
    write_json(project / "transforms.json", {"fl_x": 50.0, "w": 64, "h": 48, "frames": frames})
    return project


@pytest.fixture
def colmap(tmp_path: Path) -> Path:
    project = photos_in(tmp_path / "colmap")
    model = project / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 PINHOLE 64 48 50 50 32 24\n")
    point_3 = POSES[0].T_wc[:3, :3] @ np.array([0.0, 0.0, 5.0]) + POSES[0].center
    lines = []
    for i, pose in enumerate(POSES):
        numbers = [*quaternion_wxyz(pose.T_cw[:3, :3]).tolist(), *pose.T_cw[:3, 3].tolist()]
        lines += [f"{i + 1} {' '.join(map(repr, numbers))} 1 {i}.png", "32 24 7" if i == 0 else ""]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "points3D.txt").write_text(f"7 {' '.join(str(x) for x in point_3.tolist())} 1 2 3 0.5 1 0\n")
    return project


def said(project: Path, **facts: object) -> None:
    write_json(project / "transforms.json", read_json(project / "transforms.json") | facts)


def test_an_unknown_unit_is_said_and_left_as_it_is(
    nerfstudio: Path, colmap: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for set_up, project in ((setup_nerfstudio, nerfstudio), (setup_colmap, colmap)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            section = open_section(set_up(project, tmp_path / project.name / "scene")[0])
        assert len(caplog.messages) == 1 and "10 units" in caplog.text and "--metric" in caplog.text
        assert not section.facts.metric and read_scene_facts(section.scene)["metric"] is False
        assert np.allclose(section.frames[2].pose.T_wc, POSES[2].T_wc)


@pytest.mark.parametrize(
    ("words", "factor"), [(["--metric"], 1.0), (["--unit", "0.25"], 0.25), (["--unit", "3e3"], 3e3)]
)
def test_the_user_says_the_unit(
    words: list[str], factor: float, nerfstudio: Path, colmap: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, project in (("nerfstudio", nerfstudio), ("colmap", colmap)):
        out = tmp_path / kind
        assert main(["setup", kind, "--source", str(project), "--out", str(out), *words]) == 0
        section = open_section(out / "train")
        assert section.facts.metric and read_scene_facts(out)["metric"] is True
        for frame, pose in zip(section.frames, POSES, strict=True):
            assert np.allclose(frame.pose.T_wc, pose.scaled(factor).T_wc)
    frame = open_section(tmp_path / "nerfstudio" / "train").frames[0]
    assert np.allclose(frame.depth(), 2 * factor)
    frame = open_section(tmp_path / "colmap" / "train").frames[0]
    ahead_n3 = (frame.coordinates().reshape(3, -1).T - frame.pose.center) @ frame.pose.R_wc
    assert np.allclose(ahead_n3[np.isfinite(ahead_n3).all(1)], [[0, 0, 5 * factor]], rtol=1e-5, atol=1e-4 * factor)
    assert "unit of its poses" not in caplog.text


@pytest.mark.parametrize(
    ("facts", "metres"),
    [
        ({}, None),
        ({"metric": False}, None),
        ({"metric": False, "unit": "m"}, None),
        ({"metric": True}, 1.0),
        ({"unit": "m"}, 1.0),
        ({"units": " Metres "}, 1.0),
        ({"unit": "cm"}, 0.01),
        ({"length_unit": "feet"}, 0.3048),
        ({"unit": 0.5}, 0.5),
        ({"unit": "0.5"}, 0.5),
    ],
)
def test_a_file_says_the_unit(facts: dict[str, object], metres: float | None, nerfstudio: Path, tmp_path: Path) -> None:
    assert metres_per_unit(nerfstudio, facts) == metres
    said(nerfstudio, **facts)
    section = open_section(setup_nerfstudio(nerfstudio, tmp_path / "scene")[0])
    assert section.facts.metric == (metres is not None)
    assert np.allclose(section.frames[2].pose.center, (metres or 1.0) * POSES[2].center)
    section = open_section(setup_nerfstudio(nerfstudio, tmp_path / "said", unit_m=2.0)[0])  # the user knows better
    assert section.facts.metric and np.allclose(section.frames[2].pose.center, 2 * POSES[2].center)


@pytest.mark.parametrize("facts", [{"metric": "yes"}, {"unit": "parsec"}, {"unit": -1}, {"unit": True}, {"unit": [1]}])
def test_a_unit_that_is_none_is_refused(facts: dict[str, object], nerfstudio: Path, tmp_path: Path) -> None:
    said(nerfstudio, **facts)
    with pytest.raises(TransposeError, match=r"transforms.json: \"(metric|unit)\" is"):
        setup_nerfstudio(nerfstudio, tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--unit", "0"], "--unit is how many metres a unit is, not 0"),
        (["--unit", "nan"], "--unit is how many metres"),
        (["--unit", "2", "--metric"], "give one of them"),
    ],
)
def test_options_that_make_no_sense(
    words: list[str], message: str, nerfstudio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "nerfstudio", "--source", str(nerfstudio), "--out", str(tmp_path / "s"), *words]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "s").exists()


def written(scene: Path, name: str, **facts: bool) -> Path:
    writer = SectionWriter(scene, name, {})
    for i, pose in enumerate(POSES * 4):
        image_hw3 = np.full((48, 64, 3), 20 * i, np.uint8)
        labels = FrameLabels(depth_hw=np.full((48, 64), 2, np.float32))
        writer.add(f"f{i:02}", image_hw3, pose, Camera.from_focal(50.0, 64, 48), labels)
    return writer.finish({"source": "made up"}, **facts)


def test_a_scene_speaks_for_sections_that_say_nothing(tmp_path: Path) -> None:
    section = written(tmp_path, "train")
    assert read_section_facts(section).metric and read_scene_facts(tmp_path)["metric"] is True
    (section / "section.json").unlink()
    (tmp_path / "scene.json").unlink()
    assert read_section_facts(section).metric  # a folder that somebody made by hand, as DSAC* has them
    write_json(tmp_path / "scene.json", {"metric": False})
    assert not read_section_facts(section).metric
    record_in_scene(tmp_path, licence="free")
    assert not read_section_facts(section).metric and read_scene_facts(tmp_path)["licence"] == "free"
    rendered = written(tmp_path, "sim", rendered=True)
    assert read_section_facts(rendered).metric and not read_section_facts(section).metric
    for broken in ("no", 1, None):
        write_json(tmp_path / "scene.json", {"metric": broken})
        with pytest.raises(TransposeError, match=r"scene.json: \"metric\" is .*not true or false"):
            read_section_facts(section)


def test_sections_of_older_versions_are_in_metres(tmp_path: Path) -> None:
    section = written(tmp_path, "train")
    record = read_json(section / "section.json")
    del record["metric"]
    write_json(section / "section.json", record)
    (tmp_path / "scene.json").unlink()
    assert read_section_facts(section).metric
    written(tmp_path, "other", metric=False)
    assert read_scene_facts(tmp_path)["metric"] is False


def test_sections_of_different_units_do_not_go_together(tmp_path: Path) -> None:
    written(tmp_path, "train")
    written(tmp_path, "other", metric=False)
    assert read_scene_facts(tmp_path)["metric"] is False
    assert is_metric([open_section(tmp_path / "train")]) and not is_metric([open_section(tmp_path / "other")])
    with pytest.raises(TransposeError, match=r"train is in metres and .*other in a unit of its own"):
        gather_frames(tmp_path, ["other", "train"], None)


def test_the_unit_is_part_of_what_is_learned(tmp_path: Path) -> None:
    metric, other = written(tmp_path / "a", "train"), written(tmp_path / "b", "train", metric=False)
    assert section_digest(metric) != section_digest(other)


def test_a_section_without_metres_is_not_fused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = written(tmp_path / "scene", "train", metric=False)
    assert main(["build", "rgbd", str(section), "--out", str(tmp_path / "world")]) == 1
    assert "is not in metres, as voxels and depths are" in capsys.readouterr().err


@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_a_check_knows_no_metres_where_there_are_none(factor: float, tmp_path: Path) -> None:
    """Depth of two millimetres or of two million metres is of a wrong unit, unless the unit is not known."""
    section = written(tmp_path, "train", metric=False)
    for frame in open_section(section).frames:
        files.write_pose(frame.paths["poses"], frame.pose.scaled(factor))
        frame.paths["depth"].unlink()
        files.write_depth(section / "depth" / frame.stem, np.full((48, 64), 2 * factor, np.float32), as_png=False)
    assert "is its unit right" not in " ".join(map(str, check_section(open_section(section)).findings))
    record = read_json(section / "section.json")
    write_json(section / "section.json", record | {"metric": True})
    assert "is its unit right" in " ".join(map(str, check_section(open_section(section)).findings))


def test_coverage_names_no_metres(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "train", metric=False)
    assert main(["info", str(tmp_path), "--coverage", "train"]) == 0
    assert re.search(r"covers \d+ places of [\d.]+ units:", capsys.readouterr().out)
    assert "cell" in json.loads((tmp_path / "info" / "info.json").read_text())["coverage"]


def test_info_tells_units_and_per_cent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "train", metric=False)
    written(tmp_path, "sim")
    assert main(["info", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "6 x 8 x 0 units (10 across)" in lines["train"] and "50 %" in lines["train"]
    assert "6 x 8 x 0 m" in lines["sim"] and " 5 m" in lines["sim"]
    facts = json.loads((tmp_path / "info" / "info.json").read_text())["sections"]
    assert facts["train"]["cameras_extent"] == pytest.approx(10) and facts["train"]["unit"] == "scene unit"
    assert not any(key.endswith("_m") for key in facts["train"])
    assert facts["sim"]["extent_m"] == [6, 8, 0] and facts["sim"]["unit"] == "metre"


centers = arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-1e3, 1e3))


@given(centers, st.floats(1e-3, 1e3))
def test_the_extent_is_the_largest_distance(centers_n3: np.ndarray, factor: float) -> None:
    extent = cameras_extent(centers_n3)
    apart = [float(np.linalg.norm(a - b)) for a in centers_n3 for b in centers_n3]
    assert extent == pytest.approx(max(apart))
    turned_n3 = centers_n3 @ exp_so3(np.array([0.3, -1.0, 2.0])).T + 5
    assert cameras_extent(turned_n3) == pytest.approx(extent, abs=1e-9)
    assert cameras_extent(factor * centers_n3) == pytest.approx(factor * extent)


def test_the_extent_of_many_cameras() -> None:
    centers_n3 = np.random.default_rng(0).normal(size=(2500, 3))
    centers_n3[[7, 2400]] = [[50, 0, 0], [-50, 0, 0]]
    assert cameras_extent(centers_n3) == pytest.approx(100)
    assert cameras_extent(np.zeros((0, 3))) == 0


def test_units_that_cannot_be() -> None:
    for fields in ({"metric": False}, {"metric": False, "extent": 0.0}, {"learned": 0.0}):
        with pytest.raises(ValueError, match="need"):
            SceneUnit(**fields)  # type: ignore[arg-type]
    unit = SceneUnit.of_cameras(False, np.array([[0.0, 0, 0], [0, 0, 5]]))
    assert (unit.extent, unit.learned, unit.told(1.0), unit.name) == (5.0, 0.5, 20.0, "scene unit")
    assert METRE.told(1.0) == 1.0 and METRE.as_json() == {"unit": "metre"}
