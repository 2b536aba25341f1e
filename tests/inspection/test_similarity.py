"""Sections compared by geometry: what is written and told, pairs of photos and renders, and bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.conftest import looking_down
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.inspection.similarity import (
    SimilarityOptions,
    most_similar,
    refuse_other_frames,
    similar_views,
    similarity_of,
)
from transpose.inspection.view_depths import view_of, views_of
from transpose.scenes.files import write_camera, write_map
from transpose.scenes.layout import Section, open_section
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

CAMERA = Camera.from_focal(120.0, 160, 120)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    """`sim`: 12 views along a line, `photos`: the second half of them under other names, without labels, and one that
    looks away; `one`: a single view."""
    folder = tmp_path_factory.mktemp("scene")
    world = save_world(box_world, folder / "world")
    along = [
        Viewpoint(CAMERA, looking_down(x, 0.2, 3.0, 0.0), f"s{i:02}") for i, x in enumerate(np.linspace(-3, 3, 12))
    ]
    render_section(world, along, (folder / "scene", "sim"), {}, processes=1)
    photos = [Viewpoint(CAMERA, each.pose, f"a{9 - i}") for i, each in enumerate(along[6:])]
    render_section(world, photos, (folder / "scene", "photos"), {}, processes=1)
    render_section(world, along[:1], (folder / "scene", "one"), {}, processes=1)
    for layer in ("depth", "init", "normal"):
        shutil.rmtree(folder / "scene" / "photos" / layer, ignore_errors=True)
    return folder / "scene"


def section(scene: Path, name: str) -> Section:
    return open_section(scene / name)


def moved(scene: Path, tmp_path: Path, name: str, by_m: float) -> Path:
    """A copy of the scene in which one section stands elsewhere."""
    shutil.copytree(scene, tmp_path / "scene")
    for path in (tmp_path / "scene" / name / "poses").iterdir():
        T_wc = np.loadtxt(path)
        T_wc[0, 3] += by_m
        np.savetxt(path, T_wc)
    return tmp_path / "scene"


@pytest.mark.parametrize("measure", ["frustum", "nso"])
def test_a_section_compared_with_itself(
    scene: Path, tmp_path: Path, measure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["similarity", str(scene), "--section", "sim", "--out", str(tmp_path), "--measure", measure, "--rerank"]
    assert main(words) == 0
    assert "of 132 pairs of views overlap" in capsys.readouterr().out
    found, forward, backward, reranked = (
        sparse.load_npz(tmp_path / f"{name}.npz").toarray()
        for name in ("similarity", "forward", "backward", "reranked")
    )
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-6)
    np.testing.assert_array_equal(found, np.minimum(forward, backward))
    np.testing.assert_array_equal(forward, backward.T)
    assert (np.diff(found[0]) <= 1e-6).all() and found[0, 1] > 0.5 and found[0, -1] == 0
    assert reranked.shape == (12, 12)
    content = json.loads((tmp_path / "similarity.json").read_text())
    assert content["rows"] == content["columns"] == [f"s{i:02}" for i in range(12)]
    assert content["overlap_with_nothing"] == {"rows": [], "columns": []}
    assert (tmp_path / "similarity.png").stat().st_size > 10_000


def test_photos_without_depth_find_their_renders_whatever_their_names(scene: Path) -> None:
    photos, sim = section(scene, "photos"), section(scene, "sim")
    pairs = similar_views(photos.frames, sim.frames, most=1)
    names = [(photos.frames[i].stem, sim.frames[j].stem) for i, j in zip(pairs.row_p, pairs.column_p, strict=True)]
    assert names == [(f"a{9 - i}", f"s{6 + i:02}") for i in reversed(range(6))]
    assert pairs.similarity_p.min() > 0.8
    assert len(similar_views(photos.frames, sim.frames, most=3, least=0.3)) > 6


def test_depth_of_all_kinds(scene: Path) -> None:
    """Of depth images, of `init` alone, of other frames', and none: frusta."""
    frame = section(scene, "sim").frames[3]
    of_depth = view_of(frame)
    of_init = view_of(replace(frame, paths={key: path for key, path in frame.paths.items() if key != "depth"}))
    known_hw = np.isfinite(of_depth.depth_hw)
    np.testing.assert_allclose(of_init.depth_hw[known_hw], of_depth.depth_hw[known_hw], rtol=5e-3)
    assert of_depth.complete and of_init.complete and known_hw.mean() > 0.8
    photos = section(scene, "photos").frames
    [alone] = views_of([photos])
    assert all(not view.known and view.volume is not None and len(view.points_n3) for view in alone)
    filled, _ = views_of([photos, section(scene, "sim").frames], stride=16)
    assert all(view.known and not view.complete for view in filled)
    found = similarity_of(photos, None, SimilarityOptions()).both.toarray()
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[0, 1] > found[0, 3]


