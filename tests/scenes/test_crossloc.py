"""A release of CrossLoc's benchmark in miniature, as TOPO-DataGen writes it, quirks included."""

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import SHARED
from transpose.app.cli import main
from transpose.app.services.original_names import default_section, scene_folder
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.geodesy import camera_rotations, ecef_from_geodetic, geodetic_from_ecef, ned_axes
from transpose.geometry.poses import Pose, exp_se3
from transpose.scenes import files
from transpose.scenes.facts import read_scene_facts
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import open_section
from transpose.scenes.setup import crossloc_splits as splits
from transpose.scenes.setup.crossloc import ORIGINS, CrossLocRelease
from transpose.scenes.setup.topo import cell_normals, read_sequence

CAMERA = Camera.from_focal(48.0, 72, 48)
HERE = np.array([*ORIGINS["comballaz"][:2], 1550.0])  # 140 m over the ground at the origin
ORIGIN_ECEF = ecef_from_geodetic(np.array(ORIGINS["comballaz"]))


def write_sequence(
    folder: Path, name: str, frames: int, *, seed: int = 0, spoiled: int = -1, gaps: int = 0, photo: str = "_pic"
) -> None:
    """A flat meadow from a drone.

    `spoiled` is a frame whose points are not where they are seen. The first `gaps` poses and every fourth after them
    have no render. `photo` follows the number in the names of images.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    poses = []
    down_3 = ned_axes(HERE[:2])[:, 2]
    written = 0
    while written < frames:
        i = len(poses)
        place_3 = HERE + np.array([*rng.uniform(-3e-4, 3e-4, 2), rng.uniform(-10, 10)])
        center_3 = ecef_from_geodetic(place_3)
        angles_3 = np.array([rng.uniform(0, 360), rng.uniform(-90, -60), rng.uniform(-10, 10)])
        poses.append([*center_3, *angles_3])
        if gaps and (i < gaps or i % 4 == 3):
            continue
        rays_hw3 = CAMERA.unproject(pixel_centers(72, 48)) @ camera_rotations(place_3[:2], angles_3).T
        depth_hw = (ecef_from_geodetic([*HERE[:2], 1410.0]) - center_3) @ down_3 / (rays_hw3 @ down_3)
        points_hw3 = (center_3 + rays_hw3 * depth_hw[..., None]).astype(np.float32)
        if written == spoiled:
            points_hw3 += 40.0
        points_hw3[:6] = -1
        stem = folder / f"{name}_{i:05d}"
        shot = photo.format(1000 - written)
        rgba_hw4 = np.full((48, 72, 4), (20 * i % 200, 0, 0, 255), np.uint8)
        cv2.imwrite(f"{stem}{shot}_img.png", rgba_hw4)
        np.save(f"{stem}_pc.npy", points_hw3)
        semantics_hw = np.full((48, 72), 2, np.int64)
        semantics_hw[:6], semantics_hw[6:12] = -1, 17
        np.save(f"{stem}_semantics.npy", semantics_hw)
        written += 1
    np.save(folder / f"{name}_poses.npy", np.array(poses))


def write_photos(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        files.write_image(folder / f"{name}.JPG", np.full((48, 72, 3), 200 + i, np.uint8), 95)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two flights: one whose photos are named in its renders, in another order, one where only the order says."""
    folder = tmp_path_factory.mktemp("release") / "naturescape"
    write_sequence(folder / "naturescape-LHS", "lhs", 20, seed=1, spoiled=3)
    flights = folder / "matching" / "piloted" / "2020-11-06"
    write_sequence(flights / "flight_2020-11-06-sim", "flight_2020-11-06", 10, seed=2, gaps=3, photo="_DJI_{:04d}")
    write_photos(flights / "flight_2020-11-06-real", [f"DJI_{number:04d}" for number in range(991, 1001)])
    write_sequence(folder / "matching" / "sepey-outofplace-sim", "sepey", 10, seed=3)
    write_photos(folder / "matching" / "sepey-outofplace-real", [f"P{number}" for number in range(10)])
    return folder.parent


