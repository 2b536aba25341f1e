"""Does a localizer know when it does not know? It is shown images of other places and should refuse them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from transpose.errors import TransposeError
from transpose.localization import Localizer
from transpose.scenes.files import read_image

_ENDINGS = (".png", ".jpg", ".jpeg")


def foreign_images(folder: Path) -> list[Path]:
    """The images of a folder, or of its `rgb` folder where it is a section."""
    where = folder / "rgb" if (folder / "rgb").is_dir() else folder
    paths = sorted(p for p in where.iterdir() if p.suffix.lower() in _ENDINGS) if where.is_dir() else []
    if not paths:
        raise TransposeError(f"{where} holds no images (.png or .jpg)")
    return paths


def count_refused(localizer: Localizer, paths: Iterable[Path]) -> tuple[int, int]:
    """(refused, shown). Nothing is known of these cameras: each gets the training camera's field of view."""
    refused = shown = 0
    for path in paths:
        image_hw3 = read_image(path)
        camera = localizer.camera
        scale = image_hw3.shape[1] / camera.width
        estimate = localizer.localize(image_hw3, focal_px=camera.fx * scale)
        refused += estimate.pose is None
        shown += 1
    return refused, shown
