"""Writes a small data set in exactly the 7-Scenes raw layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from transpose.geometry.poses import compose, exp_so3
from transpose.randomness import stream


def write_raw(folder: Path, frames: dict[str, list[str]], jpeg: bool = False, size: tuple[int, int] = (64, 48)) -> Path:
    """`frames` maps sequence names to stems. Depth is a wall at 2 m; poses differ slightly."""
    width, height = size
    rng = stream(0, "raw 7scenes")
    for sequence, stems in frames.items():
        (folder / sequence).mkdir(parents=True, exist_ok=True)
        for k, stem in enumerate(stems):
            base = folder / sequence / stem
            image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1)
            cv2.imwrite(f"{base}.color.{'jpg' if jpeg else 'png'}", image)
            depth = np.full((height, width), 2000, np.uint16)
            depth[0, 0], depth[0, 1] = 65535, 0
            cv2.imwrite(f"{base}.depth.png", depth)
            # Slightly off SO(3), as in the archive.
            T_wd = compose(exp_so3(np.array([0.01 * k, 0, 0])) * 0.9998, np.array([0.1 * k, 0.0, 0.0]))
            np.savetxt(f"{base}.pose.txt", T_wd)
    return folder
