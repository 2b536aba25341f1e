"""A video of a place: photos are taken out of it, and their poses come from structure from motion."""

from __future__ import annotations

import logging
from pathlib import Path

from transpose.errors import TransposeError
from transpose.scenes import files
from transpose.scenes.setup.handheld import stepped, unpacked_images
from transpose.scenes.setup.reconstruct import ReconstructOptions, setup_reconstruct
from transpose.scenes.setup.unposed_photos import Placer, Progress
from transpose.scenes.video import sharp_frames, video_facts, video_frames

log = logging.getLogger(__name__)
_JPEG_QUALITY = 95


def setup_video(
    source: Path,
    out: Path,
    section: str,
    place: Placer,
    options: ReconstructOptions,
    progress: Progress = lambda items, _: items,
    every: int | None = None,
) -> list[Path]:
    """Sets up a section of a video. Images are turned as the video says that it was held.

    Args:
        source: the file.
        out: the scene folder.
        section: the section's name.
        place: structure from motion.
        options: what is known beside the video.
        progress: wraps what is worked through.
        every: each so manieth image; None: the sharpest of each stretch, see `sharp_frames`.

    Raises:
        TransposeError: this is no video that can be read, or too few of its images can be placed.
        MissingPackageError: pycolmap is not installed.
    """
    facts = video_facts(source)
    every_one = range(facts.count)
    numbers = sharp_frames(source, facts, progress) if every is None else stepped(every_one, every)
    if not numbers:
        raise TransposeError(f"{source} holds no image that can be read")
    log.info("%s: %d of about %d images are taken", source, len(numbers), facts.count)
    origin = f"video:{source.name}"
    with unpacked_images(out, section, source) as folder:
        for path in folder.iterdir():  # of another choice
            path.unlink()
        for number, image_hw3 in video_frames(source, progress(numbers, "taking images out"), upright=True):
            files.write_image(folder / f"{number:06d}.jpg", image_hw3, _JPEG_QUALITY)
        return setup_reconstruct(folder, out, section, place, options, None, progress, origin)
