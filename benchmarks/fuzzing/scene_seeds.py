"""Readers of scenes, and of what other programs write of photos: poses, cameras, projects, lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fuzzing import seeds
from fuzzing.sandbox import Files, Reader
from transpose.app.services.localizing import camera_from
from transpose.scenes import files
from transpose.scenes.camera_files import read_camera_file
from transpose.scenes.facts import read_scene_facts, read_section_facts
from transpose.scenes.layout import open_section

_T_WC = [[1, 0, 0, 0.5], [0, 1, 0, 1], [0, 0, 1, 2], [0, 0, 0, 1]]


def _poses(_: Path) -> list[Files]:
    lost = "nan nan nan nan\n" * 4
    texts = (
        seeds.POSE,
        " ".join(seeds.POSE.split()),
        seeds.POSE.replace(" ", ", "),
        "[[1 0 0 1]\n[0 1 0 1]\n[0 0 1 1]]",
        lost,
    )
    return [{"a.txt": text.encode()} for text in texts]


def _read_pose(folder: Path) -> None:
    if not files.is_lost(folder / "a.txt"):
        files.read_pose(folder / "a.txt")


def _calibrations(_: Path) -> list[Files]:
    return [
        {"a.txt": text}
        for text in (b"525.5\n", b"525 0 320\n0 525 240\n0 0 1\n", b"9 0 8\n0 9 6\n0 0 1\n0.1 -0.01 0\n")
    ]


def _camera_files(_: Path) -> list[Files]:
    matrix = "[500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]"
    ros = (
        f"image_width: 640\nimage_height: 480\ncamera_name: x\ncamera_matrix:\n  rows: 3\n  cols: 3\n  data: {matrix}\n"
    )
    ros += "distortion_model: plumb_bob\ndistortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [0.1, 0, 0, 0, 0]\n"
    kalibr = "cam0:\n  camera_model: pinhole\n  intrinsics: [500, 500, 320, 240]\n  distortion_model: equidistant\n"
    kalibr += "  distortion_coeffs: [0.1, 0, 0, 0]\n  resolution: [640, 480]\n"
    plain = {"model": "OPENCV", "width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 320, "cy": 240, "k1": 0.1}
    nerf = {"w": 640, "h": 480, "fl_x": 500, "k1": 0.1, "camera_model": "OPENCV", "frames": []}
    sfm = {
        "v2 x": {
            "projection_type": "brown",
            "width": 640,
            "height": 480,
            "focal_x": 0.8,
            "focal_y": 0.8,
            "c_x": 0,
            "k1": 0,
        }
    }
    return [
        {"a.yaml": ros.encode()},
        {"a.yaml": kalibr.encode()},
        *({"a.json": json.dumps(each).encode()} for each in (plain, {"camera": plain}, nerf, sfm)),
        {"a.txt": b"# cameras\n1 OPENCV 640 480 500 500 320 240 0.1 0 0 0\n"},
    ]


def _read_camera_file(folder: Path) -> None:
    read_camera_file(next(folder.iterdir()))


def _photo_cameras(_: Path) -> list[Files]:
    plain = {"model": "SIMPLE_RADIAL", "width": 640, "height": 480, "focal_px": 500, "k1": 0.1}
    return [{"a.json": json.dumps(each).encode()} for each in (plain, {"camera": plain})]


def _facts(_: Path) -> list[Files]:
    plan = {"setup": "photos", "world": "w"}
    section = {"format": 1, "rendered": True, "semantics": "classes", "depth": "png_mm", "frames": 1, "plan": plan}
    scene = {
        "licence": "x",
        "metric": True,
        "sections": {"train": {"frames": 1, "depth": "npz_m", "rendered_from": "w"}},
    }
    return [
        {"scene.json": json.dumps(scene).encode(), "train/section.json": json.dumps(section).encode()},
        {"scene.json": json.dumps(scene).encode(), "train/x.json": b"{}"},
    ]


def _read_facts(folder: Path) -> None:
    facts = read_section_facts(folder / "train")
    _ = facts.digest, facts.plan, facts.world
    read_scene_facts(folder)


def _section(_: Path) -> list[Files]:
    init = np.zeros((3, 2, 2), np.float32)
    import torch

    held = {
        "s/rgb/a.png": seeds.encoded("PNG"),
        "s/poses/a.txt": seeds.POSE.encode(),
        "s/calibration/a.txt": b"20\n",
        "s/init/a.dat": seeds.pt(torch.from_numpy(init)),
        "s/semantics/a.npy": seeds.npy(np.zeros((12, 16), np.uint8)),
    }
    return [
        {**held, "s/depth/a.png": seeds.depth_png()},
        {**held, "s/depth/a.npz": seeds.npz(depth=np.ones((12, 16), np.float32))},
    ]


def _read_section(folder: Path) -> None:
    for frame in open_section(folder / "s").frames:
        frame.image()
        _ = frame.pose, frame.camera
        frame.depth(), frame.coordinates(), frame.semantics()


def _depths(_: Path) -> list[Files]:
    import zipfile

    depth = np.ones((12, 16), np.float32)
    return [
        {"a.png": seeds.depth_png()},
        {"a.npz": seeds.npz(depth=depth)},
        {"a.npz": seeds.archive(zipfile.ZIP_DEFLATED, depth_dot_npy=seeds.npy(depth.astype(np.float16)))},
    ]


def _labels(_: Path) -> list[Files]:
    import torch

    init = torch.ones(3, 2, 2)
    return [
        {"a.dat": seeds.pt(init)},
        {"a.dat": seeds.pt(init, True)},
        {"a.npy": seeds.npy(np.zeros((12, 16), np.int16))},
    ]


def _read_labels(folder: Path) -> None:
    path = next(folder.iterdir())
    if path.suffix == ".dat":
        files.read_map(path)
    else:
        files.read_semantics(path)
        files.read_array(path)


SCENE_READERS = (
    Reader("poses (text)", _poses, _read_pose),
    Reader("calibration (text)", _calibrations, lambda folder: files.read_camera(folder / "a.txt", 640, 480)),
    Reader("camera files (YAML, JSON, COLMAP)", _camera_files, _read_camera_file),
    Reader("camera of a photo (JSON)", _photo_cameras, lambda folder: camera_from(folder / "a.json", 640, 480)),
    Reader("scene.json, section.json", _facts, _read_facts),
    Reader("section folder", _section, _read_section),
    Reader("depth (PNG, npz)", _depths, lambda folder: files.read_depth(next(folder.iterdir()))),
    Reader("labels (dat, npy)", _labels, _read_labels),
)
