"""Nerfstudio's and Instant-NGP's `transforms.json`: intrinsics, OpenGL poses, and depth where there is some."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose, invert, project_to_rotation, rigid_defect
from transpose.scenes import files
from transpose.scenes.image_files import IMAGE_ENDINGS
from transpose.scenes.setup.photo_units import in_metres, metres_per_unit, warn_of_unknown_unit
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, listed, write_posed_photos
from transpose.storage import read_json

# OpenGL cameras look along -z with y up.
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_SPLITS = {"train": "train_filenames", "val": "val_filenames", "test": "test_filenames"}
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")


def setup_nerfstudio(
    source: Path,
    out: Path,
    section: str | None = None,
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    unit_m: float | None = None,
) -> list[Path]:
    """Sets up sections of a Nerfstudio folder.

    Poses come into the frame of what the file was made of: its `applied_transform` and `applied_scale` are undone, so
    that several exports of one reconstruction agree and depth images fit.

    Args:
        source: folder with `transforms.json`, or such a file.
        out: the scene folder.
        section: only this section; without a list it takes the file's split of that name, or all frames. Without
            `section`: the file's splits, or all frames as `train`.
        list_file: the frames of `section`, by file name or stem.
        progress: wraps the photos as they are worked through.
        unit_m: metres that the unit is in that frame, by which everything is multiplied; None: what the file says, and
            where it says nothing the unit is left as it is.
    """
    path = source / "transforms.json" if source.is_dir() else source
    content = _read(path)
    photos = _photos(path, content)
    splits = {name: _split(path, content[key], photos) for name, key in _SPLITS.items() if content.get(key)}
    if section and list_file:
        splits = {section: listed(photos, list_file)}
    elif section:
        if splits and section in _SPLITS and section not in splits:
            raise TransposeError(f"{path} has no {_SPLITS[section]}; name the frames of {section} with --list")
        splits = {section: splits.get(section, photos)}
    elif not splits:
        splits = {"train": photos}
    plan = {"setup": "nerfstudio", "source": str(source)}
    facts = {"source": f"nerfstudio:{source.resolve().name}", "poses": "transforms.json"}
    unit_m = metres_per_unit(path, content) if unit_m is None else unit_m
    written = []
    for name, each in splits.items():
        scaled = in_metres(each, unit_m)
        written.append(write_posed_photos(scaled, out, name, plan, facts, progress, metric=unit_m is not None))
    if unit_m is None:
        warn_of_unknown_unit(out, [photo for each in splits.values() for photo in each])
    return written


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TransposeError(f"{path} does not exist; is this a Nerfstudio folder?")
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise TransposeError(f'{path} is not a transforms.json: no JSON object with "frames"')
    return content


def _photos(path: Path, content: dict[str, Any]) -> list[PosedPhoto]:
    undo_44, scale = _applied(path, content)
    photos = []
    for frame in content["frames"]:
        name = frame.get("file_path", "?") if isinstance(frame, dict) else "?"
        try:
            photos.append(_photo(path.parent, {**content, **frame}, undo_44, scale))
        except (KeyError, TypeError, ValueError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise TransposeError(f"{path}, frame {name}: {what}") from None
    return photos


def _applied(path: Path, content: dict[str, Any]) -> tuple[np.ndarray, float]:
    """What brings scaled points back from the transform that was applied to them, (4, 4), and the scale itself."""
    applied_44 = np.eye(4)
    try:
        given = np.array(content.get("applied_transform", applied_44), np.float64)
        applied_44[:3] = given.reshape(-1, 4)[:3]
        scale = float(content.get("applied_scale", 1.0))
        if not (0 < scale < math.inf) or (defect := rigid_defect(applied_44)):
            raise ValueError(defect if 0 < scale < math.inf else f"applied_scale is {scale}")
    except (TypeError, ValueError) as error:
        raise TransposeError(f"{path}: applied_transform or applied_scale is of no use: {error}") from None
    return invert(applied_44), scale


def _photo(folder: Path, frame: dict[str, Any], undo_44: np.ndarray, scale: float) -> PosedPhoto:
    name = Path(frame["file_path"]).as_posix().removeprefix("./")
    endings = ("", *IMAGE_ENDINGS, *map(str.upper, IMAGE_ENDINGS))
    image = next((p for p in (folder / (name + ending) for ending in endings) if p.is_file()), None)
    if image is None:
        raise ValueError(f"{folder / name} does not exist")
    T_wc = np.array(frame["transform_matrix"], np.float64).reshape(4, 4)
    T_wc[:3, 3] /= scale
    T_wc = undo_44 @ T_wc @ _OPENGL
    if (defect := rigid_defect(T_wc)) is not None:
        raise ValueError(f"its pose is not rigid: {defect}")
    depth: Callable[[], np.ndarray] | None = None
    if frame.get("depth_file_path"):
        unit_m = float(frame.get("depth_unit_scale_factor", 1e-3))
        depth = partial(_depth, folder / frame["depth_file_path"], unit_m)
    pose = Pose(compose(project_to_rotation(T_wc[:3, :3]), T_wc[:3, 3]))
    return PosedPhoto(name, image, _lens(frame, image), pose, depth=depth)


def _lens(frame: dict[str, Any], image: Path) -> Lens:
    if frame.get("camera_model", "OPENCV") not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        raise ValueError(f"camera model {frame['camera_model']} is not supported; undistort first")
    if frame.get("is_fisheye") or any(frame.get(name) for name in ("k4", "k5", "k6")):
        raise ValueError("fisheye lenses (is_fisheye, k4) are not supported; undistort first")
    # Nerfstudio counts pixels as they are stored.
    width, height = (frame["w"], frame["h"]) if "w" in frame else files.stored_size(image)
    if "fl_x" in frame:
        fx = float(frame["fl_x"])
    elif "camera_angle_x" in frame:
        fx = 0.5 * width / math.tan(0.5 * float(frame["camera_angle_x"]))
    else:
        raise KeyError("fl_x")
    center = float(frame.get("cx", width / 2)), float(frame.get("cy", height / 2))
    k1, k2, p1, p2, k3 = (float(frame.get(name, 0.0)) for name in _DISTORTION)
    return Lens(int(width), int(height), fx, float(frame.get("fl_y", fx)), *center, k1, k2, p1, p2, k3)


def _depth(path: Path, unit_m: float) -> np.ndarray:
    """A 16-bit image or an array of `unit_m` each, millimetres where the file says nothing else."""
    if path.suffix.lower() == ".npy":
        depth_hw = files.read_array(path) * np.float32(unit_m)
        return np.where(files.is_depth(depth_hw), depth_hw, np.nan)
    return files.read_depth(path) * np.float32(unit_m * 1000)


def _split(path: Path, names: list[str], photos: list[PosedPhoto]) -> list[PosedPhoto]:
    by_name = {photo.name: photo for photo in photos}
    keys = [Path(name).as_posix().removeprefix("./") for name in names]
    if lost := [key for key in keys if key not in by_name]:
        raise TransposeError(f"{path} puts {lost[0]} into a split, but it is none of its frames")
    return [by_name[key] for key in keys]
