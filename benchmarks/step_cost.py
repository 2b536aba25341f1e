"""What a training step of every preset costs: seconds by part, and the peak of memory.

    python benchmarks/step_cost.py SCENE SECTION [--rows fast ace dsacstar crossloc:batch=2 ...] [--steps 5]

Each row is a preset with settings (`name:key=value,...`) and runs in a process of its own, so that the peak of one does
not hide another's. The images keep the size of the section's; whole networks see 480 rows, as is their default.
Parts: data (augmented views or rows of the buffer), forward, loss, backward, optimizer (and, with `fast:replay=true`
and the like, the priorities), as medians over the steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, peak_bytes

ROWS = ("fast", "ace", "dsacstar", "dsacstar:tiny=true", "crossloc:batch=1", "crossloc:batch=4", "crossloc")
PARTS = ("data", "forward", "loss", "backward", "optimizer")


def settings_of(row: str) -> tuple[str, dict[str, Any]]:
    """Preset and settings of `name:key=value,...`."""
    preset, _, rest = row.partition(":")
    pairs = (pair.split("=") for pair in rest.split(",") if pair)
    return preset, {key: json.loads(value) for key, value in pairs}


def measure(scene: Path, section: str, row: str, steps: int) -> dict[str, Any]:
    """Runs some steps of one preset in this process."""
    import torch

    from transpose.models.precision import autocast, fast_dtype
    from transpose.training.context import Callbacks, TrainingContext
    from transpose.training.presets import configured, preset_of
    from transpose.training.ranks import ALONE
    from transpose.training.sections import gather_frames

    preset, settings = settings_of(row)
    config = configured(preset, {"steps": steps, **settings})
    training, validation = gather_frames(scene, [section], None, config.needs)
    device = torch.device("cpu")
    origin_3 = np.mean([each.frame.pose.center for each in training], axis=0)
    dtype = fast_dtype(device, config.precision)
    started = time.perf_counter()
    context = TrainingContext(training, validation, origin_3, device, dtype, ALONE, Callbacks())
    plan = preset_of(preset).plan(config, context)
    before = time.perf_counter() - started
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    plan.module.train()
    for step in range(steps):
        marks = [time.perf_counter()]
        inputs, cells = plan.source.batch(step, 0, 1)
        marks.append(time.perf_counter())
        with autocast(device, dtype):
            raw_nk = plan.module(inputs)
        marks.append(time.perf_counter())
        loss_n, _ = plan.objective(raw_nk.float(), cells, step)
        loss = loss_n.mean() if plan.replay is None else plan.replay.weighted(loss_n, step, 0, 1)
        marks.append(time.perf_counter())
        plan.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(time.perf_counter())
        plan.optimizer.step()
        if plan.replay is not None:
            plan.replay.renew(step)
        marks.append(time.perf_counter())
        for part, spent in zip(PARTS, np.diff(marks), strict=True):
            seconds[part].append(float(spent))
    medians = {part: float(np.median(values[1:])) for part, values in seconds.items()}
    return {"row": row, "batch": config.batch, "before": before, "parts": medians, "peak_bytes": peak_bytes()}


def main() -> None:
    """Measures all rows and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("section")
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="one row in this process, printed as JSON")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.scene, args.section, args.rows[0], args.steps)))
        return
    print(f"{machine()}\n\n| preset | batch | a step | {' | '.join(PARTS)} | before the first step | peak memory |")
    print("|---" * (len(PARTS) + 5) + "|")
    for row in args.rows:
        words = [sys.executable, __file__, args.scene, args.section, "--rows", row, "--steps", args.steps, "--here"]
        done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"| {row} | failed |")
            continue
        cost = json.loads(done.stdout.splitlines()[-1])
        parts = " | ".join(_duration(cost["parts"][part]) for part in PARTS)
        total = _duration(sum(cost["parts"].values()))
        print(
            f"| {row} | {cost['batch']} | {total} | {parts} | {cost['before']:.0f} s "
            f"| {cost['peak_bytes'] / 2**30:.1f} GB |",
            flush=True,
        )


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


if __name__ == "__main__":
    main()
