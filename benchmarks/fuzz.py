"""Every reader against broken and hostile files: one clear line, whatever a file holds.

    python benchmarks/fuzz.py --out results/fuzz [--readers NAME ...] [--cases 20000] [--seed 0] [--megabytes 512]
        [--seconds S]

Each reader gets whole files of a few hundred bytes, of which some hundred kinds of mutations make broken ones
(`fuzzing/mutations.py`; no other program is needed). It runs in a process of its own, which may take `--megabytes` more
than it has at the start, and is ended where a case takes over ten seconds of processor time; the next case goes on in a
new one. What counts as a find is said in `fuzzing/sandbox.py`. `--seconds` ends each reader early, and the table says
how far it came. A case depends on the seed and its number alone:
`--readers NAME --case N` runs one again, with its traceback, and leaves its files in `--out`.
Writes `fuzz.json` and prints the table.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import cv2
import torch
from fuzzing import sandbox
from fuzzing.readers import READERS
from stages import machine

from transpose.storage import write_json

LONGEST_S = 10.0  # of processor time, so that other work on the machine does not count
_ASLEEP_S = 120.0  # by the clock: it waits for something that never comes
_PART = 500  # cases whose results are written at once


def main() -> None:
    """Runs readers one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readers", nargs="+", default=list(READERS), choices=list(READERS))
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each reader, by the clock")
    parser.add_argument("--case", type=int, help="one case again, with its traceback")
    args = parser.parse_args()
    if args.case is not None:
        one_case(args.readers[0], args.case, args.seed, args.megabytes, args.out)
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        results = {name: fuzzed(name, args) for name in args.readers}
        write_json(args.out / "fuzz.json", {"machine": machine(), "seed": args.seed, "readers": results})
        print(table(results), flush=True)