def sections_of(scene: Path) -> dict[str, int]:
    return {path.name: len(open_section(path)) for path in scene.iterdir() if path.is_dir()}


def test_a_release_becomes_all_its_sections(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "comballaz", "--source", str(release), "--out", str(tmp_path)]) == 0
    counts = sections_of(tmp_path)
    for kind in ("real", "sim"):
        for group in ("drone", "oop_drone"):
            assert [counts[f"{part}_{group}_{kind}"] for part in ("train", "val", "test")] == [4, 1, 5]
            assert [counts[f"train_{group}_{kind}_chunk_{share}"] for share in ("0.25", "0.50", "0.75")] == [1, 2, 3]
    assert counts["train_sim"] + counts["val_sim"] == 19  # the spoiled frame is dropped
    assert counts["train_sim_plus_drone_sim"] == counts["train_sim"] + 4
    assert 4 <= counts["train_sim_chunk_0.25"] <= 5
    assert len(counts) == 2 + 3 + 2 * (6 + 6) + 2
    facts = read_scene_facts(tmp_path)
    assert sum(each.get("dropped", 0) for each in facts["sections"].values()) == 1
    rendered = {name for name in counts if open_section(tmp_path / name).facts.rendered}
    assert rendered == {name for name in counts if "real" not in name}
    assert rendered == {name for name, each in facts["sections"].items() if each["rendered"]}
    assert np.allclose(facts["origin"], ORIGIN_ECEF)
    assert np.allclose(facts["up"], -ned_axes(HERE[:2])[:, 2])
    # Nothing is done twice.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.txt") if "split" not in path.name}
    assert len(CrossLocRelease("comballaz", release, tmp_path).run()) == len(counts)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_winter_is_a_group_of_its_own_and_photos_may_be_missing(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_sequence(raw / "matching" / "comballaz-winter-sim", "winter", 10)
    CrossLocRelease("comballaz", raw, tmp_path / "scene").run()
    assert {name for name in sections_of(tmp_path / "scene") if "chunk" not in name} == {
        f"{part}_winter_drone_sim" for part in ("train", "val", "test")
    }
    with pytest.raises(TransposeError, match=r"epfl does not have \(winter_drone\)"):
        CrossLocRelease("epfl", raw, tmp_path / "other").run()


def test_the_originals_command_sets_it_up(release: Path, tmp_path: Path) -> None:
    words = ["setup-comballaz", "--dataset_dir", str(release / "naturescape" / "naturescape-LHS")]
    assert main([*words, "--output_dir", str(tmp_path)]) == 0
    assert sections_of(tmp_path).keys() >= {"train_sim", "val_sim"}


def test_the_originals_scene_names_and_sections_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "raw", "lhs", 10)
    monkeypatch.chdir(tmp_path)
    assert main(["setup-comballaz", "--dataset_dir", "raw"]) == 0
    assert default_section(scene_folder(Path("comballaz_lhs_sim"))) == "train_sim"
    assert default_section(tmp_path) == "train"
    assert main(["setup", "comballaz", "--source", "raw", "--out", "scene", "--section", "train"]) == 1
    assert "comballaz_GROUP_split.txt" in capsys.readouterr().err
    assert main(["setup", "comballaz", "--out", "scene"]) == 1
    assert "needs --source" in capsys.readouterr().err


def test_labels_agree_with_poses(release: Path, tmp_path: Path) -> None:
    CrossLocRelease("comballaz", release, tmp_path).run()
    sim, real = (open_section(tmp_path / f"test_drone_{kind}") for kind in ("sim", "real"))
    down_3 = ned_axes(HERE[:2])[:, 2]
    for frame, photo in zip(sim.frames, real.frames, strict=True):
        assert frame.stem == photo.stem and photo.paths["rgb"].suffix == ".jpg"
        assert np.array_equal(frame.pose.T_wc, photo.pose.T_wc)
        assert photo.image().min() == 200 + int(frame.stem[-4:]) - 991  # the photo that the render is named after
        assert frame.image().shape == (48, 72, 3)
        assert frame.camera.fx == 48.0
        points_n3 = coordinates_at(frame, pixel_centers(72, 48)[8:].reshape(-1, 2))
        known_n = np.isfinite(points_n3).all(1)
        assert known_n.mean() > 0.8
        # Points lie in the plane of the meadow, half a metre of float32 aside.
        assert np.abs(points_n3[known_n] @ down_3).max() < 1.0
        normals_3hw = frame.normals()
        seen = np.isfinite(normals_3hw).all(0)
        up_3 = frame.pose.R_wc.T @ -down_3
        assert (np.einsum("ihw,i->hw", normals_3hw, up_3)[seen]).min() > 0.98
        assert set(np.unique(frame.semantics()[:12:6])) == {5, 255} and (frame.semantics()[12:] == 1).all()


