"""Stages of the program as a user would type them, timed; what the benchmarks share."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def run(*words: object) -> float:
    """One command of the program; returns its wall-clock seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "transpose", *map(str, words)], check=True)
    return time.monotonic() - started


def tested(model: Path, scene: Path, section: str, out: Path, *words: object) -> dict[str, Any]:
    """`transpose test` and the table that it wrote."""
    run("test", model, scene, "--section", section, "--out", out, *words)
    return json.loads((out / "results.json").read_text())


def machine() -> str:
    """What the figures were measured on."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    wide = "with" if any("avx512f" in line for line in _lines("/proc/cpuinfo")) else "without"
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    return (
        f"{model}, {platform.machine()} {wide} AVX-512, {os.cpu_count()} cores, {threads} threads, "
        f"Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def cpu_seconds() -> float:
    """Of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
