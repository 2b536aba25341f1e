"""How long a training takes on a machine that is busy with something else, before and after threads wait quietly.

    python benchmarks/loaded.py --out results/loaded [--source ../shared/data/kitchen] [--steps 1000] [--rounds 1]
        [--settings before after "spin300:GOMP_SPINCOUNT=300" ...]

`transpose train` on kitchen's photos (on views of the demo's village where that data is not at hand) runs alone, beside
two busy loops, and twice side by side. `before` has OpenMP's own spinning and as many BLAS threads as cores; `after` is
what the command line sets by itself; other settings are `name:VARIABLE=value,...`. Nothing else may run meanwhile.
Writes loaded.json and prints the table: wall-clock seconds (median of the rounds), times as long as alone, processor
seconds of one training.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from stages import machine, run

from transpose.parallel import available_cores

SITUATIONS = {"alone": (1, 0), "beside two busy loops": (1, 2), "two side by side": (2, 0)}  # trainings, loops
# What GNU's OpenMP does where nothing is set (libgomp, config/linux: 300,000 spins, some milliseconds).
BEFORE = {"GOMP_SPINCOUNT": "300000", "OPENBLAS_NUM_THREADS": str(available_cores())}
_OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def setting(words: str) -> tuple[str, dict[str, str]]:
    """Name and environment of `before`, `after` or `name:VARIABLE=value,...`."""
    name, _, rest = words.partition(":")
    pairs = dict(pair.split("=", 1) for pair in rest.split(",") if pair)
    return name, BEFORE if words == "before" else pairs


def scene_of(out: Path, source: Path | None, views: int) -> tuple[Path, str]:
    """The scene and the section to train on."""
    scene = out / "scene"
    if source is not None and source.is_dir():
        if not (scene / "train").exists():
            run("setup", "7scenes", "--source", source, "--poses", source / "pgt_sfm.txt", "--out", scene)
        return scene, "train"
    if not (scene / "village").exists():
        run("build", "village", "--out", out / "world")
        run("render", out / "world", "--out", scene / "village", "--views", views)
    return scene, "village"


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def trained(words: list[str], environment: dict[str, str], count: int) -> list[tuple[float, float]]:
    """Wall-clock and processor seconds of each of `count` trainings that run at once."""
    clean = {name: value for name, value in os.environ.items() if name not in _OURS}
    started = time.monotonic()
    logs: dict[int, Path] = {}
    for each in range(count):
        run_folder = f"{words[0]}-run-{each}"
        log = Path(f"{run_folder}.log")
        command = [sys.executable, "-m", "transpose", "train", *words, "--out", run_folder, "--overwrite"]
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(command, env={**clean, **environment}, stdout=file, stderr=file)
        logs[process.pid] = log
    spent = []
    while logs:
        pid, status, usage = os.wait3(0)
        if pid in logs:
            spent.append((time.monotonic() - started, usage.ru_utime + usage.ru_stime))
            if status:
                raise RuntimeError(logs[pid].read_text(encoding="utf-8"))
            del logs[pid]
    return spent


def table(records: list[dict]) -> str:
    """Markdown: a line for each setting."""
    lines = [f"| setting | {' | '.join(SITUATIONS)} | alone, against the first |", "|---" * (len(SITUATIONS) + 2) + "|"]
    first = None
    for name in dict.fromkeys(record["setting"] for record in records):
        cells, alone = [], None
        for situation in SITUATIONS:
            some = [r for r in records if r["setting"] == name and r["situation"] == situation]
            if not some:
                cells.append("")
                continue
            wall, cpu = median(r["seconds"] for r in some), median(r["cpu_seconds"] for r in some)
            alone = alone or wall
            cells.append(f"{wall:.1f} s, {wall / alone:.2f} x, {cpu:.0f} s CPU")
        first = first or alone
        lines.append(f"| {name} | {' | '.join(cells)} | {alone / first:.2f} x |")
    return "\n".join(lines)


def main() -> None:
    """Measures every setting in every situation, in turns, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", type=Path, default=Path("../shared/data/kitchen"))
    parser.add_argument("--settings", nargs="+", default=["before", "after"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--views", type=int, default=175, help="of the village, where --source is not at hand")
    args = parser.parse_args()
    scene, section = scene_of(args.out, args.source, args.views)
    words = [str(scene), "--sections", section, "--steps", str(args.steps)]
    records = []
    for round_ in range(args.rounds):
        for situation, (count, loops) in SITUATIONS.items():
            for name, environment in map(setting, args.settings):
                with busy(loops):
                    for seconds, cpu_seconds in trained(words, environment, count):
                        records.append(
                            {
                                "setting": name,
                                "situation": situation,
                                "round": round_,
                                "seconds": seconds,
                                "cpu_seconds": cpu_seconds,
                            }
                        )
                print(records[-1], file=sys.stderr, flush=True)
                content = {"machine": machine(), "steps": args.steps, "records": records}
                (args.out / "loaded.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"{machine()}\n\n{table(records)}")


if __name__ == "__main__":
    main()
