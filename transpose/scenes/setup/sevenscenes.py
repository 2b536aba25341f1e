"""7-Scenes (Shotton et al., CVPR 2013): RGB-D sequences of rooms, in the layout they are published in.

The archive's depth is not registered to colour and its poses belong to the depth sensor. Here depth is moved to the
colour camera with the published calibration, and poses become those of the colour camera. Where SfM pseudo ground
truth (Brachmann et al., ICCV 2021) is given, it replaces the KinectFusion poses, which disagree with the images by
degrees.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose, homogeneous, invert, project_to_rotation, rotation_from_quaternion
from transpose.scenes import files
from transpose.scenes.setup.photo_files import plain_name
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.registration import register_depth
from transpose.storage import read_text

DEPTH_FOCAL_PX = 585.0
COLOR_FOCAL_PX = 525.505
# Depth sensor to colour camera, the calibration that DSAC*'s and ACE's set-up use.
T_COLOR_DEPTH = np.array(
    [
        [0.99996518, 0.00267651, -0.00790410, -0.02555894],
        [-0.00274093, 0.99996303, -0.00815045, 0.00010110],
        [0.00788199, 0.00817183, 0.99993554, 0.00203183],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
LICENCE = "7-Scenes: Microsoft Research, non-commercial research use only"
_SPLIT_FILES = {"train": ("TrainSplit.txt", "train.txt"), "test": ("TestSplit.txt", "test.txt")}
_KINECTFUSION_ROTATION_TOLERANCE = 0.02
_LEAST_CONFIDENCE = 1000.0  # from which on ACE0 counts an image as registered
# A pose of the colour camera, and its focal length where it is known.
_Truth = tuple[Pose, float | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawFrame:
    """A frame as published: `sequence/stem.{color.png|color.jpg,depth.png,pose.txt}`."""

    sequence: str
    stem: str
    color: Path
    depth: Path | None
    pose: Path

    @property
    def key(self) -> str:
        """`seq-XX/stem`, unique in the scene."""
        return f"{self.sequence}/{self.stem}"


def setup_7scenes(
    source: Path,
    out: Path,
    poses: Path | None = None,
    section: str | None = None,
    list_file: Path | None = None,
    progress: Progress = lambda frames, _: frames,
) -> list[Path]:
    """Sets up sections of a scene folder from a 7-Scenes raw folder.

    Args:
        source: folder with `seq-XX` folders and `TrainSplit.txt`/`TestSplit.txt` (sequences) or `train.txt`/`test.txt`
            (frames); of one without any of these, as a recorder leaves it, all frames become `train`.
        out: the scene folder; sections are added to it.
        poses: SfM pseudo ground truth: lines of `frame qw qx qy qz tx ty tz [focal_px]`, world to colour camera; or
            the `poses_final.txt` of ACE0.
        section, list_file: only this section, with the frames that the list names by `stem` or `seq-XX/stem`. A section
            without a list takes its own split file, or every frame where there is none.
        progress: wraps the frames of a section as they are worked through.

    Returns:
        The section folders written.
    """
    raw = _find_frames(source)
    truth = read_pose_list(poses) if poses else dict[str, _Truth | None]()
    sections = {section: list_file} if section else dict.fromkeys(_split_sections(source))
    chosen = {name: _choose(source, raw, name, names_file) for name, names_file in sections.items()}
    if not chosen:
        log.warning("%s names no split into train and test; all its frames become train", source)
        chosen = {"train": list(raw.values())}
    for name, frames in chosen.items():
        _check_have_poses(frames, truth, poses, name)
    plan = {"setup": "7scenes", "source": str(source), "poses": str(poses)}
    facts = {
        "source": f"7scenes:{source.resolve().name}",
        "poses": "SfM pseudo ground truth" if poses else "KinectFusion, moved to the colour camera",
    }
    return [
        write_posed_photos(
            _photos(frames, truth, name), out, name, plan, facts, progress, licence=LICENCE, depth_as_png=True
        )
        for name, frames in chosen.items()
    ]


def _find_frames(source: Path) -> dict[str, RawFrame]:
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder")
    found = {}
    for color in sorted(
        [*source.glob("seq-*/[!.]*.color.[pP][nN][gG]"), *source.glob("seq-*/[!.]*.color.[jJ][pP][gG]")]
    ):
        stem = color.name.split(".")[0]
        depth, pose = color.with_name(f"{stem}.depth.png"), color.with_name(f"{stem}.pose.txt")
        frame = RawFrame(color.parent.name, stem, color, depth if depth.exists() else None, pose)
        if frame.key in found:
            raise TransposeError(f"{color.parent} has two colour images for {stem}")
        found[frame.key] = frame
    if not found:
        zipped = " (unpack the seq-*.zip files first)" if list(source.glob("seq-*.zip")) else ""
        raise TransposeError(f"{source} holds no seq-*/frame-*.color.png or .jpg{zipped}; is it a 7-Scenes folder?")
    return found


def _split_sections(source: Path) -> list[str]:
    """The sections that files of a folder name, and a warning of those that they do not."""
    there = [name for name, files in _SPLIT_FILES.items() if any((source / each).exists() for each in files)]
    for name in _SPLIT_FILES if there else ():
        if name not in there:
            log.warning("%s has no %s, so that no section %s is set up", source, " or ".join(_SPLIT_FILES[name]), name)
    return there


def _choose(source: Path, raw: dict[str, RawFrame], section: str, list_file: Path | None) -> list[RawFrame]:
    split = list_file
    if split is None:
        split = next((source / n for n in _SPLIT_FILES.get(section, ()) if (source / n).exists()), None)
        if split is None and section in _SPLIT_FILES:
            names = " or ".join(_SPLIT_FILES[section])
            raise TransposeError(f"{source} has no {names}; name the frames of {section} with --section and --list")
    if split is None:
        return list(raw.values())
    words = read_text(split).split()
    if not words:
        raise TransposeError(f"{split} is empty; it names frames by stem or seq-XX/stem, or sequences")
    frames: dict[str, RawFrame] = {}
    for word in words:
        frames.update((frame.key, frame) for frame in _named_by(word, raw, split))
    return list(frames.values())


def _named_by(word: str, raw: dict[str, RawFrame], split: Path) -> list[RawFrame]:
    """The frames that one word of a list means: a whole sequence, `seq-XX/stem`, or a bare stem found just once."""
    if match := re.fullmatch(r"(?:sequence|seq-)(\d+)", word):
        number = int(match[1])
        frames = [f for f in raw.values() if re.fullmatch(r"seq-0*" + str(number), f.sequence)]
    else:
        frames = [raw[word]] if word in raw else [f for f in raw.values() if f.stem == word]
        if len(frames) > 1:
            raise TransposeError(
                f"{split} names {word}, which stands in {', '.join(f.sequence for f in frames)}; write seq-XX/{word}"
            )
    if not frames:
        raise TransposeError(f"{split} names {word}, but no such colour image is in the source folder")
    return frames


def read_pose_list(path: Path) -> dict[str, _Truth | None]:
    """Poses by frame name from lines `name qw qx qy qz tx ty tz [focal_px [confidence]]`, world-to-camera.

    None where a frame has none: by numbers that are not finite, or by a confidence below that which ACE0 asks for. `#`
    starts a comment. Of a path, as ACE0 writes it, the name is `seq-XX/stem` or `stem`.

    Raises:
        TransposeError: a line is something else, a frame stands there twice, or there is no pose.
    """
    found: dict[str, _Truth | None] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        name = _frame_name(words[0])
        try:
            values = np.array([float(word) for word in words[1:]])
            if len(values) not in (7, 8, 9):
                raise ValueError
        except ValueError:
            expected = "`name qw qx qy qz tx ty tz [focal_px [confidence]]`"
            raise TransposeError(f"{path}, line {number}: expected {expected}") from None
        if name in found:
            raise TransposeError(f"{path}, line {number}: {name} stands there twice")
        known = np.isfinite(values).all() and np.linalg.norm(values[:4]) >= 0.5
        if not known or (len(values) == 9 and values[8] < _LEAST_CONFIDENCE):
            found[name] = None
            continue
        T_cw = compose(rotation_from_quaternion(values[:4]), values[4:7])
        found[name] = Pose(invert(T_cw)), float(values[7]) if len(values) > 7 else None
    if not any(found.values()):
        why = f" (finite, and of a confidence of {_LEAST_CONFIDENCE:g} or more where one is said)" if found else ""
        raise TransposeError(f"{path} holds no poses{why}")
    return found


def _frame_name(said: str) -> str:
    """`seq-XX/stem` or `stem`, of a path or a name."""
    name = re.sub(r"(\.color)?\.(png|jpe?g)$", "", plain_name(said), flags=re.IGNORECASE)
    *_, folder, stem = ("", *name.split("/"))
    return f"{folder}/{stem}" if folder.startswith("seq-") else stem


def _key_in(truth: Mapping[str, object], frame: RawFrame) -> str | None:
    return next((name for name in (frame.key, frame.stem) if name in truth), None)


def _check_have_poses(
    frames: list[RawFrame], truth: dict[str, _Truth | None], poses: Path | None, section: str
) -> None:
    if poses:
        lacking = [frame.key for frame in frames if _key_in(truth, frame) is None]
        where = str(poses)
    else:
        lacking = [frame.key for frame in frames if not frame.pose.exists()]
        where = "the source folder (.pose.txt)"
    if lacking:
        raise TransposeError(f"{len(lacking)} frames of {section} have no pose in {where}, such as {lacking[0]}")


def _kinectfusion_pose(path: Path) -> Pose | None:
    """The colour camera's pose from the depth sensor's. The archive's rotations are slightly off SO(3).

    None where it is NaN or infinite: the frame was lost.
    """
    try:
        T_wd = homogeneous(files.read_numbers(path))
    except ValueError:
        raise TransposeError(f"{path} is not a 4x4 pose") from None
    if not np.isfinite(T_wd).all():
        return None
    R_wd = project_to_rotation(T_wd[:3, :3])
    if np.abs(R_wd - T_wd[:3, :3]).max() > _KINECTFUSION_ROTATION_TOLERANCE:
        raise TransposeError(f"{path} is not a rigid pose (its rotation part is far from a rotation)")
    return Pose(compose(R_wd, T_wd[:3, 3]) @ invert(T_COLOR_DEPTH))


def _photos(frames: list[RawFrame], truth: dict[str, _Truth | None], section: str) -> list[PosedPhoto]:
    several = len({frame.sequence for frame in frames}) > 1
    photos, lost = [], []
    for frame in frames:
        key = _key_in(truth, frame)
        pose, focal_px = (truth[key] or (None, None)) if key else (_kinectfusion_pose(frame.pose), None)
        if pose is None:
            lost.append(frame.key)
            continue
        width, height = files.image_size(frame.color)
        lens = _centred(focal_px or COLOR_FOCAL_PX * width / 640, width, height)
        depth = None if frame.depth is None else partial(_registered, frame.depth, lens)
        name = f"{frame.key if several else frame.stem}{frame.color.suffix}"
        photos.append(PosedPhoto(name, frame.color, lens, pose, depth=depth))
    if lost:
        names = first_few(lost)
        log.warning("%d of %d frames of %s have no pose and are left out: %s", len(lost), len(frames), section, names)
    return photos


def _centred(focal_px: float, width: int, height: int) -> Lens:
    return Lens(width, height, focal_px, focal_px, width / 2, height / 2)


def _registered(path: Path, color_lens: Lens) -> np.ndarray:
    depth_hw = files.read_depth(path)
    height, width = depth_hw.shape
    return register_depth(depth_hw, _centred(DEPTH_FOCAL_PX * width / 640, width, height), color_lens, T_COLOR_DEPTH)
