"""Does a localizer know when it does not know? It is shown images of other places and should refuse them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from transpose.errors import TransposeError
from transpose.localization import Localizer
from transpose.scenes.files import read_image
from transpose.scenes.image_kinds import photos_in

log = logging.getLogger(__name__)


def foreign_images(folder: Path) -> list[Path]:
    """The images of a folder, or of its `rgb` folder where it is a section."""
    where = folder / "rgb" if (folder / "rgb").is_dir() else folder
    paths = photos_in(where)[0] if where.is_dir() else []
    if not paths:
        raise TransposeError(f"{where} holds no images")
    return paths


def count_refused(localizer: Localizer, paths: Iterable[Path]) -> tuple[int, int]:
    """(refused, shown). Nothing is known of these cameras: each gets the training camera's field of view.

    What cannot be read is not shown, and told.
    """
    refused = shown = 0
    for path in paths:
        try:
            image_hw3 = read_image(path)
        except TransposeError as error:
            log.warning("%s; it is not shown", error)
            continue
        camera = localizer.camera
        scale = image_hw3.shape[1] / camera.width
        estimate = localizer.localize(image_hw3, focal_px=camera.fx * scale)
        refused += estimate.pose is None
        shown += 1
    return refused, shown
