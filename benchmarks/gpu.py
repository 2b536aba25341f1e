"""Everything that a GPU has to show, in one run of some ten minutes.

    python benchmarks/gpu.py SCENE --sections train --section test --out DIR [--work DIR] [--device cuda]
        [--only solvers fast ...] [--steps fast=3500 ace=2000 ...] [--seconds 540]

SCENE is a scene folder, such as kitchen's after `transpose setup 7scenes`. The parts: the solvers with tensors on the
device beside the CPU's results (gpu_solvers.py); `train --preset fast`, `test` and `localize`; the tests that ask for a
GPU; a training that is cut off and resumed; `torchrun` with NCCL; `train-e2e`; and the other presets with fewer steps.
Each part is a process with a limit of its own; one that fails or takes too long is recorded, and the next one starts,
until --seconds are spent. After every part `gpu.json` and `gpu.md` are written to --out; runs go to --work.
`--device cpu` with small numbers tries the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from gpu_tables import markdown

HERE = Path(__file__).parent
TRANSPOSE = (sys.executable, "-m", "transpose")
STEPS = {"fast": 3500, "ace": 2000, "dsacstar": 1000, "crossloc": 100, "resume": 2000, "torchrun": 300, "e2e": 20}
Record = dict[str, Any]


class PartFailedError(Exception):
    """A command of a part failed or took too long."""


@dataclass
class Bench:
    """What the parts are told.

    Attributes:
        scene, sections, section: where to train and to test.
        work: for runs.
        device: of everything.
        steps: by part.
        rows: extra words of every training.
        points, batches, repeats: of the solvers.
        until: `time.monotonic()` after which nothing goes on.
    """

    scene: Path
    sections: list[str]
    section: str
    work: Path
    device: str
    steps: dict[str, int]
    rows: list[str]
    points: int
    batches: list[int]
    repeats: int
    until: float = field(default=0.0)

    def call(
        self, words: list[object], limit_s: float, environment: dict[str, str] | None = None
    ) -> tuple[str, str, float]:
        """Output, messages and seconds of a command, or `PartFailedError`."""
        limit_s = min(limit_s, max(1.0, self.until - time.monotonic()))
        started = time.monotonic()
        command = [str(word) for word in words]
        environment = {**os.environ, **(environment or {})}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        try:
            out, said = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what torchrun and the like have started
            _, said = process.communicate()
            raise PartFailedError(f"took more than {limit_s:.0f} s: {' '.join(command)}\n{said[-1500:]}") from None
        if process.returncode:
            why = f"exit {process.returncode}: {' '.join(command)}\n{said[-3000:]}\n{out[-1500:]}"
            raise PartFailedError(why)
        return out, said, time.monotonic() - started

    def training(self, name: str, preset: str, *words: object) -> list[object]:
        """The command that trains a preset into the run `name`."""
        where = ("--sections", *self.sections, "--out", self.work / name, "--device", self.device)
        return [*TRANSPOSE, "train", self.scene, *where, "--preset", preset, *self.rows, *words]


def phases(run: Path, wall_s: float) -> Record:
    """Seconds of a training by phase, from its log: before the first step, a step, and after the last one."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    first, last = entries[0], entries[-1]
    steps = last["step"] - first["step"]
    step_s = (last["seconds"] - first["seconds"]) / steps if steps else None
    # What came before the loop is what the first report's time has beyond its steps.
    before_s = first["seconds"] - first["step"] * step_s if step_s is not None else None
    after_s = wall_s - last["seconds"]  # imports and gathering of frames are in it, and the calibration
    errors = {name: last[name] for name in ("loss", "val_median_m", "val_sure_median_m") if name in last}
    return {
        "wall_s": wall_s, "before_steps_s": before_s, "step_ms": None if step_s is None else 1000 * step_s,
        "imports_and_after_s": after_s, "steps": last["step"], **errors,
    }  # fmt: skip


def preset(name: str, limit_s: float) -> Callable[[Bench], Record]:
    """Trains a preset, tests it, and localizes some photos one by one."""

    def part(bench: Bench) -> Record:
        words = bench.training(name, name, "--steps", bench.steps[name], "--overwrite")
        record = phases(bench.work / name, bench.call(words, limit_s)[2])
        out = bench.work / f"{name}-results"
        where = ("--section", bench.section, "--out", out, "--device", bench.device)
        *_, record["test_wall_s"] = bench.call([*TRANSPOSE, "test", bench.work / name, bench.scene, *where], 120)
        table = json.loads((out / "results.json").read_text(encoding="utf-8"))
        shown = ("frames", "failed", "median_m", "median_deg", "seconds_per_frame", "model_bytes")
        record |= {key: table[key] for key in shown} | {"5cm5deg": table["recall"]["5cm5deg"]}
        images = sorted((bench.scene / bench.section / "rgb").iterdir())[:20]
        for device in dict.fromkeys((bench.device, "cpu")):
            said, _, _ = bench.call([*TRANSPOSE, "localize", bench.work / name, *images, "--device", device], 120)
            seconds = [json.loads(line)["seconds"] for line in said.splitlines()]
            record[f"localize_{device}_ms"] = 1000 * median(seconds[1:])
            record[f"localize_{device}_first_ms"] = 1000 * seconds[0]
        return record

    return part


def solvers(bench: Bench) -> Record:
    """See gpu_solvers.py."""
    words = ("--points", bench.points, "--batches", *bench.batches, "--repeats", bench.repeats)
    said, _, _ = bench.call([sys.executable, HERE / "gpu_solvers.py", "--device", bench.device, *words], 150)
    rows = json.loads(said.splitlines()[-1])
    return {"rows": rows, "failed": [row["solver"] for row in rows if "error" in row]}


