"""Writes a small recording in exactly the layout of the TUM RGB-D benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from tests.scenes.painted_wall import depth_of_wall, photo_of_wall
from transpose.geometry.lens import Lens
from transpose.geometry.poses import compose, exp_so3

START_S = 1305031229.5
FRAME_S = 1 / 30
WALL_M = 2.0
TURN_RAD_S = 3.0


def true_pose(seconds: float) -> np.ndarray:
    """(4, 4) camera to world: turning about its y axis and moving along x, both evenly, before a wall."""
    since_s = seconds - START_S
    return compose(exp_so3(np.array([0, TURN_RAD_S * since_s, 0])), np.array([0.3 * since_s, 0.1, 0.0]))


def shaken_pose(seconds: float) -> np.ndarray:
    """(4, 4) camera to world: turning to and fro before the wall, by 10 degrees at most, as a hand does."""
    since_s = seconds - START_S
    turn_3 = np.array([0.1 * np.sin(7 * since_s), 0.15 * np.sin(11 * since_s), 0.1 * np.sin(5 * since_s)])
    return compose(exp_so3(turn_3), np.array([0.3 * since_s, 0.1 * np.sin(3 * since_s), 0.0]))


def write_tum(
    folder: Path,
    lens: Lens,
    frames: int = 6,
    depth_late_s: float = 0.015,
    steps: float = 5000,
    pose: Callable[[float], np.ndarray] = true_pose,
    truth_late_s: float = 0.0,
) -> Path:
    """Images `rgb/TIME.png` and `depth/TIME.png`, the lists with the benchmark's comments, poses at 100 Hz.

    Depth is taken `depth_late_s` after the colour image; poses are stamped `truth_late_s` later than they are.
    """
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    lists: dict[str, list[str]] = {"rgb": [], "depth": []}
    for k in range(frames):
        seconds = START_S + 0.02 + k * FRAME_S
        image = photo_of_wall(pose(seconds), lens, WALL_M)
        depth = np.rint(depth_of_wall(pose(seconds + depth_late_s), lens, WALL_M) * steps).astype(np.uint16)
        depth[0, 0] = 0
        for kind, taken_s, pixels in (("rgb", seconds, image), ("depth", seconds + depth_late_s, depth)):
            name = f"{kind}/{taken_s:.6f}.png"
            cv2.imwrite(str(folder / name), pixels)
            lists[kind].append(f"{taken_s:.6f} {name}")
    for kind, lines in lists.items():
        head = f"# {'color' if kind == 'rgb' else kind} images\n# file: 'recording.bag'\n# timestamp filename\n"
        (folder / f"{kind}.txt").write_text(head + "\n".join(lines) + "\n")
    lines = []
    for k in range(-2, round(100 * (frames * FRAME_S + 0.1))):
        seconds = START_S + 0.01 * k
        T_wc = pose(seconds - truth_late_s)
        numbers = (*T_wc[:3, 3], *Rotation.from_matrix(T_wc[:3, :3]).as_quat())
        lines.append(f"{seconds:.4f} " + " ".join(f"{number:.6f}" for number in numbers))
    head = "# ground truth trajectory\n# file: 'recording.bag'\n# timestamp tx ty tz qx qy qz qw\n"
    (folder / "groundtruth.txt").write_text(head + "\n".join(lines) + "\n")
    return folder
