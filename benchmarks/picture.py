"""The README's picture, from the folder that `transpose demo` wrote.

    python benchmarks/picture.py demo docs/demo.jpg

Left to right: a photo that was not refused, the survey's world rendered at the pose that was estimated from it, and the
scene coordinates that the network predicted (colour is place).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import transpose
from transpose.scenes import open_section
from transpose.scenes.files import write_image
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import load_world

_ROWS = 3


def main(demo: Path, out: Path) -> None:
    """Writes the picture."""
    localizer = transpose.load(demo / "runs" / "village")
    renderer = Renderer(load_world(demo / "worlds" / "village"))
    frames = open_section(demo / "datasets" / "village" / "test_flight").frames
    rows = []
    for frame in frames[:: max(1, len(frames) // (4 * _ROWS))]:
        photo_hw3 = frame.image()
        estimate = localizer.localize(photo_hw3, frame.camera)
        if estimate.pose is None or len(rows) == _ROWS:
            continue
        size = (photo_hw3.shape[1], photo_hw3.shape[0])
        render_hw3 = renderer.view(frame.camera, estimate.pose).rgb_hw3
        points_hw3 = localizer.coordinates(photo_hw3).points_hw3
        low_3, high_3 = np.percentile(points_hw3.reshape(-1, 3), (2, 98), axis=0)
        place_hw3 = (255 * ((points_hw3 - low_3) / (high_3 - low_3)).clip(0, 1)).astype(np.uint8)
        rows.append(np.concatenate([photo_hw3, render_hw3, cv2.resize(place_hw3, size)], axis=1))
    picture = cv2.resize(np.concatenate(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write_image(out, picture, jpeg_quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
