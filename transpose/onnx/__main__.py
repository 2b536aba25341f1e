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


def main() -> int:
    """Localizes; returns the exit code: 1 where an image or the folder cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m transpose.onnx", description=__doc__)
    parser.add_argument("folder", type=Path, help="what transpose export RUN --to onnx wrote")
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--focal", type=float, help="pixels; without, the camera of the training images")
    given = parser.parse_args()
    try:
        localizer = load(given.folder)
        for path in given.images:
            print(json.dumps(_line(localizer, path, given.focal)), flush=True)
    except TransposeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _line(localizer: OnnxLocalizer, path: Path, focal_px: float | None) -> dict[str, object]:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image_hw3 = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise TransposeError(f"{path} cannot be read as an image ({error})") from None
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
