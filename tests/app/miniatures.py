"""One small input of every kind that `transpose up` takes, in the formats that programs write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from tests.scenes.phone_scan import LENS, photo
from tests.scenes.raw_7scenes import write_raw
from tests.scenes.raw_tum import write_tum
from tests.scenes.test_arkit import write_arkitscenes, write_scanner_app
from tests.scenes.test_polycam import write_polycam
from tests.scenes.test_posed_photos import transforms, write_binary_model, write_text_model
from tests.scenes.test_record3d import write_r3d
from tests.scenes.test_rooms_and_streets import write_room, write_street
from tests.scenes.test_stray import write_stray
from tests.scenes.test_video import write_video
from tests.worlds.quarters import picture, write_obj
from tests.worlds.raster_files import plain_files
from tests.worlds.surveys import survey_points, write_las, write_ply
from transpose.scenes import files


def pictures(folder: Path, count: int = 3) -> Path:
    """Photos before a wall, of which nothing else is known."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        files.write_image(folder / f"{k}.jpg", photo(k), 95)
    return folder


def mesh(path: Path) -> Path:
    """An OBJ with its picture, or what trimesh makes of a box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".obj":
        write_obj(path)
        path.with_name("m.mtl").write_text("newmtl mat\nmap_Kd tex.png\n")
        picture().save(path.with_name("tex.png"))
        return path
    trimesh.creation.box((1, 1, 1)).export(path)
    return path


def nerfstudio(folder: Path) -> Path:
    """Photos and transforms.json."""
    pictures(folder / "images")
    (folder / "transforms.json").write_text(json.dumps(transforms()))
    return folder


def colmap(folder: Path, write: Callable[[Path], None] = write_text_model) -> Path:
    """Photos and a sparse model."""
    pictures(folder / "images")
    write(folder / "sparse" / "0")
    return folder


def terrain(folder: Path) -> Path:
    """Heights, and an orthophoto."""
    folder.mkdir()
    plain_files(folder)
    return folder


def las(path: Path) -> Path:
    """A survey's points."""
    xyz_n3, rgb_n3, _ = survey_points(0.5)
    return write_las(path, xyz_n3, rgb_n3 * 257)


def odm(folder: Path) -> Path:
    """A project of OpenDroneMap."""
    mesh(folder / "odm_texturing" / "odm_textured_model_geo.obj")
    return folder


def cloud_ply(path: Path) -> Path:
    """Points in PLY."""
    xyz_n3, rgb_n3, _ = survey_points(0.5)
    return write_ply(path, xyz_n3, rgb_n3.astype(np.uint8))


def written(write: Callable[[Path], None], folder: Path) -> Path:
    """What a writer makes in a folder."""
    write(folder)
    return folder


MAKERS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "scan.obj": (mesh, "mesh", "build mesh"),
    "scan.glb": (mesh, "mesh", "build mesh"),
    "scan.ply": (mesh, "mesh", "build mesh"),
    "points.ply": (cloud_ply, "cloud", "build cloud"),
    "points.las": (las, "cloud", "build cloud"),
    "tiles": (terrain, "terrain", "build terrain"),
    "drone": (odm, "odm", "build odm"),
    "kitchen": (lambda p: write_raw(p, {"seq-01": ["frame-000000", "frame-000001"]}), "7scenes", "setup 7scenes"),
    "apt1": (lambda p: written(write_room, p), "12scenes", "setup 12scenes"),
    "street": (lambda p: written(write_street, p), "cambridge", "setup cambridge"),
    "desk": (lambda p: write_tum(p, LENS, 2), "tum", "setup tum"),
    "walk": (lambda p: write_stray(p, 2), "stray", "setup stray"),
    "poly": (lambda p: write_polycam(p, 2), "polycam", "setup polycam"),
    "room.r3d": (lambda p: write_r3d(p, 2), "record3d", "setup record3d"),
    "app": (lambda p: write_scanner_app(p, 2), "arkit", "setup arkit"),
    "47333462": (lambda p: write_arkitscenes(p, 2), "arkit", "setup arkit"),
    "fox": (nerfstudio, "nerfstudio", "setup nerfstudio"),
    "col": (colmap, "colmap", "setup colmap"),
    "bin": (lambda p: colmap(p, write_binary_model), "colmap", "setup colmap"),
    "film.mp4": (lambda p: write_video(p, 4), "video", "setup video"),
    "photos": (pictures, "reconstruct", "setup reconstruct"),
}
"""By the name of the file or folder: what makes it, its kind, and the command that takes it in."""


def png(path: Path) -> Path:
    """One picture."""
    Image.new("RGB", (8, 8)).save(path)
    return path
