"""Nerfstudio's and Instant-NGP's `transforms.json`: intrinsics, OpenGL poses, and depth where there is some.

NeRF's own data sets have a file a section, `transforms_train.json`, `transforms_val.json` and `transforms_test.json`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.poses import Pose, compose, homogeneous, invert, project_to_rotation, rigid_defect
from transpose.geometry.projection import Projection
from transpose.scenes import files
from transpose.scenes.setup.nerfstudio_lens import nerfstudio_lens
from transpose.scenes.setup.photo_files import existing, listed, locate, plain_name, usual_folders
from transpose.scenes.setup.photo_units import metres_per_unit, write_in_unit
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress
from transpose.scenes.setup.transforms_depth import DepthImages
from transpose.scenes.setup.transforms_json import merged, plain
from transpose.storage import read_json
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
# OpenGL cameras look along -z with y up.
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_SPLITS = {"train": "train_filenames", "val": "val_filenames", "test": "test_filenames"}


@dataclass(frozen=True)
class _Frame:
    """A frame as a file has it: `entry` is all that is said of it, in the file's place for all frames too."""

    name: str
    image: Path
    entry: dict[str, Any]
    file: Path


def setup_nerfstudio(
    source: Path,
    out: Path,
    section: str | None = None,
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    images: Path | None = None,
    unit_m: float | None = None,
) -> list[Path]:
    """Sets up sections of a Nerfstudio folder.

    Poses come into the frame of what the file was made of: its `applied_transform` and `applied_scale` are undone, so
    that several exports of one reconstruction agree and depth images fit. Frames whose photo is missing, or whose pose
    is infinite, are left out with a warning.

    Args:
        source: folder with `transforms.json`, or with `transforms_train.json` and the like, or such a file.
        out: the scene folder.
        section: only this section; without a list it takes the file's split of that name, or all frames. Without
            `section`: the file's splits, or all frames as `train`.
        list_file: the frames of `section`, by file name or stem.
        progress: wraps the photos as they are worked through.
        images: the folder of the photos, where they are not in one of the usual places.
        unit_m: metres that the unit is in that frame, by which everything is multiplied; None: what the file says, and
            where it says nothing the unit is left as it is.

    Raises:
        TransposeError: a file is broken, a lens is not supported, or most photos are missing.
    """
    if images is not None and not images.is_dir():
        raise TransposeError(f"{images} is not a folder")
    splits, everything, units = dict[str, list[_Frame]](), dict[Path, _Frame](), set[float | None]()
    for name, path in _files(source).items():
        content = _read(path)
        frames = _frames(path, content, images)
        units.add(metres_per_unit(path, content))
        everything.update((frame.image, frame) for frame in frames)
        said = {split: _split(path, content[key], frames) for split, key in _SPLITS.items() if content.get(key)}
        splits.update(said or ({name: frames} if name else {}))
    if unit_m is None and len(units) > 1:
        raise TransposeError(f"the files of {source} do not say one unit; say it with --unit METRES_PER_UNIT")
    chosen = splits or {"train": list(everything.values())}
    if section and list_file:
        chosen = {section: listed(list(everything.values()), list_file)}
    elif section:
        if splits and section in _SPLITS and section not in splits:
            lacking = f"{_SPLITS[section]} and no transforms_{section}.json"
            raise TransposeError(f"{source} has no {lacking}; name the frames of {section} with --list")
        chosen = {section: splits.get(section, list(everything.values()))}
    plan = {"setup": "nerfstudio", "source": str(source)}
    facts = {"source": f"nerfstudio:{source.resolve().name}", "poses": "transforms.json"}
    photos = {name: _photos(existing(each, name, "name their folder with --images")) for name, each in chosen.items()}
    return write_in_unit(photos, out, units.pop() if unit_m is None else unit_m, plan, facts, progress)


def _files(source: Path) -> dict[str, Path]:
    """The files of a source by the section that they hold, "" of one that holds all."""
    if not source.is_dir():
        return {"": source}
    if (source / "transforms.json").is_file():
        return {"": source / "transforms.json"}
    sections = {name: source / f"transforms_{name}.json" for name in _SPLITS}
    if found := {name: path for name, path in sections.items() if path.is_file()}:
        return found
    others = [path.name for path in sorted(source.glob("[!.]*.json")) if b'"frames"' in path.read_bytes()]
    hint = "is this a Nerfstudio folder? ns-process-data makes one of Polycam's, Record3D's and other exports"
    if others:
        hint = f"{first_few(others)} may be such a file; give it as --source"
    raise TransposeError(f"{source / 'transforms.json'} does not exist, nor transforms_train.json; {hint}")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TransposeError(f"{path} does not exist; is this a Nerfstudio folder?")
    content = _with_test_frames(read_json(path))
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise TransposeError(f'{path} is not a transforms.json: no JSON object with "frames"')
    if not content["frames"]:
        raise TransposeError(f'{path} lists no photos: its "frames" are empty')
    return content


