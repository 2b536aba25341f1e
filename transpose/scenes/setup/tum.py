"""The TUM RGB-D benchmark (Sturm et al., IROS 2012), and recordings in its layout, as RealSense and Azure tools write.

`rgb.txt` and `depth.txt` name images by time stamp, `groundtruth.txt` the colour camera's poses. The three are not
taken at the same moments: depth belongs to the nearest colour image, the truth is interpolated to the colour image's
time, and depth is moved to where the colour camera then was.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from transpose.errors import TransposeError, first_few, quoted
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, invert
from transpose.geometry.projection import Projection
from transpose.scenes.camera_files import read_camera_file
from transpose.scenes.files import PNG_DEPTH_LIMIT_M
from transpose.scenes.setup.clocks import measured_delay
from transpose.scenes.setup.photo_files import existing, listed, plain_name
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.registration import register_depth
from transpose.scenes.setup.trajectories import Trajectory, paired, read_trajectory
from transpose.scenes.setup.transforms_depth import read_depth_image
from transpose.storage import read_text
from transpose.untrusted.paths import is_file

log = logging.getLogger(__name__)
LICENCE = "TUM RGB-D benchmark: CC BY 4.0"
_STEPS_PER_M = 5000.0
# Depth of freiburg1 is too short: the benchmark publishes this factor for its sensor, and photos with their poses ask
# for no less (`transpose build rgbd` says so). Another sensor's factor, 1.031 of freiburg2, could not be tried and is
# not applied.
_LONGER = {"fr1": 1.035}
TOLERANCE_S = 0.02
_HIGHEST_STEP = 65535
_STILL_S = 1e-3  # depth of about the same moment stays where it is
_HALF = 0.5  # the benchmark's principal points count pixel centres at integers
_UP = (0.0, 0.0, 1.0)  # of the benchmark's motion capture
# The colour cameras, as the benchmark publishes them. Images of freiburg3 are undistorted.
_CAMERAS = {
    "fr1": Lens(640, 480, 517.3, 516.5, 318.6 + _HALF, 255.3 + _HALF, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "fr2": Lens(640, 480, 520.9, 521.0, 325.1 + _HALF, 249.7 + _HALF, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    "fr3": Lens(640, 480, 535.4, 539.2, 320.1 + _HALF, 247.6 + _HALF),
}


@dataclass(frozen=True)
class TumOptions:
    """How a recording is read.

    Attributes:
        poses: a file of poses in the place of `groundtruth.txt`, in its format.
        camera: fr1, fr2 or fr3, or a file that describes the colour camera; None: by the folder's name.
        depth_steps_per_m: the steps of depth images that make a metre; None: 5000, with what is known of the camera.
        tolerance_s: seconds that a depth image, and the nearest pose, may be away from a colour image.
        delay_s: how late poses are stamped against images, which is taken back; "auto": as images tell it.
    """

    poses: Path | None = None
    camera: str | None = None
    depth_steps_per_m: float | None = None
    tolerance_s: float = TOLERANCE_S
    delay_s: float | Literal["auto"] = 0.0

    def __post_init__(self) -> None:
        if self.depth_steps_per_m is not None and not 0 < self.depth_steps_per_m < math.inf:
            raise TransposeError(f"--depth-scale is how many steps of depth make a metre, not {self.depth_steps_per_m}")
        if not 0 <= self.tolerance_s < math.inf:
            raise TransposeError(f"--tolerance is in seconds, not {self.tolerance_s}")
        if self.delay_s != "auto" and not math.isfinite(self.delay_s):
            raise TransposeError(f"--delay is in seconds, or auto, not {self.delay_s}")


@dataclass(frozen=True)
class _Image:
    """An image of a list: when it was taken, and where it is; `name` is that of the file alone."""

    seconds: float
    image: Path

    @property
    def name(self) -> str:
        return self.image.name


def setup_tum(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    options: TumOptions | None = None,
) -> list[Path]:
    """Sets up a section of a folder with `rgb.txt`, and `depth.txt` where there is depth.

    Depth images are taken to be registered to colour, pixel by pixel, as the benchmark's are. Images without a pose are
    left out with a warning; those without depth have none.

    Args:
        source: the folder.
        out: the scene folder.
        section: the section's name.
        list_file: the images of the section, by file name or stem; all where there is none.
        progress: wraps the photos as they are worked through.
        options: how the recording is read.

    Raises:
        TransposeError: a file is missing or broken, the camera is not known, or no image has a pose.
    """
    options = options or TumOptions()
    every_color = _images(source, "rgb.txt")
    there = existing(every_color, section, "unpack the archive again")
    colors = listed(there, list_file)
    lens, camera = _lens(source, options.camera)
    steps_per_m = options.depth_steps_per_m or _STEPS_PER_M / _LONGER.get(camera, 1.0)
    truth_file = _truth_file(source, options.poses)
    truth = read_trajectory(truth_file)
    delay_s = _delay(there, lens, truth, truth_file) if options.delay_s == "auto" else options.delay_s
    truth = truth.earlier(delay_s)
    depths = _depths(source, every_color, options.tolerance_s)
    photos = _photos(colors, depths, lens, truth, options.tolerance_s, 1 / steps_per_m)
    if not photos:
        raise TransposeError(f"no image of {section} has a pose: {_apart(colors, truth_file, truth)}")
    if lost := len(colors) - len(photos):
        lacking = f"{lost} of {len(colors)} images of {section} have no pose within {options.tolerance_s:g} s"
        log.warning("%s in %s and are left out", lacking, truth_file)
    reading = {
        "camera": camera,
        "depth_steps_per_m": steps_per_m,
        "tolerance_s": options.tolerance_s,
        "delay_s": delay_s,
    }
    plan = {"setup": "tum", "source": str(source), **reading}
    poses = f"{truth_file.name}, interpolated to the colour images' times"
    facts = {"source": f"tum:{source.resolve().name}", "poses": poses, **reading}
    licence = LICENCE if camera in _CAMERAS else None
    as_png = _HIGHEST_STEP / steps_per_m < PNG_DEPTH_LIMIT_M
    up = _UP if camera in _CAMERAS and options.poses is None else None
    return [
        write_posed_photos(photos, out, section, plan, facts, progress, licence=licence, depth_as_png=as_png, up=up)
    ]


def _images(source: Path, name: str) -> list[_Image]:
    """The images that a list names, rising in time: lines `timestamp file`, `#` starts a comment."""
    path = source / name
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder; unpack the archive first")
    if not path.is_file():
        raise TransposeError(f"{path} does not exist; is {source} a recording in TUM's RGB-D layout?")
    found: dict[float, _Image] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].split(maxsplit=1)
        if not words:
            continue
        try:
            seconds, file = float(words[0]), PurePosixPath(plain_name(words[1].strip()))
            if not math.isfinite(seconds) or file.is_absolute() or ".." in file.parts:
                raise ValueError
        except (ValueError, IndexError):
            raise TransposeError(f"{path}, line {number}: expected `timestamp file`, the file in {source}") from None
        found.setdefault(seconds, _Image(seconds, source / file))
    if not found:
        raise TransposeError(f"{path} names no images")
    return [found[seconds] for seconds in sorted(found)]


def _truth_file(source: Path, poses: Path | None) -> Path:
    path = poses or source / "groundtruth.txt"
    if path.is_file():
        return path
    hint = f"or let `transpose setup reconstruct --source {quoted(source / 'rgb')}` find them"
    raise TransposeError(f"{path} does not exist; name poses of the colour camera with --poses, {hint}")


def _delay(images: list[_Image], lens: Projection, truth: Trajectory, truth_file: Path) -> float:
    """How late poses are by all images that are there, so that it is the same of all sections."""
    known = [(image.seconds, image.image) for image in images]
    delay = measured_delay(known, lens, truth)
    log.info("poses of %s are %s", truth_file, delay.words())
    return delay.seconds


def _lens(source: Path, camera: str | None) -> tuple[Projection, str]:
    """The colour camera, and what it is called."""
    if camera is None:
        match = re.search(r"(?<![a-z])(?:freiburg|fr)_?([123])(?!\d)", source.resolve().name.lower())
        if match is None:
            known = ", ".join(_CAMERAS)
            raise TransposeError(
                f"the name of {source} does not say a camera of the benchmark, such as freiburg1; "
                f"say it with --camera {known} or a file that describes it"
            )
        camera = f"fr{match[1]}"
    if camera in _CAMERAS:
        return _CAMERAS[camera], camera
    if not Path(camera).is_file():
        raise TransposeError(f"--camera is {', '.join(_CAMERAS)} or a file that describes one; {camera} is neither")
    return read_camera_file(Path(camera)), Path(camera).name


def _depths(source: Path, colors: list[_Image], tolerance_s: float) -> dict[float, _Image]:
    """The depth image that belongs to each of all colour images, by its time; those that are not on the disk do not."""
    if not (source / "depth.txt").is_file():
        return {}
    depths = _images(source, "depth.txt")
    seconds_n, seconds_m = (np.array([image.seconds for image in images]) for images in (colors, depths))
    partner_n = paired(seconds_n, seconds_m, tolerance_s).tolist()
    found = {color.seconds: depths[i] for color, i in zip(colors, partner_n, strict=True) if i >= 0}
    return {seconds: depth for seconds, depth in found.items() if is_file(depth.image)}


def _photos(
    colors: list[_Image],
    depths: dict[float, _Image],
    lens: Projection,
    truth: Trajectory,
    tolerance_s: float,
    unit_m: float,
) -> list[PosedPhoto]:
    """Those that have a pose, with their depth."""
    poses, poses_then = (
        truth.at(np.array([image.seconds for image in images]), tolerance_s)
        for images in (colors, [depths.get(color.seconds, color) for color in colors])
    )
    photos = []
    for color, pose, pose_then in zip(colors, poses, poses_then, strict=True):
        if pose is None:
            continue
        depth, reader = depths.get(color.seconds), None
        if depth is not None:
            # Where nothing is known of the camera at depth's own moment, depth stays where it is.
            still = abs(depth.seconds - color.seconds) <= _STILL_S
            reader = partial(_depth, depth.image, lens, pose, None if still else pose_then, unit_m)
        photos.append(PosedPhoto(color.name, color.image, lens, pose, depth=reader))
    bare = [photo.name for photo in photos if photo.depth is None]
    if bare and depths:
        lacking = f"{len(bare)} of {len(photos)} images have no depth image within {tolerance_s:g} s"
        log.warning("%s, such as %s", lacking, first_few(bare, 2))
    return photos


def _depth(path: Path, lens: Projection, pose: Pose, pose_then: Pose | None, unit_m: float) -> np.ndarray:
    """Depth as the colour camera sees it from its pose; `pose_then` is that at which the depth image was taken."""
    depth_hw = read_depth_image(path, unit_m)
    if pose_then is None:
        return depth_hw
    lens = lens.resized(depth_hw.shape[1], depth_hw.shape[0])
    return register_depth(depth_hw, lens, lens, invert(pose.T_wc) @ pose_then.T_wc)


def _apart(colors: list[_Image], truth_file: Path, truth: Trajectory) -> str:
    taken = f"they were taken from {colors[0].seconds:.3f} to {colors[-1].seconds:.3f} s"
    return f"{taken}, and {truth_file} runs from {truth.seconds_n[0]:.3f} to {truth.seconds_n[-1]:.3f} s"
