"""Exported runs beside PyTorch: how exactly the graphs agree, and error, time and size of each precision.

    python benchmarks/export.py RUN SCENE/SECTION [--threads 2] [--images 30] [--foreign FOLDER]

Exports the run as float32, float16 and int8 into a temporary folder; localizes every image by PyTorch
(`transpose.load`, its usual precision and float32) and by `transpose.onnx`, in turn image by image, so that whatever
else the machine does is shared. Prints: largest differences of keypoints and of the world points of cells from
PyTorch's float32 over all images; then for each way the median error, how many images are within 5 cm and 5 degrees,
refusals, milliseconds an image (median; of cores, all threads together, which other
work disturbs less; and of the graph alone: encoder and keypoints), and megabytes on disk. int8
takes its ranges from images that the run learned from. With `--foreign`, how many photos of another place were given a
pose.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stages import machine

import transpose.onnx
from transpose import runs
from transpose.app.cli import main as transpose_main
from transpose.exporting.graph import LocalizerGraph
from transpose.exporting.onnx_folder import graph_of
from transpose.geometry.poses import Pose, pose_error
from transpose.localization import Query, load
from transpose.localization.localizer import Localizer
from transpose.models.keypoints import keypoints_of
from transpose.onnx import OnnxLocalizer
from transpose.scenes.files import read_image
from transpose.scenes.image_kinds import photos_in
from transpose.scenes.layout import Frame, open_section
from transpose.selection import evenly_chosen

PRECISIONS = ("float32", "float16", "int8")
_MOST = 4000


def main() -> None:
    """Measures and prints."""
    given = parsed()
    torch.set_num_threads(given.threads)
    every = open_section(given.section).frames
    frames = [every[i] for i in evenly_chosen(len(every), given.images)]
    print(machine(), f"{given.threads} threads in use, {len(frames)} images of {given.section}", sep="; ")
    with tempfile.TemporaryDirectory() as scratch:
        folders = {precision: Path(scratch) / precision for precision in PRECISIONS}
        for precision, folder in folders.items():
            words = ["export", str(given.run), "--to", "onnx", "--out", str(folder), "--precision", precision]
            assert transpose_main(words) == 0
        exported = {f"onnx {name}": transpose.onnx.load(folder, given.threads) for name, folder in folders.items()}
        sizes = {f"onnx {name}": folder_bytes(folder) for name, folder in folders.items()}
    torched = {f"PyTorch {name}": load(given.run, precision=name) for name in ("auto", "float32")}
    sizes |= dict.fromkeys(torched, (given.run / "model.pt").stat().st_size)
    differences(exported["onnx float32"], graph_of(runs.load_model(given.run), _MOST), frames)
    ways: dict[str, Callable[[np.ndarray, Frame], Pose | None]] = {}
    for name, each in torched.items():
        ways[name] = lambda image, frame, each=each: each.localize_query(Query(image, frame.camera)).pose
    for name, each in exported.items():
        ways[name] = lambda image, frame, each=each: each.localize(image, frame.camera).pose
    table(ways, sizes, {**torched, **exported}, frames)
    if given.foreign is not None:
        photos = [read_image(path) for path in photos_in(given.foreign)[0]]
        for name, each in {**torched, **exported}.items():
            placed = sum(each.localize(photo, focal_px=0.8 * photo.shape[1]).pose is not None for photo in photos)
            print(f"{name}: {placed} of {len(photos)} photos of {given.foreign} were given a pose")


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("section", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--foreign", type=Path)
    return parser.parse_args()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def differences(exported: OnnxLocalizer, graph: LocalizerGraph, frames: list[Frame]) -> None:
    """Prints how far the float32 graph is from what PyTorch computes in float32."""
    px, shared, cells, relative = [], [], [], []
    for frame in frames:
        image = frame.image()
        output = exported.run(image)
        with torch.inference_mode():
            maps = graph.encoder.maps(torch.from_numpy(image).permute(2, 0, 1)[None].float())
            wanted = graph.head(maps.features_bchw)[0, :3].permute(1, 2, 0).numpy()
            keypoints = keypoints_of(maps, image.shape[:2], _MOST) if graph.encoder.has_keypoints else None
        off = np.abs(output["cells_hwk"][..., :3] - wanted)
        cells.append(off.max())
        relative.append(np.quantile(off, 0.999))
        if keypoints is not None:
            # Keypoints that are as good as each other may change places, or one for another at the end of the list.
            theirs = keypoints.px_n2.numpy()
            distance = nearest_distances(theirs, output["keypoints_n2"])
            px.append(distance[distance < 1].max())
            shared.append((distance < 1).mean())
    print(f"cells: largest difference {max(cells):.1e} m, 99.9 % within {max(relative):.1e} m")
    if px:
        print(f"keypoints: largest difference {max(px):.1e} px, {100 * min(shared):.2f} % or more found by both")


def nearest_distances(a_n2: np.ndarray, b_m2: np.ndarray) -> np.ndarray:
    """From each point of a to the nearest of b."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(b_m2).query(a_n2)[0])


def table(
    ways: dict[str, Callable[[np.ndarray, Frame], Pose | None]],
    sizes: dict[str, int],
    localizers: dict[str, Any],
    frames: list[Frame],
) -> None:
    """Localizes by each way, image by image, and prints a line a way."""
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    of_cores: dict[str, list[float]] = {name: [] for name in ways}
    encoding: dict[str, list[float]] = {name: [] for name in ways}
    images = [frame.image() for frame in frames]
    for way in ways.values():
        way(images[0], frames[0])  # the first call of each also builds what later ones reuse
    for image, frame in zip(images, frames, strict=True):
        for name, way in ways.items():
            started, worked = time.perf_counter(), time.process_time()
            pose = way(image, frame)
            seconds[name].append(time.perf_counter() - started)
            of_cores[name].append(time.process_time() - worked)
            errors[name].append(pose_error(pose, frame.pose))
            started = time.perf_counter()
            encode(localizers[name], image, frame)
            encoding[name].append(time.perf_counter() - started)
    print("| way | median | within 5 cm, 5 deg | refused | ms an image | ms of cores | encoder, keypoints: ms | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in ways:
        degrees, metres = (statistics.median(each) for each in zip(*errors[name], strict=True))
        near = sum(d < 5 and m < 0.05 for d, m in errors[name])
        refused = sum(math.isinf(m) for _, m in errors[name])
        times = [1000 * statistics.median(each[name]) for each in (seconds, of_cores, encoding)]
        print(
            f"| {name} | {100 * metres:.2f} cm, {degrees:.2f} deg | {near} of {len(frames)} | {refused} "
            f"| {times[0]:.0f} | {times[1]:.0f} | {times[2]:.0f} | {sizes[name] / 1e6:.1f} |"
        )


def encode(localizer: Localizer | OnnxLocalizer, image: np.ndarray, frame: Frame) -> None:
    """Encoder and keypoints alone."""
    if isinstance(localizer, OnnxLocalizer):
        localizer.run(image, with_points=False)
        return
    encoded = localizer.encode(Query(image, frame.camera))  # type: ignore[attr-defined]
    encoded.content.keypoints  # noqa: B018


if __name__ == "__main__":
    main()