def test_coordinates_are_those_of_the_cells_and_known_where_the_points_are(release: Path, tmp_path: Path) -> None:
    source = release / "naturescape" / "naturescape-LHS"
    CrossLocRelease("comballaz", source, tmp_path).run()
    frame = open_section(tmp_path / "train_sim").frames[0]
    points_hw3 = np.load(source / f"{frame.stem.removesuffix('_pic')}_pc.npy").astype(np.float64)
    expected_hw3 = points_hw3[4::8, 4::8] - ORIGIN_ECEF
    expected_hw3[points_hw3[4::8, 4::8, 0] == -1] = np.nan
    assert np.allclose(np.moveaxis(frame.coordinates(), 0, -1), expected_hw3, atol=1e-4, equal_nan=True)
    depth_hw = np.full((48, 72), np.nan)
    for row in range(6, 48):
        for column in range(72):
            world_4 = np.array([*(points_hw3[row, column] - ORIGIN_ECEF), 1.0])
            depth_hw[row, column] = (np.linalg.inv(frame.pose.T_wc) @ world_4)[2]
    assert np.allclose(frame.depth(), depth_hw, atol=1e-4, equal_nan=True)


def test_normals_match_a_twin_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    cells_hw3 = rng.normal(0, 1, (6, 7, 3)) * (10, 10, 0.1) + (0, 0, 50)
    cells_hw3[0, :3] = np.nan
    pose = some_pose()
    normals_hw3 = cell_normals(cells_hw3, pose)
    known = [cell for cell in cells_hw3.reshape(-1, 3) if np.isfinite(cell).all()]
    for cell_3, normal_3 in zip(cells_hw3.reshape(-1, 3), normals_hw3.reshape(-1, 3), strict=True):
        if not np.isfinite(cell_3).all():
            assert np.isnan(normal_3).all()
            continue
        near = sorted(known, key=lambda other, here=cell_3: float(np.linalg.norm(other - here)))[:16]
        axis_3 = np.linalg.svd(np.array(near) - np.mean(near, 0))[2][2]
        axis_3 = pose.R_wc.T @ axis_3
        if (pose.R_wc.T @ (cell_3 - pose.center)) @ axis_3 > 0:
            axis_3 = -axis_3
        assert np.allclose(normal_3, axis_3, atol=1e-9)


def some_pose() -> Pose:
    return Pose(exp_se3(np.array([0.2, -0.1, 0.5, 1.0, 2.0, -3.0])))


def test_files_are_shared_unless_copies_are_asked_for(release: Path, tmp_path: Path) -> None:
    CrossLocRelease("comballaz", release, tmp_path / "linked").run()
    CrossLocRelease("comballaz", release, tmp_path / "copied", copy=True).run()
    for name, links in (("linked", True), ("copied", False)):
        for layer in ("rgb", "depth"):
            path = next((tmp_path / name / "train_drone_real" / layer).iterdir())
            assert (path.stat().st_nlink > 1) == links


def test_a_run_that_was_cut_off_goes_on(release: Path, tmp_path: Path) -> None:
    source = release / "naturescape" / "naturescape-LHS"

    def cut(frames, _):  # type: ignore[no-untyped-def]
        for i, frame in enumerate(frames):
            if i == 5:
                raise KeyboardInterrupt
            yield frame

    with pytest.raises(KeyboardInterrupt):
        CrossLocRelease("comballaz", source, tmp_path, progress=cut).run()
    assert not (tmp_path / "train_sim").exists()
    seen: dict[str, int] = {}

    def count(frames, name):  # type: ignore[no-untyped-def]
        seen[name] = len(frames)
        return frames

    CrossLocRelease("comballaz", source, tmp_path, progress=count).run()
    assert seen["train_sim"] < 18
    assert sections_of(tmp_path)["train_sim"] + sections_of(tmp_path)["val_sim"] == 19


