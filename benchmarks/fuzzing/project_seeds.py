"""Readers of what other programs and data sets write of photos: poses, cameras, lists."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import seeds
from fuzzing.sandbox import Files, Reader
from transpose.scenes import files
from transpose.scenes.setup import nerfstudio, sevenscenes, swiss, twelvescenes
from transpose.scenes.setup.cambridge import read_nvm
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.crossloc_splits import recorded
from transpose.scenes.setup.odm import read_odm_photos
from transpose.scenes.setup.photo_files import listed
from transpose.scenes.setup.photos import read_posed_photos
from transpose.scenes.setup.posed_photos import PosedPhoto

_T_WC = [[1, 0, 0, 0.5], [0, 1, 0, 1], [0, 0, 1, 2], [0, 0, 0, 1]]


def _colmap_text(_: Path) -> list[Files]:
    return [
        {
            "cameras.txt": b"# x\n1 SIMPLE_RADIAL 640 480 500 320 240 0.1\n2 OPENCV 640 480 5e2 500 320 240 0 0 0 0\n",
            "images.txt": b"# x\n1 1 0 0 0 0.5 1 2 1 a.png\n1.5 2.5 7 3 4 -1\n2 0.7 0.7 0 0 1 1 1 2 x/b c.png\n\n",
            "points3D.txt": b"# x\n7 0.5 1 2 255 0 0 0.1 1 0 2 1\n8 1 1 1 0 0 0 0 1 1\n",
        }
    ]


def _colmap_binary(_: Path) -> list[Files]:
    cameras = struct.pack("<QiiQQ4d", 1, 1, 2, 640, 480, 500, 320, 240, 0.1)
    image = struct.pack("<i7di", 1, 1, 0, 0, 0, 0.5, 1, 2, 1) + b"a.png\0"
    images = (
        struct.pack("<Q", 1) + image + struct.pack("<QddqQ", 2, 1.5, 2.5, 7, 0)[:-8] + struct.pack("<ddq", 3, 4, -1)
    )
    points = struct.pack("<QQ3d3BdQ2i", 1, 7, 0.5, 1, 2, 255, 0, 0, 0.1, 1, 1, 0)
    return [{"cameras.bin": cameras, "images.bin": images, "points3D.bin": points}]


def _read_colmap(folder: Path) -> None:
    model = read_model(folder)
    for image in model.images:
        model.seen_in(image)


def _transforms(_: Path) -> list[Files]:
    frame: dict[str, Any] = {"file_path": "images/a.png", "transform_matrix": _T_WC, "depth_file_path": "depth/a.png"}
    common = {"w": 16, "h": 12, "fl_x": 20.0, "fl_y": 20.0, "cx": 8, "cy": 6, "k1": 0.01, "camera_model": "OPENCV"}
    applied = {
        "applied_transform": _T_WC[:3],
        "applied_scale": 0.5,
        "train_filenames": ["images/a.png"],
        "integer_depth_scale": 0.001,
    }
    angles = {"camera_angle_x": 0.8, "aabb_scale": 4, "frames": [{**frame, "file_path": "./images/a"}]}
    photos = {"images/a.png": seeds.encoded("PNG"), "depth/a.png": seeds.depth_png()}
    matrix = {"frames": [{**frame, "intrinsics": [[20, 0, 8], [0, 20, 6], [0, 0, 1]], "w": "16", "h": 12}]}
    kinds = ({**common, **applied, "frames": [frame]}, angles, matrix)
    return [{**photos, "transforms.json": json.dumps(each).encode()} for each in kinds]


def _read_transforms(folder: Path) -> None:
    """All but the writing of photos, which takes a thousand times as long."""
    path = folder / "transforms.json"
    content = nerfstudio._read(path)
    frames = nerfstudio._frames(path, content, None)
    for key in nerfstudio._SPLITS.values():
        if content.get(key):
            nerfstudio._split(path, content[key], frames)
    nerfstudio.metres_per_unit(path, content)
    for photo in nerfstudio._photos(nerfstudio.existing(frames, "train")):
        files.read_image(photo.image)
        if photo.depth is not None:
            photo.depth()


def _posed(_: Path) -> list[Files]:
    camera = {"model": "SIMPLE_RADIAL", "width": 16, "height": 12, "focal_px": 20, "k1": 0.01}
    turned = {"R_w2c": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "C": [1, 2, 3]}
    content = {"crs": "EPSG:32615", "camera": camera, "poses": {"a.png": {"T_wc": _T_WC}, "b.png": turned}}
    own = {
        "poses": {
            "a.png": {
                "T_wc": _T_WC,
                "camera": {"model": "OPENCV", "width": 16, "height": 12, "parameters": [20, 20, 8, 6, 0, 0, 0, 0]},
            }
        }
    }
    photo = {"images/a.png": seeds.encoded("PNG")}
    return [{**photo, "poses.json": json.dumps(each).encode()} for each in (content, own)]


def _read_posed(folder: Path) -> None:
    for photo in read_posed_photos(folder)[1]:
        if photo.image.is_file():
            files.read_image(photo.image)


def _odm(_: Path) -> list[Files]:
    said = {
        "filename": "a.png",
        "camera": "c",
        "width": 16,
        "height": 12,
        "translation": [1, 2, 3],
        "rotation": [3, 0, 0.1],
    }
    shots = {"type": "FeatureCollection", "features": [{"properties": said, "geometry": None}]}
    lens = {
        "c": {
            "projection_type": "brown",
            "width": 16,
            "height": 12,
            "focal_x": 0.8,
            "focal_y": 0.8,
            "c_x": 0,
            "c_y": 0,
            "k1": 0.1,
        }
    }
    common = {"images/a.png": seeds.encoded("PNG"), "odm_report/shots.geojson": json.dumps(shots).encode()}
    reconstruction = [{"cameras": lens, "shots": {"a.png": {"camera": "c"}}}]
    return [
        {
            **common,
            "cameras.json": json.dumps(lens).encode(),
            "odm_georeferencing/proj.txt": b"+proj=utm +zone=15 +datum=WGS84",
        },
        {**common, "opensfm/reconstruction.json": json.dumps(reconstruction).encode()},
    ]


def _read_odm(folder: Path) -> None:
    """A folder that is no project any longer is none of this reader's."""
    read_odm_photos(folder)