def tests(bench: Bench) -> Record:
    """The tests that are parametrized by device."""
    said, _, seconds = bench.call([sys.executable, "-m", "pytest", "-o", "addopts=", "-x", "-k", "cuda", "tests"], 120)
    return {"summary": said.strip().splitlines()[-1], "wall_s": seconds}


def resume(bench: Bench) -> Record:
    """A training that SIGTERM ends between two reports, and that --resume brings to its end."""
    run = bench.work / "cut"
    words = [str(word) for word in bench.training("cut", "fast", "--steps", bench.steps["resume"])]
    process = subprocess.Popen([*words, "--overwrite"], stderr=subprocess.PIPE, text=True)
    until = min(time.monotonic() + 120, bench.until)
    while process.poll() is None and not (run / "log.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise PartFailedError("SIGTERM did not end the training within 30 s") from None
    reports = len((run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    if not (run / "state.pt").exists():
        raise PartFailedError(f"nothing was saved when it was cut off:\n{said[-2000:]}")
    *_, seconds = bench.call([*words, "--resume"], 180)
    reached = phases(run, seconds)
    kept = {key: reached[key] for key in ("steps", "loss", "val_median_m")}
    return {"exit_when_cut": process.returncode, "reports_before": reports, "resumed_wall_s": seconds, **kept}


def torchrun(bench: Bench) -> Record:
    """One process under torchrun; on CUDA NCCL itself must have spoken."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 1]
    words = bench.training("ranks", "fast", "--steps", bench.steps["torchrun"], "--overwrite")[1:]
    said = bench.call([*launcher, *words], 150, {"NCCL_DEBUG": "INFO"})
    record = phases(bench.work / "ranks", said[2]) | {"nccl_spoke_in_train": "NCCL" in said[0] + said[1]}
    if bench.device.startswith("cuda"):
        said = bench.call([*launcher, HERE / "gpu_nccl.py"], 60, {"NCCL_DEBUG": "INFO"})
        record["nccl_alone"] = said[0].strip().splitlines()[-1]
    return record


def end_to_end(bench: Bench) -> Record:
    """Some steps of the second stage on the run of `fast`."""
    record: Record = {}
    for through in ("bpnp", "dsac", "epro"):
        out = bench.work / f"e2e-{through}"
        where = ("--sections", *bench.sections, "--device", bench.device, "--overwrite")
        words = ("--through", through, "--steps", bench.steps["e2e"], "--passes", 1)
        command = [*TRANSPOSE, "train-e2e", bench.scene, bench.work / "fast", out, *where, *words]
        *_, seconds = bench.call(command, 90)
        record[through] = phases(out, seconds)
    return record


PARTS: dict[str, Callable[[Bench], Record]] = {
    "fast": preset("fast", 240),
    "solvers": solvers,
    "torchrun": torchrun,
    "resume": resume,
    "e2e": end_to_end,
    "ace": preset("ace", 150),
    "dsacstar": preset("dsacstar", 150),
    "crossloc": preset("crossloc", 150),
    "tests": tests,
}


def machine(device: str) -> Record:
    """Card, driver and versions, asked in a process of its own so that this one holds no memory of the card."""
    code = (
        "import json, os, platform, sys, torch\n"
        "from transpose.parallel import available_cores\n"
        "facts = {'python': platform.python_version(), 'torch': torch.__version__, 'cuda': torch.version.cuda,"
        " 'cores': available_cores(), 'threads': torch.get_num_threads()}\n"
        "device = torch.device(sys.argv[1])\n"
        "facts['card'] = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'no GPU'\n"
        "print(json.dumps(facts))"
    )
    done = subprocess.run([sys.executable, "-c", code, device], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"card": "unknown", "error": done.stderr[-1500:]}


def written(out: Path, facts: Record, results: dict[str, Record]) -> None:
    """Both files anew."""
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"machine": facts, "results": results}, indent=2) + "\n"
    (out / "gpu.json").write_text(content, encoding="utf-8")
    (out / "gpu.md").write_text(markdown(facts, results), encoding="utf-8")


def main() -> None:
    """Runs the parts and writes what came out after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--sections", nargs="+", default=["train"])
    parser.add_argument("--section", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="for runs; --out/work without it")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--steps", nargs="+", default=[], help="part=number ...")
    parser.add_argument(
        "--rows", nargs="+", default=[], help="more words of every training, such as --rows=--height=96"
    )
    parser.add_argument("--points", type=int, default=4800)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=540)
    args = parser.parse_args()
    steps = STEPS | {name: int(number) for name, number in (each.split("=") for each in args.steps)}
    work = args.work or args.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + args.seconds
    bench = Bench(
        args.scene, args.sections, args.section, work, args.device, steps, args.rows,
        args.points, args.batches, args.repeats, until,
    )  # fmt: skip
    facts, results = machine(args.device), {}
    for name in (name for name in PARTS if name in args.only):
        started = time.monotonic()
        try:
            results[name] = PARTS[name](bench) if started < until else {"error": "no time was left"}
        except Exception as error:  # the next part may work
            results[name] = {"error": f"{type(error).__name__}: {error}"}
        results[name]["part_s"] = time.monotonic() - started
        print(f"{name}: {results[name].get('error', 'done')}", file=sys.stderr, flush=True)
        written(args.out, facts, results)
    print(markdown(facts, results))


if __name__ == "__main__":
    main()