def test_the_published_sizes_come_out() -> None:
    stems = {g: [f"{g}_{i:05d}" for i in range(n)] for g, n in splits.PUBLISHED["epfl"].items()}
    split = splits.drawn("epfl", stems)
    assert {g: [len(part) for part in parts.values()] for g, parts in split.items()} == {
        "lhs": [13500, 1500],
        "drone": [1263, 315, 1580],
        "oop_drone": [544, 136, 680],
    }
    assert sorted(chain(*split["drone"].values())) == stems["drone"]
    # The flights are split alike where the renders of the hypercube were not fetched.
    del stems["lhs"]
    assert splits.drawn("epfl", stems) == {g: s for g, s in split.items() if g != "lhs"}
    nature = splits.drawn(
        "comballaz", {"drone": [str(i) for i in range(2114)], "oop_drone": list(map(str, range(565)))}
    )
    assert [len(part) for part in nature["drone"].values()] == [845, 211, 1058]
    assert [len(part) for part in nature["oop_drone"].values()] == [226, 56, 283]
    # np.random.seed(2021), then a permutation for each group in turn: what the published scripts do.
    np.random.seed(2021)  # noqa: NPY002
    np.random.permutation(np.arange(15000))  # noqa: NPY002
    assert split["drone"]["val"] == [f"drone_{i:05d}" for i in sorted(np.random.permutation(3158)[1263:1578])]  # noqa: NPY002


def test_chunks_are_nested() -> None:
    stems = [f"a{i:03d}" for i in range(101)]
    chunks = [splits.chunk(stems, share) for share in splits.CHUNKS]
    assert [len(each) for each in chunks] == [26, 51, 76]
    assert set(chunks[0]) < set(chunks[1]) < set(chunks[2])


def test_a_given_split_is_followed_and_another_one_replaces_it(tmp_path: Path) -> None:
    write_sequence(tmp_path / "raw", "lhs", 6)
    stems = [f"lhs_{i:05d}_pic" for i in range(6)]
    given = tmp_path / "raw" / "naturescape_lhs_split.txt"
    scene = tmp_path / "comballaz_lhs_sim"
    for kept_out in (stems[5], stems[2]):
        given.write_text(
            "Subset section ***train***\n"
            + "".join(f"{stem}\n" for stem in stems if stem != kept_out)
            + f"Subset section ***val***\n{kept_out}\n"
        )
        CrossLocRelease("comballaz", tmp_path / "raw", scene).run()
        assert [frame.stem for frame in open_section(scene / "val_sim").frames] == [kept_out]
        assert (scene / "comballaz_lhs_split.txt").read_text() == given.read_text()
    heading = "Subset section ***train***\n"
    broken = {
        "does not say where lhs_00001_pic belongs": heading + stems[0],
        "names zzz, which the source does not have": heading + "\n".join([*stems, "zzz"]),
        "names lhs_00000_pic twice": heading + "\n".join([*stems, stems[0]]),
        "line 1: names stand below": stems[0],
        "line 2: names stand below": "Subset section ***test***\n" + stems[0],
    }
    for words, text in broken.items():
        given.write_text(text)
        with pytest.raises(TransposeError, match=words):
            CrossLocRelease("comballaz", tmp_path / "raw", tmp_path / "other").run()
    assert not (tmp_path / "other").exists()


