"""From photos alone to their poses: keypoints, matches, and COLMAP's incremental mapper; and why a photo has none."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.mapping.sfm.candidates import candidate_pairs
from transpose.mapping.sfm.colmap import MANY_PHOTOS, MODEL, PLAIN_MODEL, colmap_camera, import_pycolmap, lens_of, quiet
from transpose.mapping.sfm.mapper import FEWEST_PHOTOS, MapperOptions, database, models_of
from transpose.mapping.sfm.models import all_look_one_way, placed_images, pose_of, seen_points
from transpose.mapping.sfm.seen import keypoints_of_photos
from transpose.mapping.sfm.two_views import MIN_MATCHES, MatchedPhotos, verified_pairs
from transpose.scenes.setup.unposed_photos import Placement, Progress, SharedCamera, UnposedPhoto

log = logging.getLogger(__name__)


def place_photos(
    photos: Sequence[UnposedPhoto], cameras: Sequence[SharedCamera], seed: int, progress: Progress
) -> Placement:
    """Where photos were taken, as structure from motion finds it.

    A focal length that is known but not sure is estimated, and so is the distortion. Where all photos look the same
    way, as those of a drone that looks straight down, nothing tells these from the shape of the ground: the focal
    length is held, and the distortion has one coefficient alone (Brighton, 12 photos: 0.14 m and 0.6 deg in the median,
    0.65 m and 2.4 deg with four coefficients; estimated, the focal length comes out 29 % too long).

    Args:
        photos: at least one.
        cameras: by number.
        seed: same seed, same poses.
        progress: wraps what is worked through, given what is done to it.

    Raises:
        TransposeError: no three photos can be placed.
        MissingPackageError: pycolmap is not installed.
    """
    import_pycolmap()  # before the work begins
    keypoints, broken = keypoints_of_photos(photos, cameras, lambda items: progress(items, "finding keypoints"))
    with quiet():
        pairs = verified_pairs(
            photos,
            keypoints,
            [colmap_camera(number, camera) for number, camera in enumerate(cameras, 1)],
            candidate_pairs(keypoints),
            seed,
            lambda items: progress(items, "matching photos"),
        )
        matched = MatchedPhotos(photos, keypoints, pairs)
        models = _models(matched, cameras, seed, progress)
    if not models:
        raise TransposeError(_none_placed(photos, matched.most_agreeing(), broken))
    return _placement(matched, models, broken)


def _models(matched: MatchedPhotos, cameras: Sequence[SharedCamera], seed: int, progress: Progress) -> list[Any]:
    """The models, the largest first, made again with focal lengths held where the photos cannot tell them."""
    many = min(Counter(photo.camera for photo in matched.photos).values()) >= MANY_PHOTOS
    made = [colmap_camera(number, camera, MODEL if many else PLAIN_MODEL) for number, camera in enumerate(cameras, 1)]

    def mapped(estimate_focal: bool, what: str) -> list[Any]:
        with database(matched, made) as path, _counted(progress, len(matched.photos), what) as placed:
            return models_of(path, MapperOptions(estimate_focal, seed), placed)

    estimate = not all(camera.focal_is_sure for camera in cameras)
    models = mapped(estimate, "placing photos")
    if not models or not estimate or not all_look_one_way(models[0]):
        return models
    if any(camera.focal_px is None for camera in cameras):
        log.warning(
            "all photos look the same way, from which no focal length can be told, and their metadata do not say it: "
            "say it with --focal PIXELS, or heights and distances may be far off"
        )
        return models
    log.info("all photos look the same way, from which no focal length can be told: that of their metadata is kept")
    return mapped(False, "placing photos again")


@contextmanager
def _counted(progress: Progress, count: int, what: str) -> Iterator[Any]:
    """Progress for work that calls back: yields what is to be called after each item."""
    items: Iterable[int] = iter(progress(range(count), what))

    def step() -> None:
        next(items, None)  # type: ignore[call-overload]

    step()
    yield step


def _placement(matched: MatchedPhotos, models: Sequence[Any], broken: Mapping[str, str]) -> Placement:
    model, *others = models
    images = placed_images(model)
    poses = {image.name: pose_of(image) for image in images}
    group = {image.name: number for number, other in enumerate(others) for image in placed_images(other)}
    reasons = {}
    for photo, agreeing in zip(matched.photos, matched.most_agreeing(), strict=True):
        if photo.name in broken:
            reasons[photo.name] = broken[photo.name]
        elif photo.name not in poses:
            other = others[group[photo.name]] if photo.name in group else None
            reasons[photo.name] = _reason(int(agreeing), other)
    return Placement(
        {camera.camera_id - 1: lens_of(camera) for camera in model.cameras.values()},
        poses,
        {image.name: seen_points(model, image) for image in images},
        reasons,
        float(model.compute_mean_reprojection_error()),
    )


def _reason(agreeing: int, other: Any | None) -> str:
    """Why a photo that can be read has no pose in the largest model."""
    if other is not None:
        return (
            f"it belongs to another group of {other.num_reg_images()} photos, which share too little with the largest: "
            "photos between them are missing"
        )
    if agreeing < MIN_MATCHES:
        most = f"at most {agreeing}" if agreeing else "none"
        return f"too few matches: {most} of its keypoints agree with another photo's, {MIN_MATCHES} must"
    return (
        f"{agreeing} of its keypoints agree with another photo's, but too few of these are points that three photos "
        "place well"
    )


def _none_placed(photos: Sequence[UnposedPhoto], agreeing_p: np.ndarray, broken: Mapping[str, str]) -> str:
    count = len(photos)
    if len(broken) == count:
        return f"none of the {count} photos can be read: {first_few(sorted(broken), 3)}"
    if count < FEWEST_PHOTOS:
        return f"{count} photos are too few; {FEWEST_PHOTOS} that show the same from different places are the least"
    alike = int((agreeing_p >= MIN_MATCHES).sum())
    if alike == 0:
        return (
            f"none of the {count} photos can be placed: no two of them show the same; take photos that overlap by two "
            "thirds"
        )
    return (
        f"none of the {count} photos can be placed, though {alike} share keypoints with another one: they were taken "
        "from one place, or too few of them show the same; take more photos, from places side by side"
    )
