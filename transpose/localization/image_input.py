"""Images as programs have them, brought to one form: RGB uint8 (height, width, 3), upright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from transpose.errors import TransposeError
from transpose.scenes.decoding import of_pil
from transpose.scenes.exif import ExifFocal, focal_from_exif, focal_of_image
from transpose.scenes.files import read_image

ImageLike = np.ndarray | torch.Tensor | Image.Image | Path | str


def as_image(image: ImageLike) -> np.ndarray:
    """RGB uint8 (height, width, 3).

    Args:
        image: the path of a file; a PIL image, turned upright by its EXIF and brought to sRGB as a file is; or an array
            or tensor, which must have that form already: nothing of its range or of the order of its axes is guessed.

    Raises:
        TransposeError: a file that cannot be read, or an array of another form.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return of_pil(image)
    if isinstance(image, torch.Tensor) and image.dtype == torch.bfloat16:  # which NumPy has not
        image = image.float()
    array: Any = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
    if not isinstance(array, np.ndarray):
        raise TransposeError(f"need an image as path, PIL image, array or tensor, not {type(image).__name__}")
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise TransposeError(
            f"need an RGB image (height, width, 3) uint8, got {array.shape} {array.dtype}{_remedy(array)}"
        )
    return array


def exif_of_image(image: ImageLike) -> ExifFocal | None:
    """The focal length that the metadata of a file or of a PIL image say; None for arrays."""
    if isinstance(image, str | Path):
        return focal_from_exif(Path(image))
    return focal_of_image(image) if isinstance(image, Image.Image) else None


def _remedy(array: np.ndarray) -> str:
    if array.ndim == 4:
        return "; give one image of a batch at a time"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        return "; channels come last: image.transpose(1, 2, 0), of a tensor image.permute(1, 2, 0)"
    if array.ndim == 3 and array.shape[2] == 4:
        return "; leave the alpha channel out: image[..., :3]"
    if array.ndim == 2:
        return "; repeat a grey image: np.repeat(image[..., None], 3, axis=2)"
    if array.dtype.kind == "f":
        return "; of 0..1 make (255 * image).round().astype('uint8')"
    return ""
