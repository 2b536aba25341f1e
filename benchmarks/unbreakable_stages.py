"""The stages that `unbreakable.py` disturbs: each a command of a second or a few, on a place made here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

_VIEWS = 12
# So that a training of a second is saved several times; a usual one is saved every half minute.
_SAVE_SECONDS = 0.1


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        name: in the table.
        words: the command line, of the folder of inputs and the one to write in.
        resume: what is added to go on.
        settings: of the preset, which have no flag: smaller networks.
    """

    name: str
    words: Callable[[Path, Path], list[str]]
    resume: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    # What is to be done in this process when the command has ended.
    afterwards: ClassVar[list[Callable[[], object]]] = []


def command(words: list[str], stage: Stage) -> int:
    """Runs a command of the program in this process."""
    from transpose.app.cli import main
    from transpose.app.commands.train import Train
    from transpose.training import clock

    clock._SAVE_SECONDS = _SAVE_SECONDS
    if stage.settings:
        given = Train._settings
        Train._settings = lambda train: {**given(train), **stage.settings}  # type: ignore[method-assign]
    code = main(words)
    for work in Stage.afterwards:
        work()
    return code


def _train(preset: str, *flags: str, **settings: Any) -> Stage:
    def words(inputs: Path, area: Path) -> list[str]:
        return [
            *("train", str(inputs / "scene"), "--sections", "sim", "--out", str(area / "run"), "--preset", preset),
            *("--threads", "1", "--precision", "float32", *flags),
        ]

    return Stage(preset, words, ("--resume",), settings)


def _render(inputs: Path, area: Path) -> list[str]:
    return ["render", str(inputs / "world"), "--out", str(area / "scene" / "sim"), *_VIEWPOINTS]


def _train_e2e(inputs: Path, area: Path) -> list[str]:
    words = ["train-e2e", str(inputs / "scene"), str(inputs / "run"), str(area / "run")]
    return [*words, "--sections", "sim", "--steps", "4", "--batch", "2", "--passes", "1"]


def _test(inputs: Path, area: Path) -> list[str]:
    return ["test", str(inputs / "run"), str(inputs / "scene"), "--section", "sim", "--out", str(area / "results")]


def _benchmark(inputs: Path, area: Path) -> list[str]:
    words = ["benchmark", str(inputs / "scene"), "--train", "sim", "--section", "photos"]
    words += ["--out", str(area / "compared"), "--methods", "retrieval", "matching"]
    return [*words, "--seeds", "0", "--threads", "1"]


def _translate(inputs: Path, area: Path) -> list[str]:
    words = ["translate", str(inputs / "scene"), "--a", "sim", "--b", "photos", "--out", str(area / "run")]
    return [*words, "--size", "small", "--steps", "4", "--crop", "32", "--threads", "1", "--precision", "float32"]


def _setup(inputs: Path, area: Path) -> list[str]:
    return ["setup", "colmap", "--source", str(inputs / "project"), "--out", str(area / "scene"), "--metric"]


def _build(inputs: Path, area: Path) -> list[str]:
    return ["build", "mesh", str(inputs / "place.obj"), "--out", str(area / "world")]


_VIEWPOINTS = ["--views", str(_VIEWS), "--size", "128", "96", "--focal", "90", "--above", "2", "3", "--pitch", "-90"]
_VIEWPOINTS += ["-70", "--roll", "-5", "5", "--margin", "0.2", "--processes", "2"]
_ALL = [
    Stage("setup", _setup),
    Stage("build", _build),
    Stage("render", _render),
    _train("fast", "--steps", "60", "--batch", "64", "--map-points", "64", "--passes", "1"),
    _train("mlr", "--steps", "40", "--batch", "64", "--map-points", "0", "--passes", "1"),
    _train("ace", "--steps", "40", "--batch", "64", "--buffer-megabytes", "2", width=32),
    _train("dsacstar", "--steps", "6", "--height", "48", tiny=True),
    _train("crossloc", "--steps", "2", "--height", "48", "--batch", "1"),
    _train("atloc", "--steps", "4", "--height", "64", "--batch", "2"),
    _train("matching"),
    _train("retrieval"),
    Stage("train-e2e", _train_e2e, ("--resume",)),
    Stage("test", _test),
    Stage("translate", _translate, ("--resume",)),
    Stage("benchmark", _benchmark),
]
STAGES = {stage.name: stage for stage in _ALL}


def make_inputs(folder: Path) -> None:
    """A place, renders and photos of it, a project of COLMAP and a trained run; what is there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "place.obj").exists():
        _write_place(folder / "place.obj")
    renders = ["render", folder / "world", *_VIEWPOINTS, "--out"]
    training = ["--steps", "60", "--batch", "64", "--map-points", "64", "--passes", "1", "--threads", "1"]
    steps: dict[str, list[object]] = {
        "world": ["build", "mesh", folder / "place.obj", "--out", folder / "world"],
        "scene/sim": [*renders, folder / "scene" / "sim"],
        "scene/photos": [*renders, folder / "scene" / "photos", "--appearance", "photo", "--seed", "1"],
        "run": ["train", folder / "scene", "--sections", "sim", "--out", folder / "run", *training],
    }
    for name, words in steps.items():
        if not (folder / name).exists():
            subprocess.run([sys.executable, "-m", "transpose", *map(str, words)], check=True)
    if not (folder / "project").exists():
        _write_project(folder / "project", folder / "scene" / "sim")


def _write_place(path: Path) -> None:
    """Hills of coloured squares, 8 x 8 m, as an OBJ with colours of vertices."""
    rng = np.random.default_rng(0)
    n = 41
    x, y = np.meshgrid(np.linspace(-4, 4, n), np.linspace(-4, 4, n))
    z = rng.uniform(0, 0.4, x.shape)
    rgb_v3 = rng.uniform(0, 1, (n * n, 3))
    lines = [
        f"v {' '.join(f'{value:.4f}' for value in (*vertex, *rgb))}"
        for vertex, rgb in zip(np.stack([x, y, z], -1).reshape(-1, 3), rgb_v3, strict=True)
    ]
    i = 1 + np.arange(n * n).reshape(n, n)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], -1).reshape(-1, 4)
    lines += ["f " + " ".join(map(str, face)) for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_project(folder: Path, section: Path) -> None:
    """Frames of a section as the text model of COLMAP, without points."""
    from transpose.geometry.poses import quaternion_wxyz
    from transpose.scenes.layout import open_section

    opened = open_section(section)
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "images").symlink_to((section / "rgb").resolve())
    cameras, images = [], []
    for i, frame in enumerate(opened.frames, start=1):
        camera, T_cw = frame.camera, frame.pose.T_cw
        intrinsics = f"{camera.fx} {camera.fy} {camera.cx} {camera.cy}"
        cameras.append(f"{i} PINHOLE {camera.width} {camera.height} {intrinsics}\n")
        values = [*quaternion_wxyz(T_cw[:3, :3]), *T_cw[:3, 3]]
        images.append(f"{i} {' '.join(map(repr, map(float, values)))} {i} {frame.paths['rgb'].name}\n\n")
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", [])):
        (folder / "sparse" / "0" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
