"""Localizing photos for a command: what a person gave, photo by photo to an answer."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from transpose.app.console import tell

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.localization import Localizer
    from transpose.localization.answered import Answer
    from transpose.localization.query import FocalPx


def photos_of(given: Sequence[Path]) -> list[Path]:
    """The photos that were given, and those of the folders that were; what is left out of these is said.

    A folder's are in the order of their names, with numbers as numbers: frame 9 comes before frame 10.

    Raises:
        TransposeError: nothing is given, something does not exist, or a folder holds no photos.
    """
    from transpose.errors import TransposeError
    from transpose.runs import MODEL_FILE
    from transpose.scenes.image_kinds import photos_in

    if not given:
        raise TransposeError("name photos, or folders of them")
    photos = []
    for path in given:
        if path.is_dir():
            found, left_out = photos_in(path)
            if left_out:
                tell(f"{path}: {left_out}")
            if not found:
                hint = "; it is a run, which comes before the photos" if (path / MODEL_FILE).is_file() else ""
                raise TransposeError(f"{path} holds no photos{hint}")
            photos += sorted(found, key=_by_numbers)
        elif path.is_file():
            photos.append(path)
        else:
            raise TransposeError(f"{path} does not exist")
    return photos


def _by_numbers(path: Path) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def check_camera_flags(focal_px: FocalPx | None, camera_file: Path | None) -> None:
    """Refuses what cannot be said of a camera by `--focal` and `--camera`.

    Raises:
        TransposeError: both are given, a number that is no focal length, or a file that does not exist.
    """
    from transpose.errors import TransposeError

    if focal_px is not None and camera_file is not None:
        raise TransposeError("--focal and --camera both say what took the photos; give one")
    if isinstance(focal_px, float) and not 1 < focal_px < 1e6:
        raise TransposeError(f"--focal is a focal length in pixels, not {focal_px}")
    if camera_file is not None and camera_file.is_dir():
        raise TransposeError(f"{camera_file} is a folder; --camera is one file, of the camera that took all the photos")
    if camera_file is not None and not camera_file.is_file():
        raise TransposeError(f"{camera_file} does not exist")


def answers(
    localizer: Localizer,
    photos: Sequence[Path],
    focal_px: FocalPx | None = None,
    camera_file: Path | None = None,
    depths: Sequence[Path] = (),
) -> Iterator[Answer]:
    """The answer of each photo alone. One that cannot be worked on is an answer as well, and costs no other.

    Args:
        localizer: of the place.
        photos: files.
        focal_px: of all, or "auto": of none; None: what is known otherwise.
        camera_file: see `camera_from`.
        depths: measured depth of each photo, in order, or none.
    """
    from transpose.errors import TransposeError
    from transpose.localization import Query
    from transpose.localization.answered import Answer
    from transpose.scenes.exif import focal_from_exif
    from transpose.scenes.files import read_depth, read_image

    for index, path in enumerate(photos):
        started = time.perf_counter()
        try:
            image_hw3, depth_hw = read_image(path), read_depth(depths[index]) if depths else None
            camera = None if camera_file is None else camera_from(camera_file, image_hw3.shape[1], image_hw3.shape[0])
            exif = None if camera or focal_px is not None else focal_from_exif(path)
            started = time.perf_counter()
            query = Query.of(localizer.checkpoint.camera, image_hw3, camera, focal_px, exif, depth_hw)
            if camera_file is not None:
                focal_sigma, center_sigma = camera_sigmas(camera_file)
                query = replace(query, focal_sigma=focal_sigma, center_sigma=center_sigma)
            estimate = localizer.localize_query(query)
        except TransposeError as error:
            yield Answer.failed(str(path), error, time.perf_counter() - started)
            continue
        yield Answer.of(str(path), query, estimate, time.perf_counter() - started)


def camera_from(path: Path, width: int, height: int) -> Camera:
    """The camera that a file describes, for a photo of this size.

    Args:
        path: JSON as `camera` in a poses.json, at any resolution of the photo; or text as in a section's
            `calibration/`, at the photo's own.
        width, height: of the photo, upright.

    Raises:
        TransposeError: it cannot be read, is of another shape than the photo, or has more than radial distortion.
    """
    from transpose.errors import TransposeError
    from transpose.geometry.cameras import Camera
    from transpose.geometry.lens import Lens
    from transpose.scenes import files
    from transpose.scenes.setup.photos import lens_of_json
    from transpose.storage import read_json
    from transpose.untrusted.values import BAD_VALUES

    if path.suffix.lower() != ".json":
        return files.read_camera(path, width, height)
    content = read_json(path)
    if not isinstance(content, dict):
        raise TransposeError(f"{path} holds no object with width, height, fx ...; see camera of a poses.json")
    try:
        lens = lens_of_json(content.get("camera", content))
    except BAD_VALUES as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{path}: {what}") from None
    if abs(width / height * lens.height / lens.width - 1) > 0.01:
        raise TransposeError(
            f"the photo is {width} x {height}, the camera of {path} {lens.width} x {lens.height}: another shape"
        )
    if not isinstance(lens, Lens) or any((lens.p1, lens.p2, lens.k3, lens.k4, lens.k5, lens.k6)):
        raise TransposeError(
            f"{path} has more than radial distortion; bring the photos to a pinhole camera first: transpose undistort "
            f"PHOTOS --camera {path} --out DIR, then localize DIR/rgb with the --focal that DIR/calibration says"
        )
    camera = Camera(lens.width, lens.height, lens.fx, lens.fy, lens.cx, lens.cy, lens.k1, lens.k2)
    return camera.resized(width, height)


def camera_sigmas(path: Path) -> tuple[float, float]:
    """How well a camera file knows its camera by its own words, as `transpose calibrate` writes them; 0 without any.

    Args:
        path: see `camera_from`, which has read its camera.

    Returns:
        Standard deviations of the focal length, relative, and of the principal point, in focal lengths.

    Raises:
        TransposeError: it says so by something else than a number.
    """
    from transpose.errors import TransposeError
    from transpose.scenes.setup.photos import lens_of_json
    from transpose.storage import read_json
    from transpose.untrusted.values import BAD_VALUES

    content = read_json(path) if path.suffix.lower() == ".json" else {}
    if not isinstance(content, dict) or content.get("standard_deviations") is None:
        return 0.0, 0.0
    try:
        said, lens = content["standard_deviations"], lens_of_json(content.get("camera", content))
        focal, right, down = (float(said.get(name, 0.0)) for name in ("fx", "cx", "cy"))
    except BAD_VALUES as error:
        raise TransposeError(f"{path}: its standard deviations cannot be read ({error})") from None
    if not all(math.isfinite(each) and each >= 0 for each in (focal, right, down)):
        raise TransposeError(f"{path}: its standard deviations are no numbers from 0 on")
    return focal / lens.focal_px, math.hypot(right, down) / math.sqrt(2) / lens.focal_px


def times_in_names(paths: Sequence[Path]) -> list[float]:
    """The last number in each file name.

    Raises:
        TransposeError: a name without one, or numbers that do not increase.
    """
    from transpose.errors import TransposeError

    times: list[float] = []
    for path in paths:
        numbers = re.findall(r"\d+(?:\.\d+)?", path.stem)
        if not numbers:
            raise TransposeError(f"{path} has no number in its name to take for a time; leave --times names away")
        times.append(float(numbers[-1]))
        if len(times) > 1 and times[-1] <= times[-2]:
            raise TransposeError(
                f"{path} comes after {paths[len(times) - 2].name}, but the numbers in their names do not increase; "
                "give the photos in the order in which they were taken, each once"
            )
    return times