def test_what_overlaps_with_nothing_is_listed(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = moved(scene, tmp_path, "photos", 3.3)
    words = ["similarity", str(other), "--section", "photos", "--against", "sim", "--out", str(tmp_path / "out")]
    assert main([*words, "--rerank"]) == 0
    printed = capsys.readouterr().out
    assert "views of photos do not overlap with any of sim" in printed and "\n  a4\n" in printed
    content = json.loads((tmp_path / "out" / "similarity.json").read_text())
    assert "a4" in content["overlap_with_nothing"]["rows"] and "s00" in content["overlap_with_nothing"]["columns"]
    assert sparse.load_npz(tmp_path / "out" / "reranked.npz").shape == (6, 12)


def test_no_overlap_anywhere_is_a_result(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = moved(scene, tmp_path, "photos", 4000.0)
    words = ["similarity", str(other), "--section", "photos", "--against", "sim", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "0 of 72 pairs" in printed.out and "in one frame of the world?" in printed.err
    assert sparse.load_npz(tmp_path / "out" / "similarity.npz").nnz == 0
    with pytest.raises(TransposeError, match=r"no view of .*photos overlaps with one of .*sim"):
        similar_views(section(other, "photos").frames, section(other, "sim").frames)


def test_one_image(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["similarity", str(scene), "--section", "one", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "has one image and nothing to compare it with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--against", "sim"]) == 0
    assert sparse.load_npz(tmp_path / "out" / "similarity.npz").toarray()[0, 0] == pytest.approx(1)


def test_bad_input_is_one_line(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in {
        ("--section", "nope"): "sections here: one, photos, sim",
        ("--section", "sim", "--against", "nope"): "not a section folder",
        ("--section", "photos", "--measure", "nso"): "surfaces need depth",
        ("--section", "sim", "--stride", "0"): "must be positive",
        ("--section", "sim", "--depth-share", "1.5"): "in 0..1",
        ("--section", "sim", "--device", "cuda:77"): "cuda:77",
    }.items():
        assert main(["similarity", str(scene), *words, "--out", str(tmp_path / "out")]) == 1
        assert message in capsys.readouterr().err
    assert main(["similarity", str(tmp_path / "no"), "--section", "sim", "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_scenes_about_different_origins_are_refused(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(scene, other)
    words = ["similarity", str(scene), "--section", "sim", "--against", str(other / "photos")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((other / "scene.json").read_text())
    (other / "scene.json").write_text(json.dumps({**record, "origin": [4.2e6, 5e5, 4.7e6]}))
    assert main([*words, "--out", str(tmp_path / "not")]) == 1
    assert "are about different origins" in capsys.readouterr().err
    assert not (tmp_path / "not").exists()
    one, two = section(scene, "sim"), section(scene, "photos")
    maps = [replace(each, facts=replace(each.facts, record={"crs": crs})) for each, crs in ((one, "A"), (two, "B"))]
    with pytest.raises(TransposeError, match=r"is in A and .* is in B|in A and .*in B"):
        refuse_other_frames(*maps)


def test_the_most_similar_come_first_and_equal_ones_in_order() -> None:
    s = sparse.csr_array(np.array([[0.2, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.3, 0.05]]))
    pairs = most_similar(s, 2, 0.1)
    assert pairs.row_p.tolist() == [0, 0, 2, 2] and pairs.column_p.tolist() == [1, 2, 0, 2]
    assert pairs.similarity_p.tolist() == [0.5, 0.5, 0.9, 0.3]
    assert len(most_similar(sparse.csr_array((3, 4)), 5)) == 0


def test_every_photo_gets_its_synthetic_twin(scene: Path, tmp_path: Path) -> None:
    """Its pose, camera and name, also where it shows nothing of the world; and geometry pairs both."""
    photos = tmp_path / "scene" / "photos"
    shutil.copytree(scene / "photos", photos)
    (photos / "section.json").unlink()
    write_camera(photos / "calibration" / "a5.txt", replace(CAMERA, fx=130.0, fy=130.0, k1=-0.1))
    away = np.loadtxt(photos / "poses" / "a9.txt")
    away[0, 3] += 500
    np.savetxt(photos / "poses" / "a9.txt", away)
    words = ["render", str(scene.parent / "world"), "--out", str(tmp_path / "scene" / "twin"), "--processes", "1"]
    assert main([*words, "--viewpoints", f"at:{photos}"]) == 0
    one, twin = (open_section(tmp_path / "scene" / name) for name in ("photos", "twin"))
    assert [frame.stem for frame in twin.frames] == [frame.stem for frame in one.frames]
    for frame, other in zip(one.frames, twin.frames, strict=True):
        np.testing.assert_allclose(other.pose.T_wc, frame.pose.T_wc, atol=1e-9)
        assert replace(other.camera, fx=1, fy=1, k1=0) == replace(frame.camera, fx=1, fy=1, k1=0)
        np.testing.assert_allclose([other.camera.fx, other.camera.k1], [frame.camera.fx, frame.camera.k1], rtol=1e-5)
    pairs = similar_views(one.frames, twin.frames, most=1, least=0.5)
    assert pairs.row_p.tolist() == pairs.column_p.tolist() == [0, 1, 2, 3, 4]


def test_crossloc_s_depth_at_cells_is_read(scene: Path, tmp_path: Path) -> None:
    frame = section(scene, "sim").frames[0]
    depth_hw = view_of(frame).depth_hw
    write_map(tmp_path / "depth.dat", depth_hw[None])
    paths = {key: path for key, path in frame.paths.items() if key not in ("depth", "init")}
    found = view_of(replace(frame, paths={**paths, "cell_depth": tmp_path / "depth.dat"}))
    np.testing.assert_allclose(found.depth_hw, depth_hw, rtol=1e-6)
    assert found.complete
    write_map(tmp_path / "depth.dat", depth_hw[None, :3])
    with pytest.raises(TransposeError, match=r"depth.dat has"):
        view_of(replace(frame, paths={**paths, "cell_depth": tmp_path / "depth.dat"}))


def test_many_views_are_compared_at_fewer_points() -> None:
    camera = Camera.from_focal(500.0, 640, 480)
    strides = [SimilarityOptions.of_many([camera] * count).stride for count in (1, 16_000, 17_000, 300_000)]
    assert strides == [16, 16, 32, 64]
