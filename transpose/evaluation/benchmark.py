"""The rows of a benchmark as numbers: what one test measured, and means over the seeds of a method.

A failure is a result here too: a photo without a pose, and a row that could not be run, are infinitely wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from transpose.errors import TransposeError
from transpose.evaluation.benchmark_plan import Method, Place, RowKey
from transpose.evaluation.benchmark_record import Record, read_record
from transpose.evaluation.frame_log import read_frame_log
from transpose.evaluation.metrics import CHI2_6_MEDIAN, FrameResult, recall_bounds, table_unit
from transpose.scenes.layout import Section
from transpose.scenes.unit import SceneUnit, cameras_extent
from transpose.storage import read_json

Better = Literal["low", "high", "near"]
OWN_METHOD = "fast"
# Up to which extent of the tested cameras (metres) which recalls are shown, and beyond which bound a pose that was
# given is called wrong: it is another place, not this one with an error.
_BOUNDS_BY_EXTENT: tuple[tuple[float, tuple[str, ...], str], ...] = (
    (20.0, ("2cm2deg", "5cm5deg", "25cm2deg"), "50cm5deg"),
    (500.0, ("25cm2deg", "50cm5deg", "5m5deg"), "5m10deg"),
    (math.inf, ("50cm5deg", "5m5deg", "10m7deg"), "20m10deg"),
)
_PERCENT_BOUNDS = ("0.5%0.5deg", "1%1deg", "5%5deg"), "10%10deg"


@dataclass(frozen=True)
class SceneBounds:
    """The recalls that tell something of a scene of this size, and the bound beyond which a pose is wrong."""

    shown: tuple[str, ...]
    wrong: str

    @classmethod
    def of(cls, section: Section) -> SceneBounds:
        """Those of the section that is tested."""
        if not section.facts.metric:
            return cls(*_PERCENT_BOUNDS)
        extent = cameras_extent(np.array([frame.pose.center for frame in section.frames]))
        return next(cls(shown, wrong) for most, shown, wrong in _BOUNDS_BY_EXTENT if extent <= most)


@dataclass(frozen=True, eq=False)
class Row:
    """What one row came to.

    Attributes:
        key: which row.
        record: how it came about; `record.failed` says why there are no results.
        table: of `results.json`; empty of a row that failed.
        frames: that were tested; empty of a row that failed.
        wrong: poses that were given and are wrong (`SceneBounds.wrong`).
    """

    key: RowKey
    record: Record
    table: Mapping[str, Any] = field(default_factory=dict)
    frames: Sequence[FrameResult] = ()
    wrong: int = 0

    @property
    def unit(self) -> SceneUnit:
        """In which its lengths are told."""
        return table_unit(self.table)

    def number(self, name: str) -> float:
        """A number of the table; NaN where the row has none."""
        value = self.table.get(name)
        return math.nan if value is None else float(value)

    def error(self, name: str) -> float:
        """A median error; infinite where too few photos have a pose, or the row failed."""
        value = self.table.get(name)
        return math.inf if value is None else float(value)

    @property
    def told_median(self) -> float:
        """Median position error: metres, or per cent of the cameras' extent."""
        return self.error("median_m" if not self.table or self.unit.metric else "median_percent")

    def recall(self, name: str) -> float:
        """Share of the photos within a bound; none where the row failed."""
        return float(self.table.get("recall", {}).get(name, 0.0))

    def calibration(self, name: str) -> float:
        """A number on the covariances of the poses; NaN without any."""
        value = self.table.get("calibration", {}).get(name)
        return math.nan if value is None else float(value)


def read_row(key: RowKey, place: Place, section: Section, bounds: SceneBounds) -> Row | None:
    """A row from its folder; None where it has not been run.

    Args:
        key, place: which row, and where it lies.
        section: that was tested.
        bounds: of its scene.

    Raises:
        TransposeError: results are there but broken.
    """
    record = read_record(place.results)
    if record is None:
        return None
    if record.failed is not None:
        return Row(key, record)
    table = read_json(place.results / "results.json")
    if not isinstance(table, dict) or "recall" not in table:
        raise TransposeError(f"{place.results / 'results.json'} holds no results; remove {place.results} and run again")
    try:
        frames = read_frame_log(place.results, section, table_unit(table))
    except TransposeError as error:
        raise TransposeError(f"{error}; remove {place.results} and run again") from None
    length, degrees = recall_bounds(table_unit(table))[bounds.wrong]
    errors = [each.told_error for each in frames if each.estimate.pose is not None]
    wrong = sum(not (off < length and turned < degrees) for turned, off in errors)
    return Row(key, record, table, frames, wrong)


