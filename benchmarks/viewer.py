"""How long a large place takes until a browser shows it: 1,000 cameras and a world of 900,000 triangles.

    python benchmarks/viewer.py WORK [--html]

Needs the extra `viewer`, and Chromium (on Debian: apt install chromium). The world is a wavy ground with a colour for
each vertex, the cameras hang over it. Measured is the time from opening the page's address in headless Chromium, whose
WebGL is computed by the processor, to the first screenshot that shows both the ground and the cameras; screenshots are
taken one after the other, and the last one is kept as WORK/page.png. `--html` opens the page that needs no server.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from chromium import Browser, RefusedError, browser
from stages import machine

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.viewpoints import rotation_from_angles
from transpose.worlds.world import save_world, vertex_colored_world

_SIDE, _CAMERAS = 672, 1000  # 671 x 671 squares: 900,482 triangles
_GROUND_RGB, _CAMERA_RGB = (214, 72, 156), (0, 114, 178)
_CLOSE = 40
_SEEN_GROUND, _SEEN_CAMERAS = 0.15, 0.002  # of the page
_LONGEST_SECONDS = 120.0


def write_place(folder: Path) -> None:
    """The world and the scene, unless they are there."""
    if (folder / "scene" / "train").is_dir():
        return
    x, y = np.meshgrid(np.linspace(-50, 50, _SIDE), np.linspace(-50, 50, _SIDE))
    vertices_v3 = np.stack([x, y, 2 * np.sin(x / 5) * np.cos(y / 7)], -1).reshape(-1, 3)
    i = np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE)
    a, b, c, d = (part.reshape(-1) for part in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    faces_f3 = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    shade_v1 = np.random.default_rng(0).uniform(0.9, 1.05, (len(vertices_v3), 1))
    rgb_v3 = (np.array(_GROUND_RGB) * shade_v1).clip(0, 255)
    save_world(vertex_colored_world("ground", vertices_v3, faces_f3, rgb_v3), folder / "world")
    writer = SectionWriter(folder / "scene", "train", {"of": "benchmarks/viewer.py"})
    grey_hw3, camera = np.full((48, 64, 3), 128, np.uint8), Camera.from_focal(60.0, 64, 48)
    for number in range(_CAMERAS):
        row, column = divmod(number, 40)
        place_3 = np.array([2.4 * (column - 20), 3.6 * (row - 12), 12.0])
        pose = Pose(compose(rotation_from_angles(0.5 * number, -70.0, 0.0), place_3))
        writer.add(f"{number:04d}", grey_hw3, pose, camera, FrameLabels())
    writer.finish({"source": "benchmarks/viewer.py"})


def is_complete(png: bytes) -> bool:
    """Whether a screenshot shows the ground and the cameras."""
    rgb_hw3 = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    ground, cameras = (
        (np.abs(rgb_hw3 - color).max(-1) < _CLOSE).mean() for color in (np.array(_GROUND_RGB), np.array(_CAMERA_RGB))
    )
    return bool(ground > _SEEN_GROUND and cameras > _SEEN_CAMERAS)


def measure(page: Browser, url: str, out: Path) -> float:
    """Seconds to the first complete screenshot."""
    started = time.monotonic()
    page.open(url)
    while (seconds := time.monotonic() - started) < _LONGEST_SECONDS:
        try:
            png = page.screenshot()
        except RefusedError:
            continue
        seconds = time.monotonic() - started
        out.write_bytes(png)
        if is_complete(png):
            return seconds
    raise TimeoutError(f"the page is not complete after {seconds:.0f} s; see {out}")


def main(folder: Path, html: bool) -> None:
    """Measures three times and prints a table."""
    write_place(folder)
    words = [sys.executable, "-m", "transpose", "view", str(folder / "world"), "--scene", str(folder / "scene")]
    ready = time.monotonic()
    if html:
        subprocess.run([*words, "--html", str(folder / "page.html")], check=True)
        url, server = (folder / "page.html").resolve().as_uri(), None
    else:
        server = subprocess.Popen([*words, "--no-open", "--port", "18200"], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
    print(f"{machine()}; ready after {time.monotonic() - ready:.1f} s")
    try:
        for attempt in range(3):
            with browser() as page:
                seconds = measure(page, url, folder / "page.png")
                print(f"| {attempt} | {seconds:.1f} s | console errors: {len(page.errors)} {page.errors} |", flush=True)
    finally:
        if server is not None:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--html" in sys.argv)
