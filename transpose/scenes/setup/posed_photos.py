"""Photos with known lens and pose as a section: what COLMAP, Nerfstudio and photogrammetry projects come down to."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.cameras import CELL_STRIDE, Camera, grid_shape
from transpose.geometry.panorama import Panorama
from transpose.geometry.pinhole_views import PinholeView, pinhole_views
from transpose.geometry.poses import Pose, compose, transform
from transpose.geometry.projection import Projection
from transpose.parallel import in_order, one_thread_each, worker_count
from transpose.scenes import files
from transpose.scenes.image_kinds import is_image
from transpose.scenes.setup.photo_files import existing, stem_of
from transpose.scenes.undistort import depth_in_view, read_photo, undistorted
from transpose.scenes.writer import FrameLabels, SectionWriter, refuse_other_kind

log = logging.getLogger(__name__)
_JPEG_QUALITY = 95
_MOST_THREADS = 4  # a photo of 50 megapixels takes a gigabyte while its lens is undone


@dataclass(frozen=True)
class PosedPhoto:
    """One photo.

    `points_n3` are world points known to be seen in it, such as those of a sparse reconstruction, of which those beyond
    `farthest_m` are taken for outliers; `depth` reads a depth image of the photo as it is (metres along z), where there
    is one.
    """

    name: str
    image: Path
    lens: Projection
    pose: Pose
    points_n3: np.ndarray | None = None
    depth: Callable[[], np.ndarray] | None = None
    farthest_m: float = math.inf

    @property
    def stem(self) -> str:
        """Its name in the section: folders become part of it."""
        return stem_of(self.name)


Progress = Callable[[Sequence[PosedPhoto], str], Iterable[PosedPhoto]]


def write_posed_photos(
    photos: Sequence[PosedPhoto],
    out: Path,
    section: str,
    plan: dict[str, Any],
    facts: Mapping[str, Any],
    progress: Progress,
    *,
    licence: str | None = None,
    depth_as_png: bool = False,
    metric: bool = True,
    up: Sequence[float] | None = None,
) -> Path:
    """Writes a section, each photo brought to a pinhole camera; what an earlier run wrote of it is kept.

    A photo without distortion is copied byte for byte with its intrinsics. One of a fisheye or a panorama may become
    several frames, views from the same place (`pinhole_views`); the section's fact `cut_of` says of which photo.

    Args:
        photos: in any order; stems must differ.
        out, section: the scene folder and the section's name.
        plan: what distinguishes this set-up from another one of the same section.
        facts: where they came from; see `SectionFacts`.
        progress: wraps the photos as they are worked through.
        licence: under which they were published.
        depth_as_png: depth is stored in millimetres; what does not fit there is unknown, and counted in one warning.
        metric: lengths are metres.
        up: which way is up in the frame of the poses (3,); None: nobody says.

    Raises:
        TransposeError: most photos are missing, one is unreadable, two have one stem, or a lens cannot be undone.
    """
    if not photos:
        raise TransposeError(f"no photo is left for section {section}")
    photos = existing(photos, section)
    stems = [stem for photo in photos for stem in _stems(photo)]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else ()):
        raise TransposeError(f"two photos would have one name: {first_few(twice)}")
    refuse_other_kind(out / section, rendered=False)
    writer = SectionWriter(out, section, {**plan, "metric": metric, "photos": _digest(photos)}, depth_as_png)
    cut = _cut(photos, section)
    with one_thread_each(), ThreadPoolExecutor(min(worker_count(), _MOST_THREADS)) as pool:
        written = in_order(pool, lambda i: _write(writer, photos[i]), range(len(photos)))
        too_far = sum(count for _, count in zip(progress(photos, section), written, strict=True))
    if too_far:
        far = f"{files.PNG_DEPTH_LIMIT_M:g} m and more"
        log.warning("%s: %d pixels have depth of %s, which is taken for unknown", section, too_far, far)
    of_scene: dict[str, Any] = {} if up is None else {"up": list(up)}
    return writer.finish({**facts, "cut_of": cut} if cut else facts, licence=licence, metric=metric, **of_scene)


def _digest(photos: Sequence[PosedPhoto]) -> str:
    """Tells sets of names, lenses and poses apart, so that a set-up cut off is not gone on with by another."""
    digest = hashlib.sha256()
    for photo in sorted(photos, key=lambda photo: photo.stem):
        digest.update(f"{photo.stem} {photo.image} {photo.lens}".encode() + photo.pose.T_wc.tobytes())
    return digest.hexdigest()


def _write(writer: SectionWriter, photo: PosedPhoto) -> int:
    """Writes the frames that a photo becomes; returns of how many pixels the depth was too far to be stored."""
    stems, too_far = _stems(photo), 0
    if all(map(writer.is_done, stems)):
        return too_far
    image_hw3, as_it_is = read_photo(photo.image, photo.lens)  # refuses a broken image before it is copied
    try:
        lens = photo.lens.resized(image_hw3.shape[1], image_hw3.shape[0])
        views = pinhole_views(lens)
    except ValueError as error:
        raise TransposeError(f"{photo.image}: {error}") from None
    depth_hw = None if photo.depth is None else photo.depth()
    for stem, view in zip(stems, views, strict=True):
        if writer.is_done(stem):
            continue
        pose = Pose(photo.pose.T_wc @ compose(view.R_lv, np.zeros(3)))
        seen_hw = None if depth_hw is None else depth_in_view(depth_hw, lens, view.camera, view.R_lv)
        if seen_hw is not None and writer.depth_as_png:
            far_hw = files.is_depth(seen_hw) & (seen_hw >= files.PNG_DEPTH_LIMIT_M)
            too_far += int(np.count_nonzero(far_hw))
            seen_hw = np.where(far_hw, np.nan, seen_hw)
        labels = FrameLabels(
            depth_hw=seen_hw,
            coordinates_3hw=None
            if photo.points_n3 is None
            else sparse_map(photo.points_n3, pose, view.camera, photo.farthest_m),
        )
        if lens.is_pinhole and as_it_is and is_image(photo.image):  # others are encoded anew
            writer.add(stem, photo.image, pose, view.camera, labels)
        else:
            seen_hw3 = image_hw3 if lens.is_pinhole else undistorted(image_hw3, lens, view.camera, view.R_lv)
            writer.add(stem, seen_hw3, pose, view.camera, labels, _JPEG_QUALITY)
    return too_far


def _views(photo: PosedPhoto) -> tuple[PinholeView, ...]:
    try:
        return pinhole_views(photo.lens)
    except ValueError as error:
        raise TransposeError(f"{photo.image}: {error}") from None


def _stems(photo: PosedPhoto) -> list[str]:
    """The frames that a photo becomes: its own name, with that of the view where it is cut into several."""
    return [f"{photo.stem}-{view.name}" if view.name else photo.stem for view in _views(photo)]


def _cut(photos: Sequence[PosedPhoto], section: str) -> dict[str, str]:
    """Which photo each frame was cut of, where photos are cut into several; said in one line."""
    cut = [photo for photo in photos if len(_views(photo)) > 1]
    if cut:
        names = ", ".join(view.name for view in _views(cut[0]))
        log.warning(
            "%s: %d photos are too wide for one pinhole camera and are cut into several views each (%s), PHOTO-VIEW",
            section,
            len(cut),
            names,
        )
    if any(photo.depth is not None and isinstance(photo.lens, Panorama) for photo in photos):
        log.warning("%s: depth of panoramas is taken for the distance along each ray", section)
    return {stem: photo.stem for photo in cut for stem in _stems(photo)}


def sparse_map(points_n3: np.ndarray, pose: Pose, camera: Camera, farthest_m: float = math.inf) -> np.ndarray:
    """`init` (3, rows, columns) of sparse world points: the nearest in each cell, NaN where there is none (DSAC*).

    A cell's point need not lie on the pixel that the cell stands for; points beyond `farthest_m` do not count.
    """
    rows, columns = grid_shape(camera.width, camera.height)
    map_n3 = np.full((rows * columns, 3), np.nan)
    camera_n3 = transform(pose.T_cw, points_n3)
    px_n2 = camera.project(camera_n3)
    with np.errstate(invalid="ignore"):
        seen_n = ((px_n2 >= 0) & (px_n2 < (camera.width, camera.height))).all(1) & (camera_n3[:, 2] < farthest_m)
    far_first = np.argsort(-camera_n3[seen_n, 2], kind="stable")
    cell_n2 = (px_n2[seen_n][far_first] // CELL_STRIDE).astype(np.int64)
    # The last assignment to a cell stays: the nearest.
    map_n3[cell_n2[:, 1] * columns + cell_n2[:, 0]] = points_n3[seen_n][far_first]
    return map_n3.T.reshape(3, rows, columns)
