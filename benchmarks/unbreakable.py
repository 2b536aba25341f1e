"""What is left of a stage that is killed, runs out of disk, loses its right to write, or is started twice.

    python benchmarks/unbreakable.py --out results/unbreakable [--stages render fast ...] [--kills 50] [--others 10]
        [--seed 0]

Each stage works on a small procedural place. It runs undisturbed, twice; then again and again, each time

    killed     with SIGKILL at a random moment: a third by the clock, a third by the clock with all processes that it
               started, a third just before a random one of its changes on the disk;
    full       on a disk that is too small by a random amount (needs the right to mount; Linux);
    read-only  with its folders made read-only before a random change on the disk;
    twice      beside a second one of the same command, which starts at a random moment.

After the first three the same command, `--resume` added where it trains, has to end with the same bytes as undisturbed
(times, and logs of them, apart) and to leave nothing else; what a full disk or a read-only folder says has to be one
line; no file may be cut off under its final name. Two at once have to leave what one leaves; how often one was told of
the other is counted. Writes unbreakable.json and prints the table and every find. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import interruptions as cut
import numpy as np
from stages import machine
from unbreakable_stages import STAGES, Stage, command, make_inputs

_TOLD = re.compile("another (process|benchmark)|already")
_TRIES = 3  # of a disturbance that came too late, so often another one is drawn


@dataclass
class Outcome:
    """What was seen of one kind of disturbance: how many hit, how many were survived, and every find.

    `told`: of two commands at once, how often one was told of the other; two that are never in the same part of their
    work need not be.
    """

    hit: int = 0
    survived: int = 0
    told: int | None = None
    finds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Undisturbed:
    """What a stage leaves when nothing happens, how long it takes and how often it changes the disk."""

    contents: dict[str, str]
    seconds: float
    steps: int
    size: int


class Trials:
    """One stage, disturbed in several ways, always in the same folder: its path is part of what is written."""

    def __init__(self, stage: Stage, out: Path, seed: int) -> None:
        self.stage, self.inputs, self.seed = stage, out / "inputs", seed
        self.area, self.log = out / "area", out / f"{stage.name}.log"
        self.told = 0  # of two at once, how often one of them said so
        self.usual = self._undisturbed()

    def _start(self, resumed: bool = False, before: Callable[[], None] = lambda: None, log: str = "") -> cut.Running:
        words = [*self.stage.words(self.inputs, self.area), *(self.stage.resume if resumed else ())]

        def work() -> int:
            before()
            return command(words, self.stage)

        return cut.Running(work, self.log.with_suffix(f".log{log}"))

    def _finished(self, resumed: bool = False, before: Callable[[], None] = lambda: None) -> cut.Ended:
        running = self._start(resumed, before)
        ended = running.wait()
        if ended is None:
            running.kill(group=True)
            ended = running.wait()
            assert ended is not None
        return ended

    def _undisturbed(self) -> Undisturbed:
        """Once to see what is loaded, and once with all of it loaded."""
        seen, counted = self.log.with_suffix(".modules"), self.log.with_suffix(".steps")

        def count() -> None:
            steps = cut.Steps(self.area)
            at_exit(lambda: counted.write_text(str(steps.done), encoding="utf-8"))
            at_exit(lambda: seen.write_text("\n".join(sys.modules), encoding="utf-8"))

        found = []
        for _ in range(2):
            cut.empty(self.area)
            ended = self._finished(before=count)
            if ended.code != 0:
                raise SystemExit(f"{self.stage.name} fails undisturbed:\n{ended.errors}")
            found.append(cut.contents(self.area))
            cut.preload(seen.read_text(encoding="utf-8").splitlines())
        if different := cut.differences(*found):
            print(f"  {self.stage.name}: two undisturbed runs differ: {different}", flush=True)
        size = sum(path.stat().st_size for path in self.area.rglob("*") if path.is_file())
        return Undisturbed(found[-1], ended.seconds, int(counted.read_text(encoding="utf-8")), size)

    def killed(self, rng: np.random.Generator, nth: int) -> str | None:
        """A kill and what followed; None: survived. Raises `TooLate`."""
        cut.empty(self.area)
        if nth % 3 == 2 and self.usual.steps:
            step = int(rng.integers(1, self.usual.steps + 1))
            running = self._start(before=lambda: _at_step(self.area, step, lambda: os.kill(os.getpid(), 9)))
            what, ended = f"killed before change {step}", running.wait()
        else:
            moment, group = rng.uniform(0, self.usual.seconds), nth % 3 == 1
            running = self._start()
            what, ended = f"killed after {moment:.2f} s{' with its processes' if group else ''}", running.wait(moment)
            if ended is None:
                running.kill(group)
                ended = running.wait()
        if ended is not None and ended.code == 0:
            raise TooLateError
        left = "processes stay behind" if running.left_over() else None
        found = cut.broken_file(self.area) or self._goes_on() or left
        return None if found is None else f"{what}: {found}"

    def full(self, rng: np.random.Generator, nth: int) -> str | None:
        """A disk that is too small."""
        cut.empty(self.area)
        size = int(rng.uniform(0, self.usual.size))
        with cut.small_disk(self.area, size):
            ended = self._finished()
            cut.enlarge(self.area)
            return self._refused(ended, f"a disk of {size} bytes")

    def read_only(self, rng: np.random.Generator, nth: int) -> str | None:
        """Folders that become read-only."""
        cut.empty(self.area)
        step = int(rng.integers(1, self.usual.steps + 1))

        def before() -> None:
            cut.obey_permissions()
            _at_step(self.area, step, lambda: cut.set_writable(self.area, False))

        ended = self._finished(before=before)
        cut.set_writable(self.area, True)
        return self._refused(ended, f"read-only before change {step}")

    def _refused(self, ended: cut.Ended, what: str) -> str | None:
        if ended.code == 0:
            raise TooLateError
        found = ended.complaint or cut.broken_file(self.area) or self._goes_on()
        return None if found is None else f"{what}: {found}"

    def _goes_on(self) -> str | None:
        """What is wrong with the same command afterwards; None: nothing."""
        ended = self._finished(resumed=True)
        if ended.code != 0:
            return f"does not go on: {ended.errors.strip().splitlines()[-1:]}"
        return cut.differences(self.usual.contents, cut.contents(self.area))

    def twice(self, rng: np.random.Generator, nth: int) -> str | None:
        """Two at once, the second one later."""
        cut.empty(self.area)
        delay = rng.uniform(0, 0.8 * self.usual.seconds)
        first = self._start(log="1")
        time.sleep(delay)
        second = self._start(log="2")
        if first.has_ended():
            second.wait()
            raise TooLateError
        found = self._apart(first.wait(), second.wait())
        return None if found is None else f"a second one after {delay:.2f} s: {found}"

    def _apart(self, first: cut.Ended | None, second: cut.Ended | None) -> str | None:
        """What is wrong with how two ended that ran at once; None: nothing."""
        if first is None or second is None:
            return "one of them does not end"
        failed = [each for each in (first, second) if each.code != 0]
        if len(failed) == 2:
            return f"both fail: {failed[1].errors.strip().splitlines()[-1:]}"
        if wrong := [each.complaint for each in failed if each.complaint is not None]:
            return wrong[0]
        self.told += any(_TOLD.search(each.errors) is not None for each in (first, second))
        return cut.differences(self.usual.contents, cut.contents(self.area))


class TooLateError(Exception):
    """The command had ended before it was disturbed."""


def _at_step(below: Path, nth: int, action: Callable[[], None]) -> None:
    cut.Steps(below, nth, action)


def at_exit(work: Callable[[], object]) -> None:
    """Does something when the command of this process has ended; see `unbreakable_stages.command`."""
    Stage.afterwards.append(work)


def disturbed(trial: Callable[[np.random.Generator, int], str | None], count: int, rng: np.random.Generator) -> Outcome:
    """So many disturbances of one kind."""
    outcome = Outcome()
    for nth in range(count):
        for _ in range(_TRIES):
            try:
                found = trial(rng, nth)
            except TooLateError:
                continue
            outcome.hit += 1
            if found is None:
                outcome.survived += 1
            else:
                outcome.finds.append(found)
                print(f"  find: {found}", flush=True)
            break
    return outcome


def stage_outcomes(stage: Stage, out: Path, kills: int, others: int, seed: int) -> dict[str, Outcome]:
    """Every kind of disturbance of one stage."""
    trials = Trials(stage, out, seed)
    usual = trials.usual
    print(f"{stage.name}: {usual.seconds:.1f} s, {usual.steps} changes, {usual.size / 1e6:.1f} MB", flush=True)
    kinds = {"killed": (trials.killed, kills), "read-only": (trials.read_only, others), "twice": (trials.twice, others)}
    if sys.platform == "linux" and os.geteuid() == 0:
        kinds["full"] = trials.full, others
    outcomes = {}
    for number, (kind, (trial, count)) in enumerate(kinds.items()):
        rng = np.random.default_rng([seed, number, *stage.name.encode()])
        started = time.monotonic()
        each = outcomes[kind] = disturbed(trial, count, rng)
        each.told = trials.told if kind == "twice" else None
        print(f"  {kind}: {_cell(each)}  ({time.monotonic() - started:.0f} s)", flush=True)
    return outcomes


def table(results: dict[str, dict[str, Outcome]]) -> str:
    """Survived of hit, a line a stage."""
    kinds = ("killed", "full", "read-only", "twice")
    lines = [f"| stage | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for name, outcomes in results.items():
        cells = [_cell(outcomes[kind]) if kind in outcomes else "-" for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(outcome: Outcome) -> str:
    told = "" if outcome.told is None else f", {outcome.told} told"
    return f"{outcome.survived} of {outcome.hit}{told}"


def main(arguments: Sequence[str] | None = None) -> None:
    """All stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--others", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    request = parser.parse_args(arguments)
    out = request.out.resolve()
    make_inputs(out / "inputs")
    results: dict[str, dict[str, Outcome]] = {}
    for name in request.stages:
        results[name] = stage_outcomes(STAGES[name], out, request.kills, request.others, request.seed)
        content = {stage: {kind: vars(each) for kind, each in of.items()} for stage, of in results.items()}
        told = json.dumps({"machine": machine(), "seed": request.seed, "stages": content}, indent=2)
        (out / "unbreakable.json").write_text(told + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
