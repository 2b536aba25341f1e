"""The export `All Data` of the 3D Scanner App: a JSON file for each frame, in one folder with its images.

`frame_NNNNN.json` holds `cameraPoseARFrame`, 16 numbers of ARKit's camera to world row by row, and `intrinsics`, 9
numbers row by row. `frame_NNNNN.jpg` is there for some of the frames; `depth_NNNNN.png` in millimetres and
`conf_NNNNN.png` (0, 1, 2) where the scan kept them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import homogeneous
from transpose.scenes import files
from transpose.scenes.image_kinds import is_image
from transpose.scenes.setup.handheld import depth_reader, pose_of_arkit
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.storage import read_json
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
POSE = "cameraPoseARFrame"


def photos_of(folder: Path) -> list[PosedPhoto]:
    """The frames that have an image, as they were taken.

    Raises:
        TransposeError: none has one, or a file is broken.
    """
    images = sorted(path for path in folder.glob("frame_*") if is_image(path))
    if not images:
        raise TransposeError(f"{folder} holds poses (frame_*.json) and no frame_*.jpg; export `All Data`")
    posed = [path for path in images if path.with_suffix(".json").is_file()]
    if lost := len(images) - len(posed):
        log.warning("%d of %d images of %s have no .json with their pose, and are left out", lost, len(images), folder)
    if not posed:
        raise TransposeError(f"none of the images in {folder} has a .json with its pose beside it")
    return [_photo(path) for path in posed]


def _photo(image: Path) -> PosedPhoto:
    path = image.with_suffix(".json")
    content = read_json(path)
    width, height = files.stored_size(image)
    try:
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        lens = _lens(content["intrinsics"], width, height)
        pose = pose_of_arkit(homogeneous(content[POSE]))
    except BAD_VALUES as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{path} is not a frame of the 3D Scanner App: {what}") from None
    number = image.stem.removeprefix("frame_")
    depth = depth_reader(image.with_name(f"depth_{number}.png"), image.with_name(f"conf_{number}.png"), image, lens)
    return PosedPhoto(image.name, image, lens, pose, depth=depth)


def _lens(values: object, width: int, height: int) -> Lens:
    K_33 = np.array(values, np.float64).reshape(3, 3)
    if not np.allclose(K_33[2], (0, 0, 1)):
        raise ValueError(f"the last row of its intrinsics is {K_33[2].tolist()}, not [0, 0, 1]")
    return Lens(width, height, K_33[0, 0], K_33[1, 1], K_33[0, 2], K_33[1, 2])
