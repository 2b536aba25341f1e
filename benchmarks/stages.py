"""Stages of the program as a user would type them, timed; what the benchmarks share."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transpose.evaluation.machine import processor_name
from transpose.parallel import available_cores
from transpose.scenes.layout import Section
from transpose.scenes.writer import SectionWriter


def run(*words: object) -> float:
    """One command of the program; returns its wall-clock seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "transpose", *map(str, words)], check=True)
    return time.monotonic() - started


def tested(model: Path, scene: Path, section: str, out: Path, *words: object) -> dict[str, Any]:
    """`transpose test` and the table that it wrote."""
    run("test", model, scene, "--section", section, "--out", out, *words)
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def frame_errors(results: Path) -> dict[str, tuple[float, float]]:
    """Of each frame of a test that `tested` wrote, by its file: metres and degrees; infinite where it was refused."""
    lines = next(results.glob("poses_*.txt")).read_text(encoding="utf-8").splitlines()
    return {words[0]: (float(words[9]), float(words[8])) for words in map(str.split, lines)}


def linked_section(section: Section, frames: Sequence[int], scene: Path, name: str) -> str:
    """Some frames of a section as a section of another scene, whose files are links; returns its name."""
    facts = section.facts
    writer = SectionWriter(scene, name, {"of": str(section.path), "frames": list(frames)}, facts.depth != "npz_m")
    for i in frames:
        writer.link(section.frames[i].stem, section.frames[i].paths)
    known = {"rendered": facts.rendered, "semantics": facts.semantics, "metric": facts.metric, "licence": facts.licence}
    writer.finish({"source": facts.source}, **known)
    return name


def machine() -> str:
    """What the figures were measured on."""
    wide = "with" if any("avx512f" in line for line in _lines("/proc/cpuinfo")) else "without"
    cores = available_cores()
    threads = os.environ.get("OMP_NUM_THREADS", cores)
    return (
        f"{processor_name()}, {platform.machine()} {wide} AVX-512, {cores} cores, {threads} threads, "
        f"Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def cpu_seconds() -> float:
    """Of all finished child processes."""
    usage = os.times()
    return usage.children_user + usage.children_system


def peak_bytes() -> float:
    """The most memory that this process held at once; NaN where the system does not say (Windows)."""
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return math.nan
