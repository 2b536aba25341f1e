"""Benchmarks that are made up: a scene, a program that writes runs and results at once, and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.evaluation.stubs import make_results, make_section
from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.app.services.benchmark_jobs import Ended
from transpose.evaluation.benchmark import Row
from transpose.evaluation.benchmark_plan import Method, RowKey
from transpose.evaluation.benchmark_record import Record
from transpose.evaluation.testing import frame_log, write_results
from transpose.scenes.layout import open_section


def make_scene(scene: Path) -> Path:
    for name in ("sim", "photos", "test"):
        make_section(scene, name)
    return scene


def value_of(words: Sequence[str], flag: str) -> str:
    return words[words.index(flag) + 1]


@dataclass
class FakeProgram:
    """Stands for the processes of `transpose train` and `transpose test`; notes what it was asked for.

    Attributes:
        failing: why a command fails, by words that its line holds.
        refused: frames to which tests give no pose.
        interrupted: words of the command at which a person stops everything.
    """

    failing: dict[str, str] = field(default_factory=dict)
    refused: tuple[int, ...] = ()
    interrupted: str = ""
    asked: list[str] = field(default_factory=list)

    def __call__(self, words: Sequence[str], log: Path, limit_s: float | None) -> Ended:
        line = " ".join(words)
        if self.interrupted and self.interrupted in line:
            raise KeyboardInterrupt
        self.asked.append(line)
        for part, reason in self.failing.items():
            if part in line:
                return Ended(reason, 1.0)
        if words[0] == "train":
            self._train(words)
        else:
            self._test(words)
        return Ended(None, 1.0)

    @property
    def trained(self) -> list[str]:
        return [line for line in self.asked if line.startswith("train")]

    @property
    def tested(self) -> list[str]:
        return [line for line in self.asked if line.startswith("test")]

    def _train(self, words: Sequence[str]) -> None:
        run = Path(value_of(words, "--out"))
        run.mkdir(parents=True, exist_ok=True)
        runs.write_config(run, {})
        provenance = runs.Provenance(value_of(words, "--preset"), {"steps": 9}, words[1], ("sim",), frames=5)
        runs.save_model(run, checkpoint(provenance=provenance, progress=runs.Progress(9, True, 64.0)))

    def _test(self, words: Sequence[str]) -> None:
        section = open_section(Path(words[2]) / value_of(words, "--section"))
        out = Path(value_of(words, "--out"))
        results = make_results(5, self.refused)
        with frame_log(section, out) as record:
            for result in results:
                record(result)
        write_results(results, section, Path(words[1]), out)


def row(method: str = "fast", seed: int = 0, failed: str | None = None, wrong: int = 0, **table: Any) -> Row:
    """A row with the table's numbers, and the usual ones for what is not named."""
    key = RowKey(Path("/scene"), ("sim",), Method.named(method), seed)
    record = Record({"seed": seed}, failed, "5 rendered views of sim", "poses of test", "a machine", ("transpose ...",))
    if failed is not None:
        return Row(key, record)
    usual = {
        "unit": "metre",
        "frames": 30,
        "failed": 0,
        "median_m": 0.018,
        "median_deg": 0.5,
        "recall": {"2cm2deg": 0.5, "5cm5deg": 1.0, "25cm2deg": 1.0},
        "seconds_per_frame": 0.1,
        "train_seconds": 100.0,
        "model_bytes": 2_700_000,
        "calibration": {"nees_median": 5.3, "coverage_90": 0.9},
    }
    return replace(Row(key, record), table=usual | table, wrong=wrong)