def _nvm(_: Path) -> list[Files]:
    text = "NVM_V3\n\n2\na.jpg\t500.0 1 0 0 0 0.5 1 2 -0.1 0\nb c.jpg 500 1 0 0 0 1 1 1 0 0\n\n1\n"
    return [{"a.nvm": (text + "0.5 1 2 255 0 0 2 0 5 1.5 2.5 1 6 3 4\n\n0\n").encode()}]


def _lists(_: Path) -> list[Files]:
    return [
        {
            "a.txt": b"# photos\na.jpg\nb c.jpg\nd a.jpg\n",
            "pose.txt": b"seq-01/a 1 0 0 0 1 2 3 500 1000\nb.png 1 0 0 0 1 2 3\n",
        }
    ]


def _read_lists(folder: Path) -> None:
    photos = [PosedPhoto(name, folder / name, None, None) for name in ("a.jpg", "b c.jpg", "seq/d.png")]  # type: ignore[arg-type]
    sevenscenes.read_pose_list(folder / "pose.txt")
    listed(photos, folder / "a.txt")


def _rooms(_: Path) -> list[Files]:
    matrix = "500 0 320 0 0 500 240 0 0 0 1 0 0 0 0 1"
    info = "m_colorWidth = 640\nm_colorHeight = 480\n"
    info += f"m_calibrationColorIntrinsic = {matrix}\nm_calibrationDepthIntrinsic = {matrix}\n"
    info += f"m_calibrationColorExtrinsic = {' '.join(map(str, np.eye(4).ravel()))}\n"
    return [{"info.txt": info.encode(), "split.txt": b"sequence0 [frames=357]  [start=0 ; end=356]\n"}]


def _read_rooms(folder: Path) -> None:
    info = twelvescenes._read_info(folder / "info.txt")
    for which in ("Color", "Depth"):
        twelvescenes._lens(info, which, 640, 480)
        twelvescenes._extrinsic(info, which)
    twelvescenes._test_frames(folder / "split.txt")


def _splits(_: Path) -> list[Files]:
    text = "".join(f"Subset section ***{part}***\n{part}_1\n" for part in ("train", "val"))
    return [{"epfl_lhs_split.txt": text.encode()}]


def _read_splits(folder: Path) -> None:
    recorded([folder], "epfl", "lhs", [f"{part}_1" for part in ("train", "val")])


_TILE = "https://data.geo.admin.ch/ch.swisstopo.swisssurface3d-raster/swisssurface3d-raster_2019_2570-1135/"
_TILE += "swisssurface3d-raster_2019_2570-1135_0.5_2056_5728.tif"


def _catalogue(_: Path) -> list[Files]:
    asset = {"href": _TILE, "file:size": 100, "checksum:multihash": "1220" + "ab" * 32}
    answer = {"features": [{"assets": {"a": asset}}], "links": [{"rel": "next", "href": "https://data.geo.admin.ch/x"}]}
    return [{"a.json": json.dumps(answer).encode(), "a.csv": _TILE.encode()}]


def _read_catalogue(folder: Path) -> None:
    swiss.read_catalogue(folder / "a.json")
    swiss.read_lists(folder / "a.csv")


PROJECT_READERS = (
    Reader("COLMAP (text)", _colmap_text, _read_colmap),
    Reader("COLMAP (binary)", _colmap_binary, _read_colmap),
    Reader("transforms.json", _transforms, _read_transforms, (".json",)),
    Reader("poses.json", _posed, _read_posed, (".json",)),
    Reader("OpenDroneMap's photos", _odm, _read_odm, ("json", ".txt")),
    Reader("Cambridge (NVM)", _nvm, lambda folder: read_nvm(folder / "a.nvm")),
    Reader("lists of photos and poses", _lists, _read_lists),
    Reader("12-Scenes (info, split)", _rooms, _read_rooms),
    Reader("CrossLoc's splits", _splits, _read_splits),
    Reader("swisstopo's catalogue", _catalogue, _read_catalogue),
)
