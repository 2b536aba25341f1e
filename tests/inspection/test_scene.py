"""What a scene says of itself, and that a check finds what was spoiled in it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import looking_down
from transpose.app.cli import main
from transpose.geometry import Camera
from transpose.geometry.poses import invert
from transpose.inspection.coverage import cover, support
from transpose.inspection.scene_check import check_section
from transpose.scenes import files
from transpose.scenes.layout import open_section
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, Viewpoint, latin_hypercube
from transpose.worlds.world import World, save_world


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    camera = Camera.from_focal(120.0, 160, 120)
    ranges = HypercubeRanges((2.5, 3.5), (0, 40), (-85, -60), (-5, 5), margin=0.3)
    viewpoints = latin_hypercube(Renderer(box_world), camera, 14, 0, ranges, ViewCheck())
    world = save_world(box_world, folder / "world")
    render_section(world, viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return folder / "scene"


def each(folder: Path, layer: str, change: Callable[[Path], None]) -> None:
    for path in sorted((folder / layer).iterdir()):
        change(path)


def other_way(path: Path) -> None:
    np.savetxt(path, invert(files.read_pose(path).T_wc), fmt="%.17g")


def opengl(path: Path) -> None:
    np.savetxt(path, files.read_pose(path).T_wc @ np.diag([1.0, -1, -1, 1]), fmt="%.17g")


def longer_focal(path: Path) -> None:
    path.write_text(f"{1.1 * float(path.read_text()):.6g}\n")


def in_metres(path: Path) -> None:
    """Metres taken for millimetres."""
    files.write_depth(path.with_suffix(""), files.read_depth(path) / 1000, as_png=True)


def aside(path: Path) -> None:
    """Depth that was not registered to colour."""
    files.write_depth(path.with_suffix(""), np.roll(files.read_depth(path), 40, axis=0), as_png=True)


def swap_images(folder: Path) -> None:
    paths = sorted((folder / "rgb").iterdir())
    data = [path.read_bytes() for path in paths]
    for path, other in zip(paths, data[5:] + data[:5], strict=True):
        path.write_bytes(other)


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "poses the other way": (lambda f: each(f, "poses", other_way), "camera-to-world"),
    "OpenGL axes": (lambda f: each(f, "poses", opengl), "check poses|same surface"),
    "focal length": (
        lambda f: each(f, "calibration", longer_focal),
        "focal length|depths of overlapping|agree no better",
    ),
    "unit of depth": (lambda f: each(f, "depth", in_metres), "unit right|% of their distance"),
    "swapped images": (swap_images, "files swapped|agree no better"),
    "depth aside": (lambda f: each(f, "depth", aside), "from those of depth|depths of overlapping"),
}


def test_what_was_rendered_agrees(scene: Path) -> None:
    assert check_section(open_section(scene / "sim")).findings == ()
    assert main(["info", str(scene), "--check"]) == 0


@pytest.mark.parametrize("name", SPOILED)
def test_what_was_spoiled_is_found(scene: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = SPOILED[name]
    folder = tmp_path / "scene" / "sim"
    shutil.copytree(scene / "sim", folder)
    if name in ("poses the other way", "OpenGL axes", "focal length"):
        shutil.rmtree(folder / "init")  # which would give it away
    spoil(folder)
    assert main(["info", str(tmp_path / "scene"), "--check"]) == 1
    assert any(word in capsys.readouterr().err for word in message.split("|"))


@pytest.mark.parametrize(("factor", "said"), [(1.0, ""), (5.0, "0.2 times as far away"), (0.2, "5 times as far away")])
def test_depth_in_another_unit_is_found_where_cameras_hardly_move(
    tmp_path: Path, box_world: World, factor: float, said: str
) -> None:
    """Depths of neighbours then agree in any unit, and only what images show tells."""
    camera = Camera.from_focal(240.0, 320, 240)
    views = [Viewpoint(camera, looking_down(0.05 * step, 0.03 * step, 3.0, pitch=-75)) for step in range(8)]
    world = save_world(box_world, tmp_path / "world")
    section = render_section(world, views, (tmp_path / "scene", "sim"), {}, processes=1)
    shutil.rmtree(section / "init")
    for path in (section / "depth").iterdir():
        files.write_depth(path.with_suffix(""), factor * files.read_depth(path), as_png=True)
    found = check_section(open_section(section)).findings
    assert any(said in str(finding) for finding in found) if said else found == ()


def test_every_broken_file_is_told_at_once(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        shutil.copytree(scene / "sim", tmp_path / "scene" / name)
    shutil.rmtree(tmp_path / "scene" / "a" / "calibration")
    broken = sorted((tmp_path / "scene" / "b" / "rgb").iterdir())[1:6:2]
    for path in broken:  # their headers are whole
        path.write_bytes(path.read_bytes()[:-200])
    assert main(["info", str(tmp_path / "scene"), "--check"]) == 1
    told = capsys.readouterr()
    assert "a: cannot be opened" in told.out and "b: 3 findings" in told.out and "c: everything agrees" in told.out
    assert "calibration" in told.err and all(f"{path} is" in told.err for path in broken)


def test_facts_pictures_and_coverage_are_written(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["info", str(scene), "--coverage", "sim", "--against", "sim", "--out", str(tmp_path)]
    assert main(words) == 0
    assert "14" in capsys.readouterr().out
    content = json.loads((tmp_path / "info.json").read_text())
    assert content["sections"]["sim"]["frames"] == 14
    assert content["sections"]["sim"]["labels"]["depth"] == 1
    for name in ("contact.png", "map.png", "coverage.png"):
        assert files.read_image(tmp_path / name).std() > 5


def test_coverage_is_measured_beside_a_broken_section(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scene, tmp_path / "scene")
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "scene" / "empty" / layer).mkdir(parents=True)
    words = ["info", str(tmp_path / "scene"), "--out", str(tmp_path / "out")]
    assert main([*words, "--coverage", "sim"]) == 0
    told = capsys.readouterr()
    assert "sim covers" in told.out and "note: empty is left out" in told.err
    assert main([*words, "--coverage", "sim", "--against", "empty"]) == 1
    assert main(words) == 1


def test_a_section_supports_itself_and_nothing_from_behind(scene: Path) -> None:
    frames = open_section(scene / "sim").frames
    coverage = cover(frames)
    assert coverage is not None
    views = support(coverage, frames)
    assert [view.share for view in views] == sorted(view.share for view in views)
    assert min(view.share for view in views) > 0.97
    # A surface seen from the other side, or from ten times as far, is not supported.
    points_n3 = coverage.centers_c3
    towards_n3 = np.tile([0.0, 0.0, -1.0], (len(points_n3), 1))
    gsd_n = np.full(len(points_n3), 3.0 / 120)
    assert coverage.supported(points_n3, towards_n3, gsd_n).mean() > 0.9
    assert coverage.supported(points_n3, -towards_n3, gsd_n).mean() == 0
    assert coverage.supported(points_n3, towards_n3, 10 * gsd_n).mean() == 0
    assert coverage.supported(points_n3 + 50.0, towards_n3, gsd_n).mean() == 0


def test_views_without_labels_are_judged_by_the_known_surface(scene: Path, tmp_path: Path) -> None:
    shutil.copytree(scene / "sim", tmp_path / "bare")
    for layer in ("depth", "init"):
        shutil.rmtree(tmp_path / "bare" / layer)
    coverage = cover(open_section(scene / "sim").frames)
    assert coverage is not None
    views = support(coverage, open_section(tmp_path / "bare").frames)
    assert all(view.shown > 20 and view.share > 0.8 for view in views)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--against", "sim"], "--against needs --coverage"),
        (["--coverage", "nowhere"], "has no section nowhere"),
        (["--sections", "nowhere"], "sections here: sim"),
    ],
)
def test_what_is_not_there_is_said(
    scene: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(scene), *words, "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
