"""12-Scenes (Valentin et al., 3DV 2016): RGB-D rooms, in the layout they are published in.

`PLACE/ROOM/{info.txt,split.txt,data/frame-NNNNNN.{color.jpg,depth.png,pose.txt}}`. The first sequence of a room tests,
the others train (as in DSAC*'s set-up). Frames that were lost have infinite poses and are left out.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import invert, rigid_defect
from transpose.scenes import files
from transpose.scenes.setup.photo_files import listed
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.registration import register_depth
from transpose.storage import read_text

log = logging.getLogger(__name__)
LICENCE = "12-Scenes: Stanford University, for research use"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MOST_DIGITS = 9
_HALF = 0.5  # its principal points count pixel centres at integers


def setup_12scenes(
    source: Path,
    out: Path,
    section: str | None = None,
    list_file: Path | None = None,
    progress: Progress = lambda frames, _: frames,
) -> list[Path]:
    """Sets up a room, or all rooms of a folder, each as `OUT/PLACE_ROOM`.

    Args:
        source: a room, a place, or a folder with places.
        out: the scene folder of a single room; else the folder of the scenes.
        section, list_file: of a single room: only this section, with the frames that the list names.
        progress: wraps the frames of a section as they are worked through.

    Returns:
        The section folders written.
    """
    rooms = [source] if is_room(source) else sorted(p for p in source.glob("**/") if is_room(p))
    if not rooms:
        raise TransposeError(f"{source} holds no 12-Scenes room (info.txt, split.txt and data/); unpack the .zip first")
    if len(rooms) > 1 and section:
        raise TransposeError(f"{source} holds {len(rooms)} rooms; name one of them as --source for a single --section")
    written = []
    for room in rooms:
        scene = out if is_room(source) else out / f"{room.parent.name}_{room.name}"
        written += _room(room, scene, section, list_file, progress)
    return written


def is_room(folder: Path) -> bool:
    """Whether a folder is one of its rooms."""
    return (folder / "info.txt").is_file() and (folder / "data").is_dir()


def _room(room: Path, scene: Path, section: str | None, list_file: Path | None, progress: Progress) -> list[Path]:
    info = _read_info(room / "info.txt")
    frames = sorted((room / "data").glob("[!.]*.color.[jJ][pP][gG]"))
    if not frames:
        raise TransposeError(f"{room / 'data'} holds no frame-NNNNNN.color.jpg")
    photos = {path: photo for path in frames if (photo := _photo(path, info)) is not None}
    if lost := len(frames) - len(photos):
        log.warning("%s: %d of %d frames have no pose and are left out", room, lost, len(frames))
    if section and list_file:
        sections = {section: listed(list(photos.values()), list_file)}
    else:
        tests = _test_frames(room / "split.txt")
        split = {
            "train": [photo for path, photo in photos.items() if _number(path) >= tests],
            "test": [photo for path, photo in photos.items() if _number(path) < tests],
        }
        sections = {section: split.get(section, list(photos.values()))} if section else split
    plan = {"setup": "12scenes", "source": str(room)}
    facts = {"source": f"12scenes:{room.parent.name}/{room.name}", "poses": "as published"}
    return [
        write_posed_photos(each, scene, name, plan, facts, progress, licence=LICENCE) for name, each in sections.items()
    ]


def _read_info(path: Path) -> dict[str, np.ndarray]:
    """Numbers by name; matrices are 4x4."""
    numbers = {}
    for line in read_text(path, "replace").splitlines():
        name, _, value = line.partition("=")
        words = value.split()
        if words and all(_NUMBER.fullmatch(word) for word in words):
            numbers[name.strip()] = np.array([float(word) for word in words])
    for name in ("m_calibrationColorIntrinsic", "m_calibrationDepthIntrinsic", "m_colorWidth", "m_colorHeight"):
        size = 16 if "calibration" in name else 1
        if numbers.get(name, np.zeros(0)).size != size:
            raise TransposeError(f"{path} lacks {name}; is it the info.txt of a 12-Scenes room?")
    try:
        width, height = (int(numbers[f"m_color{side}"][0]) for side in ("Width", "Height"))
        for which in ("Color", "Depth"):
            _lens(numbers, which, width, height)
    except (ValueError, OverflowError) as error:
        raise TransposeError(f"{path} describes no camera: {error}") from None
    return numbers


def _test_frames(path: Path) -> int:
    """How many frames the first sequence has: `sequence0 [frames=357]  [start=0 ; end=356]`."""
    match = re.search(r"frames=(\d+)", read_text(path, "replace").split("\n")[0]) if path.is_file() else None
    if match is None:
        raise TransposeError(f"{path} does not begin with `sequence0 [frames=N] ...`")
    return int(match[1][:_MOST_DIGITS])


def _number(color: Path) -> int:
    """The number of a frame, which counts also those that are not there; after all others where it has none."""
    digits = re.search(r"(\d+)\.color", color.name)
    return int(digits[1][:_MOST_DIGITS]) if digits else 10**_MOST_DIGITS


def _lens(info: dict[str, np.ndarray], which: str, width: int, height: int) -> Lens:
    K_44 = info[f"m_calibration{which}Intrinsic"].reshape(4, 4)
    return Lens(width, height, K_44[0, 0], K_44[1, 1], K_44[0, 2] + _HALF, K_44[1, 2] + _HALF)


def _photo(color: Path, info: dict[str, np.ndarray]) -> PosedPhoto | None:
    stem = color.name.split(".color.")[0]
    path = color.with_name(f"{stem}.pose.txt")
    if files.is_lost(path):
        return None
    pose = files.read_pose(path)
    lens = _lens(info, "Color", int(info["m_colorWidth"][0]), int(info["m_colorHeight"][0]))
    path = color.with_name(f"{stem}.depth.png")
    depth = partial(_depth, path, lens, info) if path.exists() else None
    return PosedPhoto(f"{stem}.jpg", color, lens, pose, depth=depth)


def _depth(path: Path, lens: Lens, info: dict[str, np.ndarray]) -> np.ndarray:
    """Depth as the colour camera sees it, at about the depth image's resolution."""
    depth_hw = files.read_depth(path)
    height, width = depth_hw.shape
    sensor = _lens(info, "Depth", width, height)
    color = lens.resized(width, max(1, round(lens.height * width / lens.width)))
    T_color_depth = invert(_extrinsic(info, "Color")) @ _extrinsic(info, "Depth")
    return register_depth(depth_hw, sensor, color, T_color_depth)


def _extrinsic(info: dict[str, np.ndarray], which: str) -> np.ndarray:
    numbers = info.get(f"m_calibration{which}Extrinsic", np.eye(4))
    T_44 = numbers.reshape(4, 4) if numbers.size == 16 else np.eye(4)
    return T_44 if rigid_defect(T_44) is None else np.eye(4)
