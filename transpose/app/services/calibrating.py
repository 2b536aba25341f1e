"""A camera calibrated by photos of a known place: from files to a camera file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transpose.app.console import tell

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.localization import Localizer
    from transpose.localization.query import FocalPx
    from transpose.solvers import CalibratedCamera, SeenPoints

_NAMES = ("fx", "fy", "cx", "cy", "k1", "k2")


@dataclass(frozen=True)
class Start:
    """What is known of the camera before: its file, or its focal length, or neither."""

    camera_file: Path | None = None
    focal_px: FocalPx | None = None


def calibrated(
    localizer: Localizer,
    photos: Sequence[Path],
    start: Start,
    progress: Callable[[Sequence[Path], str], Iterable[Path]],
) -> tuple[CalibratedCamera, list[Path]]:
    """The camera that took some photos, and those of them that it rests on.

    Args:
        localizer: of the place, learned from images whose camera is known.
        photos: of one camera and size.
        start: what is known of it.
        progress: of the photos, as they are localized.

    Raises:
        TransposeError: photos of several sizes, too few that can be placed, or a focal length that they do not tell.
    """
    from transpose.errors import TransposeError
    from transpose.solvers import calibrate_camera

    photos = list({path.resolve(): path for path in reversed(photos)}.values())[::-1]  # each once
    size = _one_size(photos)
    seen: dict[Path, SeenPoints] = {}
    cameras: list[Camera] = []
    for path in progress(photos, "localizing"):
        if (shown := _seen(localizer, path, size, start)) is not None:
            seen[path], camera = shown
            cameras.append(camera)
    if len(seen) < len(photos):
        tell(f"{len(photos) - len(seen)} of {len(photos)} photos cannot be placed and take no part")
    found = calibrate_camera(list(seen.values()), _middle(cameras)) if cameras else None
    if found is None or found.reason == "too_few_photos":
        raise TransposeError(
            f"{len(seen)} of {len(photos)} photos can be placed, and a camera needs three; give more photos of the "
            "place that the run knows, or --camera or --focal to start from"
        )
    if found.camera is None:
        raise TransposeError(
            f"these photos do not tell the focal length (to {100 * found.sigmas['focal']:.0f} %, more than 2 %); give "
            "photos that show near and far things at once, or planes from aslant, and more of them"
        )
    return found, [path for index, path in enumerate(seen) if index in found.poses]


def _one_size(photos: Sequence[Path]) -> tuple[int, int]:
    """Width and height of all photos, upright."""
    from transpose.errors import TransposeError
    from transpose.scenes.files import image_size

    sizes = {path: image_size(path) for path in photos}
    first = next(iter(sizes))
    for path, size in sizes.items():
        if size != sizes[first]:
            raise TransposeError(
                f"{path} has {size[0]} x {size[1]} pixels and {first} {sizes[first][0]} x {sizes[first][1]}; "
                "calibrate photos of one size and orientation at a time"
            )
    return sizes[first]


def _seen(localizer: Localizer, path: Path, size: tuple[int, int], start: Start) -> tuple[SeenPoints, Camera] | None:
    """Correspondences of a photo and the camera that they were found with; None where it cannot be placed."""
    from transpose.app.services.localizing import camera_from
    from transpose.errors import TransposeError
    from transpose.localization import Query
    from transpose.localization.localizer import matches_of
    from transpose.scenes.exif import focal_from_exif
    from transpose.scenes.files import read_image
    from transpose.solvers import SeenPoints

    camera = None if start.camera_file is None else camera_from(start.camera_file, *size)
    exif = None if camera or start.focal_px is not None else focal_from_exif(path)
    try:
        image_hw3 = read_image(path)
    except TransposeError as error:
        tell(str(error))
        return None
    found = matches_of(localizer, Query.of(localizer.checkpoint.camera, image_hw3, camera, start.focal_px, exif))
    if found.estimate.pose is None or found.estimate.camera is None:
        return None
    return SeenPoints(found.px_n2, found.points_n3, found.estimate.pose), found.estimate.camera


def _middle(cameras: Sequence[Camera]) -> Camera:
    """The one with the median focal length."""
    return sorted(cameras, key=lambda camera: camera.fx)[len(cameras) // 2]


def as_json(found: CalibratedCamera, photos: int) -> dict[str, Any]:
    """What a camera file holds: `camera`, which `localize --camera` reads, and beside it how well each number is known.

    Args:
        found: with a camera.
        photos: that it rests on.
    """
    assert found.camera is not None
    camera = {"width": found.camera.width, "height": found.camera.height}
    return {
        "camera": camera | {name: getattr(found.camera, name) for name in _NAMES},
        "standard_deviations": {name: found.sigmas[name] for name in _NAMES},
        "held": list(found.held),
        "photos": photos,
        "correspondences": found.points,
        "residual_px": found.residual_px,
    }
