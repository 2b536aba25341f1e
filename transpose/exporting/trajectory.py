"""The trajectory of the TUM RGB-D benchmark, which `evo` reads: `timestamp tx ty tz qx qy qz qw`, camera to world."""

from __future__ import annotations

from collections.abc import Sequence

from transpose.exporting.estimates import PosedImage
from transpose.geometry.poses import quaternion_wxyz


def tum_text(images: Sequence[PosedImage], times_s: Sequence[float]) -> str:
    """The file's text.

    Args:
        images: with poses.
        times_s: of the images, seconds.
    """
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for image, time_s in zip(images, times_s, strict=True):
        w, x, y, z = quaternion_wxyz(image.pose.R_wc)
        lines.append(f"{time_s:.6f} " + " ".join(f"{value:.9f}" for value in (*image.pose.center, x, y, z, w)))
    return "\n".join(lines) + "\n"
