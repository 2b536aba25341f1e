import logging
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED, looking_down
from tests.worlds.surveys import HOUSE_M, ORIGIN, SIZE_M, colors, on_house, surface, survey_points, write_las, write_ply
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.scenes.classes import CLASS_NAMES
from transpose.worlds.cloud import CloudOptions, build_cloud
from transpose.worlds.optional_open3d import import_open3d
from transpose.worlds.point_files import open_points
from transpose.worlds.point_tiles import survey
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, ground_height, latin_hypercube
from transpose.worlds.world import World, load_world, save_world

pytest.importorskip("laspy", reason="the extra geo is not installed")
pytest.importorskip("pyproj", reason="the extra geo is not installed")


@pytest.fixture(scope="module")
def las(tmp_path_factory: pytest.TempPathFactory) -> Path:
    xyz, rgb, classes = survey_points()
    return write_las(tmp_path_factory.mktemp("las") / "valley.laz", xyz + ORIGIN, rgb, classes)


@pytest.fixture(scope="module")
def world(las: Path) -> World:
    return build_cloud(las)


def over(x: float, y: float, height: float, pitch: float = -90.0) -> Pose:
    pose = looking_down(x, y, height, 0, pitch)
    pose.T_wc[:3, 3] += ORIGIN
    return pose


def test_depth_and_coordinates_are_those_of_the_survey(world: World) -> None:
    camera = Camera.from_focal(170, 160, 120)
    view = Renderer(world).view(camera, over(10, 9, 18))
    assert view.seen_hw.all()
    # A rendered point is where the survey has it, in the survey's own reference system.
    local = view.coordinates_hw3.reshape(-1, 3) - ORIGIN
    xy = local[:, :2]
    aside = np.array([0.45, -0.45])
    near_wall = (on_house(xy + 0.45) != on_house(xy - 0.45)) | (on_house(xy + aside) != on_house(xy - aside))
    error = np.abs(local[:, 2] - surface(xy))[~near_wall]
    assert np.quantile(error, 0.99) < 0.06
    depth = view.depth_hw.reshape(-1)
    assert np.allclose((18 - depth)[~near_wall], local[~near_wall, 2], atol=1e-3)
    assert (np.abs(18 - HOUSE_M - depth) < 0.02).mean() > 0.1
    assert np.abs(view.rgb_hw3.reshape(-1, 3) - colors(xy).astype(float))[~near_wall].mean() < 4


def test_the_world_says_where_it_is(world: World, tmp_path: Path) -> None:
    assert world.facts["crs"] == "EPSG:2056"
    assert world.origin_3.dtype == np.float64
    assert np.allclose(world.origin_3, np.round(world.origin_3))
    loaded = load_world(save_world(world, tmp_path / "w"))
    assert np.array_equal(loaded.origin_3, world.origin_3)
    assert loaded.facts == world.facts
    assert np.allclose(loaded.up_3, (0, 0, 1))


def test_classes_are_mapped(world: World) -> None:
    assert world.class_names == CLASS_NAMES
    semantics = Renderer(world).view(Camera.from_focal(60, 80, 80), over(10, 10, 14)).semantics_hw
    view = Renderer(world).view(Camera.from_focal(60, 80, 80), over(10, 10, 14))
    xy = (view.coordinates_hw3 - ORIGIN).reshape(-1, 3)[:, :2]
    expected = np.where(on_house(xy), 3, np.where(xy[:, 0] > 15, 2, 1))
    assert (semantics.reshape(-1) == expected).mean() > 0.93


def test_an_unclassified_cloud_has_no_classes(tmp_path: Path) -> None:
    xyz, rgb, classes = survey_points(0.4)
    assert not build_cloud(write_las(tmp_path / "u.las", xyz + ORIGIN, rgb, classes * 0)).has_classes


def test_chunks_change_nothing(las: Path, world: World) -> None:
    in_pieces = build_cloud(las, chunk_points=777)
    assert np.array_equal(in_pieces.vertices_v3, world.vertices_v3)
    assert np.array_equal(in_pieces.faces_f3, world.faces_f3)
    assert np.array_equal(in_pieces.textures[0], world.textures[0])
    assert in_pieces.facts == world.facts


