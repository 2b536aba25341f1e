"""Raw exports of Polycam's LiDAR and room modes: keyframes with cameras, depth and confidence.

`keyframes/` holds `corrected_images/` and `corrected_cameras/` (undistorted, with globally optimized poses) where the
app made them, else `images/` and `cameras/`; `depth/` in millimetres; `confidence/`. A frame is named by its time stamp
everywhere. Poses are ARKit's, the world's y points up.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import homogeneous
from transpose.scenes.image_kinds import IMAGE_ENDINGS
from transpose.scenes.setup.handheld import UP, depth_reader, pose_of_arkit, stepped, unpacked_images
from transpose.scenes.setup.photo_files import existing, listed
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.upright import upright
from transpose.storage import read_json
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
_POSE = [f"t_{row}{column}" for row in range(3) for column in range(4)]


def setup_polycam(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    every: int | None = None,
) -> list[Path]:
    """Sets up a section of a raw export.

    Args:
        source: its folder.
        out: the scene folder.
        section: the section's name.
        list_file: the frames of the section, by time stamp; all where there is none.
        progress: wraps the photos as they are worked through.
        every: each so manieth frame.

    Raises:
        TransposeError: this is no raw export, a file is broken, or most photos are missing.
    """
    keyframes = source if (source / "cameras").is_dir() else source / "keyframes"
    corrected = all((keyframes / f"corrected_{kind}").is_dir() for kind in ("images", "cameras"))
    prefix = "corrected_" if corrected else ""
    cameras = sorted((keyframes / f"{prefix}cameras").glob("[!.]*.json"), key=lambda path: (len(path.stem), path.stem))
    if not cameras:
        hint = "export `raw data`, which Polycam's settings offer under `developer mode`, and unpack it"
        raise TransposeError(f"{keyframes} holds no cameras/*.json; {hint}")
    if not corrected:
        log.warning("%s holds no corrected_images: photos keep some distortion, and poses are ARKit's own", keyframes)
    photos = stepped(listed([_photo(keyframes, path, prefix) for path in cameras], list_file), every)
    plan = {"setup": "polycam", "source": str(source)}
    poses = "Polycam, globally optimized" if corrected else "ARKit"
    facts = {"source": f"polycam:{source.resolve().name}", "poses": poses}
    photos = existing(photos, section)
    with unpacked_images(out, section, keyframes) as folder:
        photos = upright(photos, folder)
        return [write_posed_photos(photos, out, section, plan, facts, progress, depth_as_png=True, up=UP)]


def _photo(keyframes: Path, camera: Path, prefix: str) -> PosedPhoto:
    content = read_json(camera)
    try:
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        width, height, *intrinsics = (_number(content, name) for name in ("width", "height", "fx", "fy", "cx", "cy"))
        lens = Lens(int(width), int(height), *intrinsics)
        pose = pose_of_arkit(homogeneous([_number(content, name) for name in _POSE]))
    except BAD_VALUES as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{camera} is not a camera of Polycam: {what}") from None
    images = keyframes / f"{prefix}images"
    paths = [images / f"{camera.stem}{ending}" for ending in IMAGE_ENDINGS]
    image = next((path for path in paths if path.is_file()), images / f"{camera.stem}.jpg")
    depth = keyframes / "depth" / f"{camera.stem}.png"
    confidence = keyframes / "confidence" / depth.name
    return PosedPhoto(image.name, image, lens, pose, depth=depth_reader(depth, confidence, image, lens))


def _number(content: dict[str, Any], name: str) -> float:
    value = content[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)
