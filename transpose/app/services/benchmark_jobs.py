"""The jobs of a benchmark: each training and each test is a command of this program, in a process of its own.

A process of its own gives back all its memory, cannot change what comes after it, and can be ended where it takes too
long; and whoever doubts a row types the commands that its record names.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose.app.services.commands import run_command, typed
from transpose.evaluation.benchmark_plan import Place, RowKey

# Starting, reading sections, and a pace that changes while a training is on its way.
_GRACE_FACTOR, _GRACE_SECONDS = 2.0, 60.0
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Ended:
    """How a command ended; `failed` is why, in one line, or None."""

    failed: str | None
    seconds: float


Start = Callable[[Sequence[str], Path, float | None], Ended]


def start_command(words: Sequence[str], log: Path, limit_s: float | None) -> Ended:
    """Runs a command of this program and waits for it.

    Args:
        words: behind `transpose`.
        log: file that takes its output and its progress.
        limit_s: seconds after which it is ended; None: never.

    Raises:
        KeyboardInterrupt: or whatever ends this process; the command was ended first, so that it could save its state.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as file:
        try:
            code = run_command(words, file, file, limit_s)
        except subprocess.TimeoutExpired:
            spent = time.monotonic() - started
            return Ended(f"not done after {spent:.0f} s, when it was ended", spent)
    return Ended(None if code == 0 else _reason(log, code), time.monotonic() - started)


def _reason(log: Path, code: int) -> str:
    """The command's own line about its failure, else its last one."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if own:
        return own[-1]
    killed = f"ended by signal {-code}, perhaps for want of memory" if code < 0 else f"exit code {code}"
    return f"{killed}; {lines[-1][:_LONGEST_REASON]}" if lines else killed


@dataclass(frozen=True)
class Conditions:
    """Under which all rows run.

    Attributes:
        section: that is tested.
        minutes: that a training may take; None: as long as it takes.
        device: as PyTorch names it.
        threads: of each process; None: all cores.
    """

    section: str
    minutes: float | None
    device: str
    threads: int | None

    @property
    def limit_s(self) -> float | None:
        """Seconds after which a training is ended: it was to fit its limit by itself."""
        return None if self.minutes is None else 60 * self.minutes * _GRACE_FACTOR + _GRACE_SECONDS

    def train_words(self, key: RowKey, run: Path, how: Sequence[str]) -> list[str]:
        """`transpose train` for a row; `how` says what to do with a run that is there."""
        limited = self.minutes is not None and key.method.has_steps
        return [
            *("train", str(key.scene), "--sections", *key.sections, "--out", str(run)),
            *("--preset", key.method.preset, "--seed", str(key.seed), *self._machine()),
            *(("--minutes", f"{self.minutes:g}") if limited else ()),
            *how,
        ]

    def test_words(self, key: RowKey, run: Path, out: Path, world: Path | None) -> list[str]:
        """`transpose test` for a row."""
        refined = ["--refine", *(("--world", str(world)) if world is not None else ())]
        return [
            *("test", str(run), str(key.scene), "--section", self.section, "--out", str(out), *self._machine()),
            *(refined if key.method.refined else ()),
        ]

    def _machine(self) -> list[str]:
        threads = [] if self.threads is None else ["--threads", str(self.threads)]
        return ["--device", self.device, *threads]


@dataclass(frozen=True)
class RowTask:
    """One row that is to be run: which, where, what determines it and its training, and words for its record.

    Attributes:
        key: which row.
        place: where it lies.
        inputs, training_inputs: what determines the row, and its run.
        learned, truth: see `Record`.
        world: for refinement; None: the run knows, or there is none.
    """

    key: RowKey
    place: Place
    inputs: Mapping[str, Any]
    training_inputs: Mapping[str, Any]
    learned: str
    truth: str
    world: Path | None


def run_job(tasks: Sequence[RowTask], conditions: Conditions, start: Start) -> list[str]:
    """Trains once and tests each row; a failure of either is what the rows then say.

    Args:
        tasks: rows of one job that are missing.
        conditions: under which they run.
        start: runs a command, see `start_command`.

    Returns:
        A line about each row.
    """
    from transpose.evaluation.benchmark_record import Record
    from transpose.evaluation.machine import machine_name
    from transpose.storage import replacing_folder

    trained = _train(tasks[0], conditions, start)
    lines = []
    for task in tasks:
        failed, commands = trained.failed, trained.commands
        with replacing_folder(task.place.results) as folder:
            if failed is None:
                words = conditions.test_words(task.key, task.place.run, folder, task.world)
                ended = start(words, task.place.folder / "test.log", None)
                failed = ended.failed
                shown = conditions.test_words(task.key, task.place.run, task.place.results, task.world)
                commands = (*commands, typed(shown))
            machine = machine_name(conditions.device, conditions.threads)
            Record(task.inputs, failed, task.learned, task.truth, machine, commands).save(folder)
        lines.append(f"{task.key}: {'done' if failed is None else failed}")
    return lines


@dataclass(frozen=True)
class _Trained:
    failed: str | None
    commands: tuple[str, ...]


def _train(task: RowTask, conditions: Conditions, start: Start) -> _Trained:
    """The run of a row: as it is where its inputs are the same, resumed where it was cut off, else made anew."""
    from transpose import runs
    from transpose.app.console import tell
    from transpose.errors import TransposeError
    from transpose.evaluation.benchmark_record import forget_training, note_training, noted_training, same
    from transpose.ownership import await_use

    # One that a benchmark began which was killed then.
    await_use(task.place.run, lambda: tell(f"a training is at work in {task.place.run} still; waiting for its end"))
    run, before = task.place.run, noted_training(task.place)
    known = before is not None and same(before, task.training_inputs)
    plain = typed(conditions.train_words(task.key, run, ()))
    try:
        complete = known and runs.load_model(run).progress.complete
    except TransposeError:
        complete = False
    if complete:
        return _Trained(None, (plain,))
    begun = (run / runs.CONFIG_FILE).exists()
    # A model without a state, not complete or not readable, is nothing to go on from.
    cut_off = known and ((run / runs.STATE_FILE).exists() or not (run / runs.MODEL_FILE).exists())
    how = () if not begun else ("--resume",) if cut_off else ("--overwrite",)
    note_training(task.place, task.training_inputs)
    ended = start(conditions.train_words(task.key, run, how), task.place.trained / "train.log", conditions.limit_s)
    if ended.failed is not None:
        forget_training(task.place)
    return _Trained(ended.failed, (plain,))
