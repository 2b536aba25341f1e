"""A release of CrossLoc's benchmark in miniature, as TOPO-DataGen writes it, quirks included."""

from pathlib import Path

import numpy as np
import pytest
import torch

from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.geodesy import camera_rotations, ecef_from_geodetic, ned_axes
from transpose.scenes import files
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import open_section
from transpose.scenes.setup.crossloc import ORIGINS, CrossLocSetup

CAMERA = Camera.from_focal(48.0, 72, 48)
HERE = np.array([*ORIGINS["comballaz"][:2], 1550.0])  # 140 m over the ground at the origin


def write_sequence(folder: Path, name: str, frames: int, seed: int = 0, spoiled: int = -1) -> None:
    """A flat meadow from a drone; `spoiled` is a frame whose points are not where they are seen."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    poses = []
    down_3 = ned_axes(HERE[:2])[:, 2]
    for i in range(frames):
        place_3 = HERE + np.array([*rng.uniform(-3e-4, 3e-4, 2), rng.uniform(-10, 10)])
        center_3 = ecef_from_geodetic(place_3)
        angles_3 = np.array([rng.uniform(0, 360), rng.uniform(-90, -60), rng.uniform(-10, 10)])
        R_33 = camera_rotations(place_3[:2], angles_3)
        rays_hw3 = CAMERA.unproject(pixel_centers(72, 48)) @ R_33.T
        depth_hw = (ecef_from_geodetic([*HERE[:2], 1410.0]) - center_3) @ down_3 / (rays_hw3 @ down_3)
        points_hw3 = (center_3 + rays_hw3 * depth_hw[..., None]).astype(np.float32)
        if i == spoiled:
            points_hw3 += 40.0
        points_hw3[:6] = -1
        poses.append([*center_3, *angles_3])
        stem = folder / f"{name}_{i:05d}"
        files.write_image(Path(f"{stem}_pic_img.png"), np.full((48, 72, 3), 20 * i % 255, np.uint8))
        np.save(f"{stem}_pc.npy", points_hw3)
        semantics_hw = np.full((48, 72), 2, np.int64)
        semantics_hw[:6], semantics_hw[6:12] = -1, 17
        np.save(f"{stem}_semantics.npy", semantics_hw)
    np.save(folder / f"{name}_poses.npy", np.array(poses))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("naturescape")
    write_sequence(folder / "comballaz-LHS", "lhs", 20, seed=1, spoiled=3)
    for number, name in enumerate(("flight1", "flight2-outofplace"), 2):
        write_sequence(folder / "matching" / f"{name}-sim", name, 10, seed=number)
        real = folder / "matching" / f"{name}-real"
        real.mkdir()
        for i in range(10):
            files.write_image(real / f"DJI_{i:04d}.JPG", np.full((48, 72, 3), 200 + i, np.uint8), 95)
    return folder


def test_a_release_becomes_all_its_sections(release: Path, tmp_path: Path) -> None:
    assert main(["setup", "comballaz", "--source", str(release), "--out", str(tmp_path)]) == 0
    counts = {p.name: len(open_section(p)) for p in tmp_path.iterdir() if p.is_dir()}
    for kind in ("real", "sim"):
        for group in ("drone", "oop_drone"):
            assert [counts[f"{part}_{group}_{kind}"] for part in ("train", "val", "test")] == [4, 1, 5]
            assert [counts[f"train_{group}_{kind}_chunk_{share}"] for share in ("0.25", "0.50", "0.75")] == [1, 2, 3]
    assert counts["train_sim"] + counts["val_sim"] == 19  # the spoiled frame is dropped
    assert counts["train_sim_plus_drone_sim"] == counts["train_sim"] + 4
    assert len((tmp_path / "comballaz_lhs_split.txt").read_text().splitlines()) == 20
    again = CrossLocSetup("comballaz", release, tmp_path).run()
    assert len(again) == len(counts)


def test_the_originals_command_sets_it_up(release: Path, tmp_path: Path) -> None:
    assert main(["setup-comballaz", "--dataset_dir", str(release), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "train_sim").is_dir()


def test_labels_agree_with_poses(release: Path, tmp_path: Path) -> None:
    CrossLocSetup("comballaz", release, tmp_path).run()
    sim, real = (open_section(tmp_path / f"test_drone_{kind}") for kind in ("sim", "real"))
    for frame, photo in zip(sim.frames, real.frames, strict=True):
        assert frame.stem == photo.stem and photo.paths["rgb"].suffix == ".jpg"
        assert np.array_equal(frame.pose.T_wc, photo.pose.T_wc)
        assert (photo.image() > 150).all() and not (frame.image() > 200).all()
        assert frame.camera.fx == 48.0
        px_n2 = pixel_centers(72, 48)[8:].reshape(-1, 2)
        points_n3 = coordinates_at(frame, px_n2)
        known_n = np.isfinite(points_n3).all(1)
        assert known_n.mean() > 0.8
        # Points lie in the plane of the meadow, half a metre of float32 aside.
        down_3 = ned_axes(HERE[:2])[:, 2]
        assert np.abs(points_n3[known_n] @ down_3).max() < 1.0
        normals_3hw = files.read_map(frame.paths["normal"])
        seen = np.isfinite(normals_3hw).all(0)
        up_3 = frame.pose.R_wc.T @ -down_3
        assert (np.einsum("ihw,i->hw", normals_3hw, up_3)[seen]).min() > 0.98
        classes_hw = files.read_semantics(frame.paths["semantics"])
        assert set(np.unique(classes_hw)) == {1, 5, 255}


def test_files_are_shared_unless_copies_are_asked_for(release: Path, tmp_path: Path) -> None:
    CrossLocSetup("comballaz", release, tmp_path / "linked").run()
    CrossLocSetup("comballaz", release, tmp_path / "copied", copy=True).run()
    for name, links in (("linked", True), ("copied", False)):
        path = next((tmp_path / name / "train_drone_real" / "depth").iterdir())
        assert (path.stat().st_nlink > 1) == links


def test_one_sequence_is_split_as_it_says_or_at_random(tmp_path: Path) -> None:
    write_sequence(tmp_path / "raw", "lhs", 6)
    stems = [f"lhs_{i:05d}" for i in range(6)]
    (tmp_path / "raw" / "comballaz_lhs_split.txt").write_text(
        "\n".join(f"{s} train" for s in stems[:5]) + f"\n{stems[5]} val"
    )
    scene = tmp_path / "comballaz_lhs_sim"
    CrossLocSetup("comballaz", tmp_path / "raw", scene).run()
    assert [frame.stem for frame in open_section(scene / "val_sim").frames] == ["lhs_00005"]
    (tmp_path / "raw" / "comballaz_lhs_split.txt").write_text("lhs_00000 train\n")
    with pytest.raises(TransposeError, match="does not say whether lhs_00001"):
        CrossLocSetup("comballaz", tmp_path / "raw", tmp_path / "other").run()


def test_broken_releases_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="neither"):
        CrossLocSetup("epfl", tmp_path, tmp_path / "scene").run()
    write_sequence(tmp_path / "raw", "lhs", 3)
    (tmp_path / "raw" / "lhs_00001_pc.npy").unlink()
    with pytest.raises(TransposeError, match="3 poses, 3 images, 2 points"):
        CrossLocSetup("epfl", tmp_path / "raw", tmp_path / "scene").run()
    (tmp_path / "raw" / "lhs_00001_pc.npy").write_bytes(b"short")
    with pytest.raises(TransposeError, match=r"00001_pc.npy cannot be read"):
        CrossLocSetup("comballaz", tmp_path / "raw", tmp_path / "scene").run()
    assert not (tmp_path / "scene" / "train_sim").exists()


def test_a_scene_that_crossloc_made_is_read_as_it_is(tmp_path: Path) -> None:
    """Depth at the network's resolution in `.dat`, -1 for what is unknown, semantics of the whole image."""
    section = tmp_path / "urbanscape" / "train_sim"
    for layer in ("rgb", "poses", "calibration", "depth", "init", "normal", "semantics"):
        (section / layer).mkdir(parents=True)
    files.write_image(section / "rgb" / "a.png", np.zeros((480, 720, 3), np.uint8))
    np.savetxt(section / "poses" / "a.txt", np.eye(4))
    (section / "calibration" / "a.txt").write_text("480.0\n")
    init = torch.full((3, 60, 90), 7.0)
    init[:, :5] = -1
    for layer, value in (("depth", init[2]), ("init", init), ("normal", init)):
        torch.save(value.clone(), section / layer / "a.dat")
    np.save(section / "semantics" / "a.npy", np.zeros((480, 720), np.uint8))
    frame = open_section(section).frames[0]
    assert frame.has("cell_depth") and not frame.has("depth")
    points_n3 = coordinates_at(frame, np.array([[4.0, 4.0], [100.0, 100.0]]))
    assert np.isnan(points_n3[0]).all() and np.allclose(points_n3[1], 7)