def fuzzed(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """All cases of a reader, in as many processes as it takes."""
    total: dict[str, Any] = {"cases": 0, "accepted": 0, "refused": 0, "slowest_s": 0.0, "finds": {}, "counted": {}}
    started, first = time.monotonic(), 0
    said = {"cases": math.ceil(args.cases * READERS[name].share), "until": started + args.seconds}
    args = argparse.Namespace(**{**vars(args), **said})
    while first < args.cases:
        first = _process(name, args, first, total)
    total["seconds"] = time.monotonic() - started
    print(f"{name}: {table({name: total}).splitlines()[-1]}", file=sys.stderr, flush=True)
    for what, case in total["finds"].items():
        print(f"   {total['counted'][what]} x, first case {case}: {what}", file=sys.stderr, flush=True)
    return total


def _process(name: str, args: argparse.Namespace, first: int, total: dict[str, Any]) -> int:
    """A process that reads cases from one on; returns the number of the case to go on with."""
    with tempfile.TemporaryDirectory(prefix="transpose-fuzz-", dir=_memory()) as folder:
        place = Path(folder)
        child = os.fork()
        if child == 0:
            _work_alone(name, range(first, args.cases), args, place)
        done, ended = _watched(child, place, first, total)
        if ended == 0:
            return args.cases
        at = _status(place)
        if at is None:
            raise SystemExit(f"{name} does not read its own whole files; see its log in {args.out}")
        case = max(first, at[0])
        # What the process had counted since it last told is lost; it is read again, up to the case that ended it.
        if case > done:
            again = argparse.Namespace(**{**vars(args), "cases": case})
            _process(name, again, done, total)
        what = f"hangs for over {LONGEST_S:g} s" if ended is None else f"ends the process ({ended})"
        total["cases"] += 1
        total["finds"].setdefault(what, case)
        total["counted"][what] = total["counted"].get(what, 0) + 1
        return case + 1


def _work_alone(name: str, cases: range, args: argparse.Namespace, place: Path) -> NoReturn:
    """In a child process: what it prints goes into the reader's log."""
    try:
        with (args.out / f"{name.split()[0]}.log").open("ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        work(name, cases, args.seed, args.megabytes, place, args.until)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _watched(child: int, place: Path, first: int, total: dict[str, Any]) -> tuple[int, int | None]:
    """Adds what a process tells to the total until it ends; how far it told, and its exit status, None: it hung."""
    done, part = first, 0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        while (told := place / f"part-{part}.json").exists():
            content = json.loads(told.read_text(encoding="utf-8"))
            _add(total, content)
            done, part = content["next"], part + 1
        if ended:
            return done, os.waitstatus_to_exitcode(status)
        at = _status(place)
        if at is not None and (_processor_s(child) - at[1] > LONGEST_S or time.monotonic() - at[2] > _ASLEEP_S):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return done, None
        time.sleep(0.05)


def _processor_s(child: int) -> float:
    """What a process has computed so far."""
    words = Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _add(total: dict[str, Any], content: dict[str, Any]) -> None:
    for key in ("cases", "accepted", "refused"):
        total[key] += content[key]
    total["slowest_s"] = max(total["slowest_s"], content["slowest_s"])
    for what, case in content["finds"].items():
        total["finds"].setdefault(what, case)
    total["counted"] = dict(Counter(total["counted"]) + Counter(content["counted"]))


def _status(place: Path) -> tuple[int, float, float] | None:
    """The case at which a process is, and since when, by its processor time and by the clock."""
    try:
        case, computed, since = (place / "status").read_text(encoding="ascii").split()
        return int(case), float(computed), float(since)
    except (FileNotFoundError, ValueError):
        return None


def _memory() -> str | None:
    """Where files are cheap."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def work(name: str, cases: range, seed: int, megabytes: int, place: Path, until: float) -> None:
    """The process of a reader: cases in parts, told in files, until a time of the monotonic clock."""
    (reader, seeds), watch = _ready(name, place), sandbox.Watch()
    sandbox.limit_memory(megabytes)
    status = os.open(place / "status", os.O_CREAT | os.O_WRONLY, 0o600)

    def begin(case: int) -> None:
        os.pwrite(status, f"{case:9d} {time.process_time():15.3f} {time.monotonic():15.3f}".encode(), 0)

    for part, first in enumerate(range(cases.start, cases.stop, _PART)):
        if time.monotonic() > until:
            break
        here = range(first, min(first + _PART, cases.stop))
        tally = sandbox.run_cases(reader, seeds, place, here, seed, watch, begin)
        told = {**vars(tally), "cases": len(here), "next": here.stop, "counted": dict(tally.counted)}
        write_json(place / f"part-{part}.json", told)
    begin(cases.stop)


def _ready(name: str, place: Path) -> tuple[sandbox.Reader, list[sandbox.Files]]:
    """A reader that has read its whole files once, so that all it imports is there; and those files."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    reader = READERS[name]
    seeds = reader.seeds(place / "seeds")
    for files in seeds:
        folder = place / "project" / "case"
        sandbox.write_case(folder, files)
        reader.read(folder)
    return reader, seeds


def one_case(name: str, case: int, seed: int, megabytes: int, out: Path) -> None:
    """One case again."""
    reader, seeds = _ready(name, out)
    folder = out / "project" / "case"
    sandbox.write_case(folder, sandbox.broken_files(sandbox.case_stream(seed, reader, case), reader, seeds))
    sandbox.limit_memory(megabytes)
    print(f"{folder}: {', '.join(sorted(p.name for p in folder.rglob('*') if p.is_file()))}", flush=True)
    print("accepted:", reader.read(folder))


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = ["| reader | cases | accepted | refused | finds | slowest (s) |", "|---|---|---|---|---|---|"]
    for name, each in results.items():
        counts = f"{each['cases']} | {each['accepted']} | {each['refused']} | {sum(each['counted'].values())}"
        lines.append(f"| {name} | {counts} | {each['slowest_s']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