def test_spilled_to_disk_changes_nothing(las: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transpose.worlds.point_tiles._IN_MEMORY_POINTS", 500)
    monkeypatch.setattr("transpose.worlds.point_tiles._POINTS_PER_TILE", 900)
    spilled = build_cloud(las, chunk_points=1000)
    assert spilled.facts["outliers"] == world.facts["outliers"]
    assert np.array_equal(spilled.vertices_v3, world.vertices_v3)


def test_outliers_noise_and_strays_are_removed(tmp_path: Path) -> None:
    xyz, rgb, classes = survey_points()
    rng = np.random.default_rng(1)
    birds = np.column_stack([rng.uniform(0, SIZE_M, (40, 2)), rng.uniform(10, 30, 40)])
    noise = xyz[:50] + np.array([0, 0, 3.0])
    far = np.array([[9000.0, -7000.0, 50.0]])
    everything = np.concatenate([xyz, birds, noise, far])
    all_rgb = np.concatenate([rgb, np.full((91, 3), 200)])
    all_classes = np.concatenate([classes, np.full(40, 1), np.full(50, 7), [1]]).astype(np.uint8)
    path = write_las(tmp_path / "birds.las", everything + ORIGIN, all_rgb, all_classes)
    built = build_cloud(path)
    low, high = built.bounds
    assert high[2] + built.origin_3[2] - ORIGIN[2] < HOUSE_M + 0.1
    assert (high - low)[:2].max() < SIZE_M + 1
    assert 91 <= built.facts["outliers"] < 91 + 0.02 * len(xyz)
    kept = build_cloud(path, CloudOptions(outlier_ratio=np.inf))
    assert kept.facts["outliers"] == 51  # noise by class, and the stray


def test_sixteen_bit_colours_give_the_same_picture(tmp_path: Path) -> None:
    xyz, rgb, _ = survey_points(0.4)
    eight = build_cloud(write_las(tmp_path / "8.las", xyz + ORIGIN, rgb))
    sixteen = build_cloud(write_las(tmp_path / "16.las", xyz + ORIGIN, rgb * 257))
    assert np.array_equal(eight.textures[0], sixteen.textures[0])
    assert eight.textures[0].max() > 240


@pytest.mark.parametrize("kind", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_ply_is_the_same_cloud(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    xyz, rgb, _ = survey_points(0.5)
    xyz = np.round(xyz, 3)  # what LAS stores
    with caplog.at_level(logging.WARNING):
        ply = build_cloud(write_ply(tmp_path / "c.ply", xyz + ORIGIN, rgb, kind))
    assert "metres" in caplog.text
    assert ply.facts["crs"] is None
    las = build_cloud(write_las(tmp_path / "c.las", xyz + ORIGIN, rgb))
    assert np.allclose(ply.bounds, las.bounds, atol=2e-3)


def test_a_named_system_replaces_a_missing_one(tmp_path: Path) -> None:
    xyz, rgb, _ = survey_points(0.5)
    path = write_las(tmp_path / "n.las", xyz + ORIGIN, rgb, crs=None)
    assert build_cloud(path, CloudOptions(crs="EPSG:2056")).facts["crs"] == "EPSG:2056"
    with pytest.raises(TransposeError, match="unknown coordinate"):
        build_cloud(path, CloudOptions(crs="EPSG:nothing"))


def test_geographic_and_foot_systems_are_refused_with_a_remedy(tmp_path: Path) -> None:
    xyz, rgb, _ = survey_points(0.5)
    degrees = xyz * [1e-5, 1e-5, 1] + [7.07, 46.37, 1400]
    path = write_las(tmp_path / "d.las", degrees, rgb, crs="EPSG:4326", scale=1e-7)
    with pytest.raises(TransposeError, match=r"degrees.*EPSG:32632"):
        build_cloud(path)
    unnamed = write_las(tmp_path / "u.las", degrees, rgb, crs=None, scale=1e-7)
    with pytest.raises(TransposeError, match="look like degrees"):
        build_cloud(unnamed)
    with pytest.raises(TransposeError, match="foot"):
        build_cloud(write_las(tmp_path / "f.las", xyz + ORIGIN, rgb, crs="EPSG:2263"))


def test_broken_clouds_are_named(tmp_path: Path, las: Path) -> None:
    xyz, rgb, _ = survey_points(0.5)

    def fails(path: Path, match: str) -> None:
        with pytest.raises(TransposeError, match=match) as caught:
            build_cloud(path)
        assert path.name in str(caught.value)

    fails(tmp_path / "missing.las", "does not exist")
    (tmp_path / "cloud.xyz").write_text("1 2 3")
    fails(tmp_path / "cloud.xyz", "no point cloud")
    fails(write_las(tmp_path / "grey.las", xyz + ORIGIN, None), "no colour")
    fails(write_las(tmp_path / "black.las", xyz + ORIGIN, rgb * 0), "black")
    fails(write_las(tmp_path / "few.las", xyz[:20] + ORIGIN, rgb[:20]), "20 usable points")
    for ending in ("las", "ply"):
        (tmp_path / f"zero.{ending}").write_bytes(b"")
        fails(tmp_path / f"zero.{ending}", "cannot be read|no PLY")
    (tmp_path / "cut.laz").write_bytes(las.read_bytes()[:20_000])
    fails(tmp_path / "cut.laz", "truncated|complete")
    whole = write_las(tmp_path / "whole.las", xyz + ORIGIN, rgb).read_bytes()
    (tmp_path / "cut.las").write_bytes(whole[: len(whole) // 2])
    fails(tmp_path / "cut.las", "truncated|complete")
    ply = write_ply(tmp_path / "whole.ply", xyz, rgb).read_bytes()
    (tmp_path / "cut.ply").write_bytes(ply[: len(ply) // 2])
    fails(tmp_path / "cut.ply", "truncated")
    (tmp_path / "head.ply").write_bytes(ply[:40])
    fails(tmp_path / "head.ply", "truncated")


def test_bad_options_are_refused() -> None:
    for bad in ({"cell_m": 0.0}, {"gap_m": -1.0}, {"outlier_ratio": 0.0}, {"surface": "poisson"}):
        with pytest.raises(TransposeError):
            CloudOptions(**bad)  # type: ignore[arg-type]


def test_spacing_counts_only_where_points_are(tmp_path: Path) -> None:
    xyz, rgb, _ = survey_points(0.2)
    corner = (xyz[:, 0] < 8) | (xyz[:, 1] < 8)
    path = write_las(tmp_path / "l.las", xyz[corner] + ORIGIN, rgb[corner])
    assert survey(open_points(path)).spacing_m == pytest.approx(0.2, rel=0.12)


@pytest.mark.parametrize("ending", ["LAS", "LAZ", "PLY"])
def test_suffixes_in_capitals_are_read(tmp_path: Path, ending: str) -> None:
    xyz, rgb, _ = survey_points(0.5)
    write = write_ply if ending == "PLY" else write_las
    path = write(tmp_path / f"c.{ending.lower()}", xyz + ORIGIN, rgb).rename(tmp_path / f"c.{ending}")
    assert survey(open_points(path)).spacing_m == pytest.approx(0.5, rel=0.2)


def test_ball_pivoting_keeps_holes_and_classes(tmp_path: Path) -> None:
    try:
        import_open3d()
    except TransposeError as error:
        pytest.skip(str(error))
    xyz, rgb, classes = survey_points(0.3)
    keep = ~on_house(xyz[:, :2])
    path = write_las(tmp_path / "b.las", xyz[keep] + ORIGIN, rgb[keep], classes[keep])
    built = build_cloud(path, CloudOptions(surface="ball"))
    view = Renderer(built).view(Camera.from_focal(60, 80, 80), over(10, 10, 14))
    xy = (view.coordinates_hw3 - ORIGIN)[view.seen_hw][:, :2]
    assert view.seen_hw.mean() > 0.8
    assert on_house(xy).mean() < 0.01
    assert set(np.unique(built.face_class_f)) == {1, 2}


def test_viewpoints_over_a_hole_stand_on_the_ground_plane(tmp_path: Path) -> None:
    xyz, rgb, _ = survey_points(0.3)
    keep = (np.abs(xyz[:, :2] - 10) > 5).any(1)
    built = build_cloud(write_las(tmp_path / "h.las", xyz[keep] + ORIGIN, rgb[keep]))
    renderer = Renderer(built)
    center = (ORIGIN - built.origin_3)[:2] + 10
    assert np.isnan(renderer.surface_height(center[None]))[0]
    height = ground_height(renderer, center[None])[0] + built.origin_3[2] - ORIGIN[2]
    assert height == pytest.approx(0.5, abs=0.1)
    camera = Camera.from_focal(90, 128, 96)
    ranges = HypercubeRanges(above_m=(8, 14), pitch_deg=(-90, -70))
    views = latin_hypercube(renderer, camera, 12, 0, ranges, ViewCheck(min_seen=0.3))
    above = [v.pose.center[2] - ORIGIN[2] for v in views]
    assert 7 < min(above) < max(above) < 20


def test_the_real_cloud_looks_like_its_place(tmp_path: Path) -> None:
    path = SHARED / "brighton" / "model.laz"
    if not path.is_file():
        pytest.skip(f"the Brighton data is not at {path}")
    built = build_cloud(path)
    assert built.facts["crs"] == "EPSG:32615"
    assert built.facts["outliers"] < 0.02 * built.facts["points"]
    assert 20_000 < len(built.faces_f3) < 400_000
    rgb = np.concatenate([t.reshape(-1, 3) for t in built.textures])
    assert rgb.std() > 30
