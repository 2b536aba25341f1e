"""Photos with known lens and pose as a section: what COLMAP, Nerfstudio and photogrammetry projects come down to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.cameras import CELL_STRIDE, Camera, grid_shape, pixel_centers
from transpose.geometry.lens import Lens, pinhole_for
from transpose.geometry.poses import Pose, transform
from transpose.scenes.files import is_depth
from transpose.scenes.image_files import is_image
from transpose.scenes.undistort import read_photo, undistorted
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.storage import read_text

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class PosedPhoto:
    """One photo.

    `points_n3` are world points known to be seen in it, such as those of a sparse reconstruction, of which those beyond
    `farthest_m` are taken for outliers; `depth` reads a depth image of the photo as it is (metres along z), where there
    is one.
    """

    name: str
    image: Path
    lens: Lens
    pose: Pose
    points_n3: np.ndarray | None = None
    depth: Callable[[], np.ndarray] | None = None
    farthest_m: float = math.inf

    @property
    def stem(self) -> str:
        """Its name in the section: folders become part of it."""
        return "-".join(part for part in Path(self.name).with_suffix("").parts if part not in ("/", ".", ".."))


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
) -> Path:
    """Writes a section, each photo brought to a pinhole camera; what an earlier run wrote of it is kept.

    A photo without distortion is copied byte for byte with its intrinsics.

    Args:
        photos: in any order; stems must differ.
        out, section: the scene folder and the section's name.
        plan: what distinguishes this set-up from another one of the same section.
        facts: where they came from; see `SectionFacts`.
        progress: wraps the photos as they are worked through.
        licence: under which they were published.
        depth_as_png: depth is stored in millimetres, which it must fit; see `files.write_depth`.
        metric: lengths are metres.

    Raises:
        TransposeError: a photo is missing or unreadable, two have one stem, or a lens cannot be undone.
    """
    if not photos:
        raise TransposeError(f"no photo is left for section {section}")
    stems = [photo.stem for photo in photos]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else ()):
        raise TransposeError(f"two photos would have one name: {first_few(twice)}")
    if missing := [str(photo.image) for photo in photos if not photo.image.is_file()]:
        raise TransposeError(f"photos are missing: {first_few(missing)}; is the folder of images complete?")
    writer = SectionWriter(out, section, {**plan, "metric": metric, "photos": _digest(photos)}, depth_as_png)
    for photo in progress(photos, section):
        if not writer.is_done(photo.stem):
            _write(writer, photo)
    return writer.finish(facts, licence=licence, metric=metric)


def _digest(photos: Sequence[PosedPhoto]) -> str:
    """Tells sets of names, lenses and poses apart, so that a set-up cut off is not gone on with by another."""
    digest = hashlib.sha256()
    for photo in sorted(photos, key=lambda photo: photo.stem):
        digest.update(f"{photo.stem} {photo.image} {photo.lens}".encode() + photo.pose.T_wc.tobytes())
    return digest.hexdigest()


def _write(writer: SectionWriter, photo: PosedPhoto) -> None:
    image_hw3, as_it_is = read_photo(photo.image, photo.lens)  # refuses a broken image before it is copied
    try:
        lens = photo.lens.resized(image_hw3.shape[1], image_hw3.shape[0])
        camera = lens.camera if lens.is_pinhole else pinhole_for(lens)
    except ValueError as error:
        raise TransposeError(f"{photo.image}: {error}") from None
    depth_hw = None if photo.depth is None else _as_seen(photo.depth(), lens, camera)
    init_3hw = None
    if photo.points_n3 is not None:
        init_3hw = sparse_map(photo.points_n3, photo.pose, camera, photo.farthest_m)
    labels = FrameLabels(depth_hw=depth_hw, coordinates_3hw=init_3hw)
    if lens.is_pinhole and as_it_is and is_image(photo.image):  # others are encoded anew
        writer.add(photo.stem, photo.image, photo.pose, camera, labels)
    else:
        if not lens.is_pinhole:
            image_hw3 = undistorted(image_hw3, lens, camera)
        writer.add(photo.stem, image_hw3, photo.pose, camera, labels, _JPEG_QUALITY)


def _as_seen(depth_hw: np.ndarray, lens: Lens, camera: Camera) -> np.ndarray:
    """Depth at the nearest pixel of the photo, NaN outside; along z it is the same for both cameras."""
    rays_hw2 = camera.unproject(pixel_centers(camera.width, camera.height))[..., :2]
    height, width = depth_hw.shape
    column_hw, row_hw = np.moveaxis(np.floor(lens.resized(width, height).px_of_rays(rays_hw2)).astype(np.int64), -1, 0)
    inside_hw = (column_hw >= 0) & (column_hw < width) & (row_hw >= 0) & (row_hw < height)
    values_hw = depth_hw[row_hw.clip(0, height - 1), column_hw.clip(0, width - 1)]
    return np.where(inside_hw & is_depth(values_hw), values_hw, np.nan).astype(np.float32)


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


def listed(photos: Sequence[PosedPhoto], list_file: Path | None) -> list[PosedPhoto]:
    """The photos that a list names, by name or stem, or all of them.

    Raises:
        TransposeError: the list is missing or empty, or names what is not there or is not unique.
    """
    if list_file is None:
        return list(photos)
    words = read_text(list_file).split()
    if not words:
        raise TransposeError(f"{list_file} is empty; it names photos, one a line")
    by_name: dict[str, list[PosedPhoto]] = {}
    for photo in photos:
        for name in {photo.name, photo.stem, Path(photo.name).stem, Path(photo.name).name}:
            by_name.setdefault(name, []).append(photo)
    for word in words:
        if len(by_name.get(word, ())) != 1:
            what = "is not unique" if word in by_name else "has no pose in this set"
            raise TransposeError(f"{list_file} names {word}, which {what}")
    return [by_name[word][0] for word in words]