def _with_test_frames(content: Any) -> Any:
    """ScanNet++ keeps the frames to test in a list of their own, beside the others."""
    tested, trained = (content.get(key) if isinstance(content, dict) else None for key in ("test_frames", "frames"))
    if not isinstance(tested, list) or not isinstance(trained, list) or content.get("test_filenames") or not tested:
        return content
    names = [[each.get("file_path") for each in some if isinstance(each, dict)] for some in (trained, tested)]
    if not trained or not all(isinstance(name, str) and name for some in names for name in some):
        return content
    return {**content, "frames": trained + tested, "train_filenames": names[0], "test_filenames": names[1]}


def _frames(path: Path, content: dict[str, Any], images: Path | None) -> list[_Frame]:
    """All frames of a file, their photos where they are or would be; one that stands there twice comes once."""
    entries: dict[str, dict[str, Any]] = {}
    for index, frame in enumerate(content["frames"]):
        said = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(said, str) or not said:
            raise TransposeError(f'{path}, frame {index + 1}: lacks "file_path", the name of its photo')
        name = plain_name(said)
        if name in entries and entries[name].get("transform_matrix") != frame.get("transform_matrix"):
            raise TransposeError(f"{path}, frame {name}: stands there twice, with two poses")
        # `null` is one of the ways to say that a frame was lost.
        entries[name] = {**frame, "transform_matrix": [math.nan] * 16} if _is_null(frame, "transform_matrix") else frame
    try:
        common = plain({name: value for name, value in content.items() if name != "frames"})
    except BAD_VALUES as error:
        raise TransposeError(f"{path}: {error}") from None
    folder = path.parent
    places = locate(entries, [folder, *usual_folders(folder)[:-1]] if images is None else [images])
    frames = []
    for name, entry in entries.items():
        try:
            frames.append(_Frame(name, places[name], merged(common, plain(entry)), path))
        except BAD_VALUES as error:
            raise TransposeError(f"{path}, frame {name}: {error}") from None
    return frames


def _is_null(entry: dict[str, Any], name: str) -> bool:
    return name in entry and entry[name] is None


def _photos(frames: list[_Frame]) -> list[PosedPhoto]:
    depths = {frame.file: DepthImages(frame.file.parent) for frame in frames}
    photos, lost, angles = [], [], 0
    for frame in frames:
        try:
            pose = _pose(frame)
            if pose is None:
                lost.append(frame.name)
                continue
            lens, unheeded = _lens(frame.entry, frame.image)
            angles += unheeded
            photos.append(PosedPhoto(frame.name, frame.image, lens, pose, depth=depths[frame.file].reader(frame.entry)))
        except BAD_VALUES as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise TransposeError(f"{frame.file}, frame {frame.name}: {what}") from None
    if lost:
        log.warning("%d of %d frames have no pose and are left out: %s", len(lost), len(frames), first_few(lost))
    if masked := sum(bool(frame.entry.get("mask_path")) for frame in frames):
        log.warning("masks of %d frames are not heeded: all of each photo is learned", masked)
    if angles:
        log.warning("camera_angle_y of %d frames is not heeded: pixels would be oblong by it", angles)
    for path, depth in depths.items():
        if depth.missing:
            log.warning("%s: %d depth images are missing; their frames have none", path, depth.missing)
    return photos


def _pose(frame: _Frame) -> Pose | None:
    """Camera to world, OpenCV axes; None where it is infinite, which is how a frame that was lost is marked."""
    T_wc = homogeneous(frame.entry["transform_matrix"])
    if not np.isfinite(T_wc).all():
        return None
    undo_44, scale = _applied(frame)
    T_wc[:3, 3] /= scale
    T_wc = undo_44 @ T_wc @ _OPENGL
    if (defect := rigid_defect(T_wc)) is not None:
        raise ValueError(f"its pose is not rigid: {defect}")
    return Pose(compose(project_to_rotation(T_wc[:3, :3]), T_wc[:3, 3]))


def _applied(frame: _Frame) -> tuple[np.ndarray, float]:
    """What brings scaled points back from the transform that was applied to them, (4, 4), and the scale itself."""
    try:
        applied_44 = homogeneous(frame.entry.get("applied_transform", np.eye(4)))
        scale = frame.entry.get("applied_scale", 1.0)
        if not (0 < scale < math.inf) or (defect := rigid_defect(applied_44)):
            raise ValueError(defect if 0 < scale < math.inf else f"applied_scale is {scale}")
    except ValueError as error:
        raise ValueError(f"applied_transform or applied_scale is of no use: {error}") from None
    return invert(applied_44), scale


def _lens(frame: dict[str, Any], image: Path) -> tuple[Projection, bool]:
    """The lens of a frame, and whether its `camera_angle_y` was not heeded."""
    # Nerfstudio counts pixels as they are stored.
    width, height = (frame["w"], frame["h"]) if "w" in frame else files.stored_size(image)
    return nerfstudio_lens(frame, int(width), int(height))


def _split(path: Path, names: list[str], frames: list[_Frame]) -> list[_Frame]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TransposeError(f"{path}: a split is a list of names of photos, not {names!r:.50}")
    by_name = {frame.name: frame for frame in frames}
    keys = [plain_name(name) for name in names]
    if lost := [key for key in keys if key not in by_name]:
        raise TransposeError(f"{path} puts {lost[0]} into a split, but it is none of its frames")
    return [by_name[key] for key in keys]
