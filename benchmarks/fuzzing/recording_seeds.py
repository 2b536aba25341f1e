"""Readers of recordings: TUM's and those of phone apps, and of their videos."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fuzzing import seeds
from fuzzing.sandbox import Files, Reader
from transpose.geometry.lens import Lens
from transpose.scenes.setup import arkit_frames, arkit_scenes, polycam, record3d, stray, tum
from transpose.scenes.setup.photo_files import existing
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.scenes.setup.trajectories import read_trajectory
from transpose.scenes.video import VideoFacts, video_facts, video_frames

_LENS = Lens(16, 12, 20.0, 20.0, 8.0, 6.0)


def _tum(_: Path) -> list[Files]:
    truth = "# x\n0.0 0 0 0 0 0 0 1\n1.0 1 0 0 0 0 0.7071 0.7071\n2.0 1, 1, 0 0 0 0 1\n"
    pictures = {"rgb/0.5.png": seeds.encoded("PNG"), "depth/0.51.png": seeds.depth_png()}
    lists = {"rgb.txt": b"# x\n0.5 rgb/0.5.png\n", "depth.txt": b"0.51 depth/0.51.png\n"}
    return [{**pictures, **lists, "groundtruth.txt": truth.encode()}]


def _read_tum(folder: Path) -> None:
    colors = existing(tum._images(folder, "rgb.txt"), "train")
    truth = read_trajectory(folder / "groundtruth.txt")
    depths = tum._depths(folder, colors, tum.TOLERANCE_S)
    for photo in tum._photos(colors, depths, _LENS, truth, tum.TOLERANCE_S, 1 / 5000.0):
        if photo.depth is not None:
            photo.depth()


def _polycam(_: Path) -> list[Files]:
    camera = {"width": 16, "height": 12, "fx": 20.0, "fy": 20.0, "cx": 8.0, "cy": 6.0, "timestamp": 5}
    camera |= {f"t_{row}{column}": float(row == column) for row in range(3) for column in range(4)}
    sure = seeds.encoded("PNG", np.full((12, 16), 255, np.uint8))
    held = {"cameras/5.json": json.dumps(camera).encode(), "images/5.jpg": seeds.encoded("JPEG")}
    return [{**held, "depth/5.png": seeds.depth_png(), "confidence/5.png": sure}]


def _read_polycam(folder: Path) -> None:
    photo = polycam._photo(folder, folder / "cameras" / "5.json", "")
    if photo.depth is not None:
        photo.depth()


def _scanner_app(_: Path) -> list[Files]:
    frame = {"cameraPoseARFrame": np.eye(4).ravel().tolist(), "intrinsics": [20.0, 0, 8, 0, 20, 6, 0, 0, 1]}
    sure = seeds.encoded("PNG", np.full((12, 16), 2, np.uint8))
    held = {"frame_00000.json": json.dumps(frame).encode(), "frame_00000.jpg": seeds.encoded("JPEG")}
    return [{**held, "depth_00000.png": seeds.depth_png(), "conf_00000.png": sure}]


def _arkitscenes(_: Path) -> list[Files]:
    sure = seeds.encoded("PNG", np.full((12, 16), 2, np.uint8))
    held = {"lowres_wide.traj": b"1.0 0 0 0 0 0 0\n1.1 0.1 0 0 1 0 0\n"}
    held |= {"lowres_wide/v_1.000.png": seeds.encoded("PNG"), "confidence/v_1.000.png": sure}
    held |= {"lowres_wide_intrinsics/v_1.001.pincam": b"16 12 20 20 8 6", "lowres_depth/v_1.000.png": seeds.depth_png()}
    return [held]


def _read_arkit(photos_of: Callable[[Path], list[PosedPhoto]], folder: Path) -> None:
    for photo in photos_of(folder):
        if photo.depth is not None:
            photo.depth()


def _stray(_: Path) -> list[Files]:
    rows = "timestamp, frame, x, y, z, qx, qy, qz, qw\n0.1, 000000, 0, 0, 0, 0, 0, 0, 1\n"
    rows += "0.2, 000001, 1, 0, 0, 0, 0, 0, 1\n"
    sure = seeds.encoded("PNG", np.full((12, 16), 2, np.uint8))
    held = {"camera_matrix.csv": b"20,0,8\n0,20,6\n0,0,1\n", "depth/000000.png": seeds.depth_png()}
    held |= {"depth/000001.npy": seeds.npy(np.full((12, 16), 1500, np.uint16)), "confidence/000000.png": sure}
    plain = "\n".join(",".join(line.split(",")[2:]) for line in rows.splitlines()[1:])
    return [{**held, "odometry.csv": text.encode()} for text in (rows, plain)]


def _read_stray(folder: Path) -> None:
    lens = stray._lens(folder / "camera_matrix.csv", VideoFacts(16, 12, 30.0, 2))
    for row in stray._odometry(folder / "odometry.csv"):
        photo = stray._photo(folder, row, lens, folder)
        if photo.depth is not None:
            photo.depth()


def _record3d(_: Path) -> list[Files]:
    depth = np.full((3, 4), 1.5, np.float32).tobytes()
    packed = b"bvx-" + len(depth).to_bytes(4, "little") + depth + b"bvx$"
    said = {"w": 16, "h": 12, "dw": 4, "dh": 3, "K": [20, 0, 0, 0, 20, 0, 8, 6, 1], "poses": [[0, 0, 0, 1, 0, 0, 0]]}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("metadata", json.dumps(said))
        archive.writestr("rgbd/0.depth", packed)
        archive.writestr("rgbd/0.jpg", seeds.encoded("JPEG"))
    image = {"000000.jpg": seeds.encoded("JPEG")}
    folder = {"r/metadata": json.dumps(said).encode(), "r/rgbd/0.depth": packed, "r/rgbd/0.jpg": image["000000.jpg"]}
    return [{**image, "r": made.getvalue()}, {**image, **folder}]


def _read_record3d(folder: Path) -> None:
    with contextlib.closing(record3d._Recording(folder / "r")) as recording:
        said = record3d._metadata(recording)
        for number in range(min(len(said.poses), 5)):
            photo = record3d._photo(recording, said, number, folder)
            recording.read(f"rgbd/{number}.jpg")
            if photo.depth is not None:
                photo.depth()


def _videos(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, code in (("a.mp4", "mp4v"), ("a.avi", "MJPG")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (32, 32))
        for shade in range(3):
            writer.write(np.full((32, 32, 3), 80 * shade, np.uint8))
        writer.release()
        found.append({name: path.read_bytes()})
    return found


def _read_video(folder: Path) -> None:
    path = next(folder.iterdir())
    video_facts(path)
    for _ in video_frames(path, [0, 2, 5]):
        pass


RECORDING_READERS = (
    Reader("TUM's lists and trajectories", _tum, _read_tum, (".txt",)),
    Reader("Polycam's cameras", _polycam, _read_polycam, (".json", "depth/5.png", "confidence/5.png")),
    Reader("3D Scanner App's frames", _scanner_app, partial(_read_arkit, arkit_frames.photos_of), (".json", ".png")),
    Reader("ARKitScenes' tables", _arkitscenes, partial(_read_arkit, arkit_scenes.photos_of), (".traj", ".pincam")),
    Reader("Stray Scanner's tables", _stray, _read_stray, (".csv", ".png", ".npy")),
    Reader("Record3D's recordings", _record3d, _read_record3d, ("r", "metadata", ".depth")),
    Reader("videos", _videos, _read_video, share=0.25),
)