@dataclass(frozen=True)
class Spread:
    """A number over seeds.

    Attributes:
        mean: of all seeds; infinite where it is of one of them, NaN where none has the number.
        deviation: standard deviation between seeds (n - 1); NaN of fewer than two, or where one is infinite.
        low, high: least and largest.
    """

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of what the seeds have; those without the number (NaN) do not count."""
        known_n = np.array([value for value in values if not math.isnan(value)], np.float64)
        if len(known_n) == 0:
            return cls(math.nan, math.nan, math.nan, math.nan)
        several = len(known_n) > 1 and bool(np.isfinite(known_n).all())
        deviation = float(known_n.std(ddof=1)) if several else math.nan
        return cls(float(known_n.mean()), deviation, float(known_n.min()), float(known_n.max()))


@dataclass(frozen=True, eq=False)
class Line:
    """The seeds of a method that learned from one training set of a scene."""

    rows: tuple[Row, ...]

    @property
    def key(self) -> RowKey:
        """Of its first seed."""
        return self.rows[0].key

    @property
    def method(self) -> Method:
        """That learned."""
        return self.key.method

    @property
    def done(self) -> list[Row]:
        """Rows that have results."""
        return [row for row in self.rows if row.record.failed is None]

    @property
    def unit(self) -> SceneUnit:
        """In which its lengths are told."""
        return self.done[0].unit if self.done else SceneUnit()

    def spread(self, column: Column) -> Spread:
        """A column's number over the seeds."""
        return Spread.of([column.of(row) for row in self.rows])


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the table.

    Attributes:
        name: in files that scripts read.
        of: its number of a row.
        better: which numbers are: low ones, high ones, or those near the one of exact covariances.
        what: the column in a sentence, such as "the median position error".
    """

    name: str
    of: Callable[[Row], float]
    better: Better
    what: str

    def badness(self, mean: float) -> float:
        """Less is better; infinite where there is no number."""
        if math.isnan(mean):
            return math.inf
        if self.better == "near":
            return abs(math.log(max(mean, 1e-12) / CHI2_6_MEDIAN))
        return mean if self.better == "low" else -mean


def columns(bounds: SceneBounds) -> list[Column]:
    """The columns of a scene's table."""
    return [
        Column("median_length", lambda row: row.told_median, "low", "the median position error"),
        Column("median_deg", lambda row: row.error("median_deg"), "low", "the median rotation error"),
        *(_recall(name) for name in bounds.shown),
        Column("refused", lambda row: row.number("failed"), "low", "photos refused"),
        Column("wrong", lambda row: math.nan if not row.table else row.wrong, "low", "wrong poses given"),
        Column("seconds_per_frame", lambda row: row.number("seconds_per_frame"), "low", "the time a photo"),
        Column("train_seconds", lambda row: row.number("train_seconds"), "low", "the training time"),
        Column("model_bytes", lambda row: row.number("model_bytes"), "low", "the size of the model"),
        Column("nees_median", lambda row: row.calibration("nees_median"), "near", "the calibration of covariances"),
    ]


def _recall(name: str) -> Column:
    return Column(name, lambda row: row.recall(name), "high", f"the share within {name}")


def best_of(column: Column, lines: Sequence[Line]) -> Line | None:
    """The line with the best mean, the first of several; None where none has a number."""
    worth = [(column.badness(line.spread(column).mean), line) for line in lines if line.done]
    known = [(badness, line) for badness, line in worth if math.isfinite(badness)]
    return min(known, key=lambda each: each[0])[1] if known else None


@dataclass(frozen=True, eq=False)
class Block:
    """Lines that can be compared: of one scene and one training set.

    Attributes:
        scene: its name.
        training: the name of what was learned from.
        bounds: of the scene.
        lines: one a method.
    """

    scene: str
    training: str
    bounds: SceneBounds
    lines: tuple[Line, ...]

    @property
    def columns(self) -> list[Column]:
        """Of its table."""
        return columns(self.bounds)


def blocks_of(rows: Sequence[Row], bounds: Mapping[str, SceneBounds]) -> list[Block]:
    """Rows by scene and training set, then by method; `bounds` by the scene's name."""
    grouped: dict[tuple[str, str], dict[Method, list[Row]]] = {}
    for row in rows:
        place = row.key.scene.name, row.key.training
        grouped.setdefault(place, {}).setdefault(row.key.method, []).append(row)
    return [
        Block(scene, training, bounds[scene], tuple(Line(tuple(seeds)) for seeds in by_method.values()))
        for (scene, training), by_method in grouped.items()
    ]