def test_broken_releases_are_refused(release: Path, tmp_path: Path) -> None:
    def fails(match: str, dataset: str = "comballaz", source: Path = tmp_path / "raw") -> None:
        with pytest.raises(TransposeError, match=match):
            CrossLocRelease(dataset, source, tmp_path / "scene").run()
        assert not (tmp_path / "scene" / "train_sim").exists()

    fails("is not a folder")
    fails("neither", source=tmp_path)
    write_sequence(tmp_path / "raw", "lhs", 3)
    fails("42 km from the origin; is it the other place", dataset="epfl")
    points, poses = tmp_path / "raw" / "lhs_00001_pc.npy", tmp_path / "raw" / "lhs_poses.npy"
    points.rename(tmp_path / "aside")
    fails(r"lacks the points \(_pc.npy\) of 1 renders, such as lhs_00001_pic_img.png")
    points.write_bytes(b"short")
    fails(r"00001_pc.npy cannot be read")
    np.save(points, np.full((96, 72, 3), -1, np.float32))
    fails(r"lhs_00001_pic_img.png has 72 x 48 pixels, lhs_00001_pc.npy 72 x 96")
    (tmp_path / "aside").replace(points)
    np.save(poses, np.load(poses)[:2])
    fails("has 2 poses, numbered from 0, and the render lhs_00002")
    np.save(poses, np.zeros((3, 7)))
    fails(r"has shape \(3, 7\)")


def test_nothing_good_is_said(tmp_path: Path) -> None:
    write_sequence(tmp_path / "raw", "lhs", 2)
    for path in (tmp_path / "raw").glob("*_pc.npy"):
        np.save(path, np.full((48, 72, 3), -1, np.float32))
    with pytest.raises(TransposeError, match="train_sim: none of 1 frames is good"):
        CrossLocRelease("comballaz", tmp_path / "raw", tmp_path / "scene").run()


def test_photos_that_are_not_of_the_renders_are_refused(tmp_path: Path) -> None:
    matching = tmp_path / "raw" / "matching"
    write_sequence(matching / "a-sim", "a", 10, photo="_DJI_{:04d}")

    def fails(match: str) -> None:
        with pytest.raises(TransposeError, match=match):
            CrossLocRelease("comballaz", tmp_path / "raw", tmp_path / "scene").run()

    names = [f"DJI_{number:04d}" for number in range(991, 1000)]
    write_photos(matching / "a-real", names)
    fails("has 9 photos, but there are 10 renders")
    files.write_image(matching / "a-real" / "other.JPG", np.zeros((48, 72, 3), np.uint8), 95)
    fails("most photos have the name of a render, but not other.JPG")
    (matching / "a-real" / "other.JPG").unlink()
    files.write_image(matching / "a-real" / "DJI_1000.JPG", np.zeros((96, 144, 3), np.uint8), 95)
    fails(r"DJI_1000.JPG has 144 x 96 pixels, its render 72 x 48")
    files.write_image(matching / "a-real" / "DJI_1000.JPG", np.zeros((48, 72, 3), np.uint8), 95)
    write_sequence(matching / "b-sim", "b", 10)
    fails("some sequences of drone have photos")
    write_photos(matching / "b-real", [str(i) for i in range(10)])
    write_sequence(matching / "c-outofplace-sim", "b", 10)
    fails("renders of different sequences have one name")


def test_names_without_numbers_are_matched_by_order(tmp_path: Path) -> None:
    write_sequence(tmp_path / "raw", "lhs", 3)
    by_number = read_sequence(tmp_path / "raw", ORIGIN_ECEF)
    for path in (tmp_path / "raw").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "-")))
    by_order = read_sequence(tmp_path / "raw", ORIGIN_ECEF)
    assert [frame.stem for frame in by_order] == ["lhs-0_pic", "lhs-1_pic", "lhs-2_pic"]
    for a, b in zip(by_number, by_order, strict=True):
        assert np.array_equal(a.pose.T_wc, b.pose.T_wc)
    np.save(tmp_path / "raw" / "lhs_poses.npy", np.load(tmp_path / "raw" / "lhs_poses.npy")[[0, 1, 2, 2]])
    with pytest.raises(TransposeError, match="4 poses, 3 images, 3 points and 3 semantics"):
        read_sequence(tmp_path / "raw", ORIGIN_ECEF)


