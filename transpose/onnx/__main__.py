"""`python -m transpose.onnx FOLDER IMAGE... [--focal F]`: one JSON line an image, without PyTorch."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.onnx.localizer import OnnxLocalizer, load

_MOST_16_BIT = 65535


def main() -> int:
    """Localizes; returns the exit code: 1 where the folder or an image cannot be read, which costs no other image."""
    parser = argparse.ArgumentParser(prog="python -m transpose.onnx", description=__doc__)
    parser.add_argument("folder", type=Path, help="what transpose export RUN --to onnx wrote")
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--focal", type=float, help="pixels; without, the training images' camera, if photos have it")
    given = parser.parse_args()
    try:
        localizer = load(given.folder)
    except TransposeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = 0
    for path in given.images:
        try:
            line = _line(localizer, path, given.focal)
        except TransposeError as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            line = {"image": str(path), "pose": None, "reason": f"error: {error}"}
            failed += 1
        print(json.dumps(line), flush=True)
    return min(1, failed)


def _pixels(path: Path) -> np.ndarray:
    """RGB, upright; 16 bits become 8.

    Raises:
        TransposeError: it cannot be read, or its numbers are no colours.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if not upright.mode.startswith(("I", "F")):
                return np.array(upright.convert("RGB"))
            numbers_hw = np.asarray(upright)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise TransposeError(f"it cannot be read as an image ({error})") from None
    if numbers_hw.dtype.kind == "f" or numbers_hw.min() < 0 or numbers_hw.max() > _MOST_16_BIT:
        raise TransposeError("its numbers are no colours; convert it to RGB, 8 bits each")
    return np.repeat((numbers_hw.astype(np.int64) >> 8).astype(np.uint8)[..., None], 3, axis=2)


def _line(localizer: OnnxLocalizer, path: Path, focal_px: float | None) -> dict[str, object]:
    image_hw3 = _pixels(path)
    started = time.perf_counter()
    estimate = localizer.localize(image_hw3, focal_px=focal_px)
    return {
        "image": str(path),
        "pose": None if estimate.pose is None else estimate.pose.T_wc.tolist(),
        "reason": estimate.reason,
        "confidence": estimate.confidence,
        "inliers": estimate.inliers,
        "by": estimate.by,
        "seconds": time.perf_counter() - started,
        "unit": localizer.place.unit,
    }


if __name__ == "__main__":
    sys.exit(main())
