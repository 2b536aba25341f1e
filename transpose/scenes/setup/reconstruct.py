"""Photos without poses: these come from the photos themselves, by structure from motion."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transpose.errors import TransposeError, first_few
from transpose.scenes import files
from transpose.scenes.exif import focal_from_exif, gps_from_exif
from transpose.scenes.image_kinds import photos_in
from transpose.scenes.setup.photo_files import listed, usual_folders
from transpose.scenes.setup.photo_units import write_in_unit
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.scenes.setup.reconstruct_frame import KnownDistance, MetricFrame, frame_by_distance, frame_by_gps
from transpose.scenes.setup.unposed_photos import Placement, Placer, Progress, SharedCamera, UnposedPhoto

log = logging.getLogger(__name__)
_FEWEST = 3  # photos of a scene
_FEW = 0.5  # of the photos: fewer placed ones deserve more than a list of the others
_REMEDY = "where the distance between two cameras is known, say so with --scale-from PHOTO PHOTO METRES"
_MOST_LINES = 20  # about photos that were not placed


@dataclass(frozen=True)
class ReconstructOptions:
    """What is known beside the photos.

    Attributes:
        focal_px: of all photos, and sure; None: from EXIF where it says one, else estimated.
        distance: from which the scale follows; None: from GPS tags where there are some.
        seed: of the searches.

    Raises:
        TransposeError: the focal length is none.
    """

    focal_px: float | None = None
    distance: KnownDistance | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.focal_px is not None and not 0 < self.focal_px < math.inf:
            raise TransposeError(f"--focal is a focal length in pixels of the photos, not {self.focal_px}")


def setup_reconstruct(
    source: Path,
    out: Path,
    section: str,
    place: Placer,
    options: ReconstructOptions,
    list_file: Path | None = None,
    progress: Progress = lambda items, _: items,
    origin: str | None = None,
) -> list[Path]:
    """Sets up one section of photos alone.

    Photos of one size and one EXIF focal length share a camera, whose distortion is estimated. In metres, east, north
    and up where the photos have GPS tags; in metres where a distance is known; else in a unit of its own.

    Args:
        source: the folder of the photos, or one with `images/` or the like in it.
        out: the scene folder.
        section: its name.
        place: structure from motion.
        options: what is known beside the photos.
        list_file: only the photos that it names.
        progress: wraps what is worked through.
        origin: where the photos came from, where it is not their folder.

    Raises:
        TransposeError: there are no photos, or no three of them can be placed.
        MissingPackageError: pycolmap is not installed.
    """
    photos, cameras, unreadable = _grouped(listed(_found(source), list_file), options)
    if len(photos) < _FEWEST:
        why = f"; {_lines(unreadable)[0]}" if unreadable else ""
        raise TransposeError(f"{source} holds {len(photos)} photos that can be read; {_FEWEST} are the least{why}")
    if options.distance is not None:
        options.distance.among([*(photo.name for photo in photos), *unreadable])  # before all the work
    placement = place(photos, cameras, options.seed, progress)
    reasons = {**unreadable, **placement.reasons}
    _report(out / section, len(placement.poses), reasons)
    frame = _frame(placement, photos, reasons, options)
    posed = [_posed(photo, placement, frame) for photo in photos if photo.name in placement.poses]
    plan = {"setup": "reconstruct", "source": str(source)}
    facts = {
        "source": origin or f"reconstruct:{source.resolve().name}",
        "poses": "structure from motion",
        "error_px": placement.error_px,
        "cameras": [asdict(lens) for lens in placement.lenses.values()],
        "not_placed": reasons,
        **(frame.facts if frame else {}),
    }
    unit_m = None if frame is None else 1.0
    return write_in_unit({section: posed}, out, unit_m, plan, facts, progress, _REMEDY)


def _found(source: Path) -> list[UnposedPhoto]:
    """The photos of a folder, else of the first folder in it where photos usually are; their cameras are not known."""
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder")
    for folder in (source, *usual_folders(source)):
        paths, left_out = photos_in(folder)
        if paths:
            if left_out:
                log.warning("%s: %s", folder, left_out)
            return [UnposedPhoto(path.name, path, 0) for path in paths]
    left_out = photos_in(source)[1]
    raise TransposeError(
        f"{source} holds no photos, and no folder images/ with some{f'; {left_out}' if left_out else ''}; name the "
        "folder of the photos with --source"
    )


def _grouped(
    found: Sequence[UnposedPhoto], options: ReconstructOptions
) -> tuple[list[UnposedPhoto], list[SharedCamera], dict[str, str]]:
    """The photos with their cameras, the cameras, and what is wrong with photos that cannot be read."""
    photos, numbers, unreadable = [], dict[SharedCamera, int](), dict[str, str]()
    for photo in found:
        try:
            width, height = files.image_size(photo.image)
        except TransposeError as error:
            unreadable[photo.name] = f"it cannot be read ({error})"
            continue
        exif = None if options.focal_px else focal_from_exif(photo.image)
        focal_px = options.focal_px or (exif.focal_px if exif else None)
        camera = SharedCamera(width, height, focal_px, options.focal_px is not None)
        photos.append(UnposedPhoto(photo.name, photo.image, numbers.setdefault(camera, len(numbers))))
    return photos, list(numbers), unreadable


def _report(section: Path, placed: int, reasons: Mapping[str, str]) -> None:
    """Says which photos have no pose, and why."""
    total = placed + len(reasons)
    log.info("%s: %d of %d photos are placed", section, placed, total)
    for line in _lines(reasons):
        log.warning("%s", line)
    if placed < _FEW * total:
        log.warning(
            "only %d of %d photos are placed: photos that overlap by two thirds, from places side by side, would join "
            "the others; a localizer will know this part alone",
            placed,
            total,
        )


def _lines(reasons: Mapping[str, str]) -> list[str]:
    """A line for each photo, or for each reason where there are many."""
    if len(reasons) <= _MOST_LINES:
        return [f"{name} is not placed: {reason}" for name, reason in reasons.items()]
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{len(names)} photos are not placed: {reason}: {first_few(names)}" for reason, names in by_reason.items()]


def _frame(
    placement: Placement, photos: Sequence[UnposedPhoto], reasons: Mapping[str, str], options: ReconstructOptions
) -> MetricFrame | None:
    centers = {name: pose.center for name, pose in placement.poses.items()}
    if options.distance is not None:
        return frame_by_distance(centers, options.distance, reasons)
    tags = {photo.name: tag for photo in photos if (tag := gps_from_exif(photo.image)) is not None}
    return frame_by_gps(centers, tags, options.seed)


def _posed(photo: UnposedPhoto, placement: Placement, frame: MetricFrame | None) -> PosedPhoto:
    pose, points_n3 = placement.poses[photo.name], placement.seen[photo.name]
    if frame is not None:
        pose, points_n3 = frame.similarity.pose(pose), frame.similarity.points(points_n3)
    return PosedPhoto(photo.name, photo.image, placement.lenses[photo.camera], pose, points_n3)