def test_real_flights_stand_over_their_places() -> None:
    """Poses as published lie around the origins, and the cameras look where their yaw and pitch say."""
    presets = SHARED / "swiss" / "presets"
    flights = {"EPFL": "epfl", "comballaz": "comballaz", "sepey": "comballaz"}
    paths = [path for path in sorted(presets.glob("*_poses.npy")) if path.name.split("-")[0] in flights]
    if not paths:
        pytest.skip(f"the Swiss presets are not at {presets}")
    for path in paths:
        rows_n6 = np.load(path)
        origin = np.array(ORIGINS[flights[path.name.split("-")[0]]])
        lonlath_n3 = geodetic_from_ecef(rows_n6[:, :3])
        axes_n33 = ned_axes(lonlath_n3[:, :2])
        place_n3 = (rows_n6[:, :3] - ecef_from_geodetic(origin)) @ ned_axes(origin[:2])
        assert np.abs(place_n3[:, :2]).max() < 2000 and np.abs(lonlath_n3[:, 2] - origin[2]).max() < 700
        R_n33 = camera_rotations(lonlath_n3[:, :2], rows_n6[:, 3:])
        ahead_down_n = (R_n33[:, :, 2] * axes_n33[:, :, 2]).sum(1)
        assert np.allclose(ahead_down_n, -np.sin(np.radians(rows_n6[:, 4])), atol=1e-9)
        bearing_n = np.arctan2((R_n33[:, :, 2] * axes_n33[:, :, 1]).sum(1), (R_n33[:, :, 2] * axes_n33[:, :, 0]).sum(1))
        oblique_n = ahead_down_n < 0.99
        off_n = (np.degrees(bearing_n) - rows_n6[:, 3] + 180) % 360 - 180
        assert np.abs(off_n[oblique_n]).max(initial=0) < 1e-6


def test_a_scene_that_crossloc_made_is_read_as_it_is(tmp_path: Path) -> None:
    """Depth at the network's resolution in `.dat`, -1 for what is unknown, LAS ids, renders with an alpha channel, and
    photos that are linked under the names of PNG files."""
    section = tmp_path / "urbanscape" / "train_drone_real"
    for layer in ("rgb", "poses", "calibration", "depth", "init", "normal", "semantics"):
        (section / layer).mkdir(parents=True)
    photo = tmp_path / "DJI_0001.JPG"
    Image.new("RGB", (720, 480), (200, 100, 50)).save(photo)
    (section / "rgb" / "a_00001_DJI_0001.png").symlink_to(photo)
    Image.new("RGBA", (720, 480), (1, 2, 3, 0)).save(section / "rgb" / "b.png")
    init = torch.full((3, 60, 90), 7.0)
    init[:, :5] = -1
    semantics_hw = np.full((480, 720), 2, np.int8)
    semantics_hw[:100], semantics_hw[100:200], semantics_hw[200:300] = 0, 17, -1
    for stem in ("a_00001_DJI_0001", "b"):
        np.savetxt(section / "poses" / f"{stem}.txt", np.eye(4), newline="\n")
        (section / "calibration" / f"{stem}.txt").write_text("480.0")
        for layer, value in (("depth", init[2]), ("init", init), ("normal", init)):
            torch.save(value.clone(), section / layer / f"{stem}.dat")
        np.save(section / "semantics" / f"{stem}.npy", semantics_hw)
    first, second = open_section(section).frames
    assert (first.image()[0, 0] - np.array([200, 100, 50])).max() < 4 and second.image()[0, 0].tolist() == [1, 2, 3]
    for frame in (first, second):
        assert frame.camera == Camera.from_focal(480, 720, 480)
        assert frame.has("cell_depth") and not frame.has("depth")
        points_n3 = coordinates_at(frame, np.array([[4.0, 4.0], [100.0, 100.0]]))
        assert np.isnan(points_n3[0]).all() and np.allclose(points_n3[1], 7)
        depth_hw = frame.cell_depth()
        assert depth_hw.shape == (60, 90) and np.isnan(depth_hw[:5]).all() and (depth_hw[5:] == 7).all()
        assert np.isnan(frame.normals()[:, :5]).all() and (frame.normals()[:, 5:] == 7).all()
        assert frame.semantics()[::100, 0].tolist() == [0, 5, 255, 1, 1]
