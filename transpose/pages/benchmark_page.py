"""A benchmark as one Markdown page: for each scene and training set a table of methods, what it says, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transpose.evaluation.benchmark import OWN_METHOD, Block, Column, Line, Spread, best_of
from transpose.evaluation.metrics import CHI2_6_MEDIAN
from transpose.pages.wording import NONE, angle, bound, duration, file_size, length, of, unit_sentence
from transpose.scenes.unit import SceneUnit
from transpose.storage import replacing_file

PAGE_FILE = "benchmark.md"
_TITLES = {
    "median_length": "median position",
    "median_deg": "median rotation",
    "refused": "refused",
    "wrong": "wrong, yet given",
    "seconds_per_frame": "time a photo",
    "train_seconds": "training",
    "model_bytes": "model",
    "nees_median": "NEES",
}


@dataclass(frozen=True)
class Pictures:
    """Files of a block's pictures, as the page links them: names by what they show."""

    figures: Mapping[str, str]
    photos: Mapping[str, str]


def write_page(blocks: Sequence[Block], pictures: Sequence[Pictures], minutes: float | None, out: Path) -> str:
    """Writes `benchmark.md`; returns its text.

    Args:
        blocks: of the benchmark.
        pictures: of each block.
        minutes: that a training may take; None: no limit.
        out: the benchmark's folder.
    """
    parts = ["# Benchmark", _how_to_read(minutes)]
    scene = ""
    for block, shown in zip(blocks, pictures, strict=True):
        if block.scene != scene:
            parts.append(f"## {block.scene}")
            scene = block.scene
        parts += [f"### Learned from {block.training}", *_block_parts(block), *_links(shown)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    with replacing_file(out / PAGE_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _how_to_read(minutes: float | None) -> str:
    limit = (
        "Each training took as many steps as its preset has."
        if minutes is None
        else f"Each training was to take {minutes:g} min at most; methods that are made at once take what they take."
    )
    return (
        f"{limit} Numbers are means over the seeds, ± their standard deviation; the best of each column is in bold. "
        "Medians count photos without a pose as infinitely wrong. *Wrong, yet given*: poses that are another place. "
        "*Time a photo*: on the machine of the row, reading the image not included. *Model*: the size of model.pt. "
        f"*NEES*: median squared error in units of the stated covariance, {CHI2_6_MEDIAN:.2f} where that is exact; "
        "more is over-confident. `benchmark.csv` has every row, `benchmark.json` also its commands."
    )


def _block_parts(block: Block) -> list[str]:
    """Table and remarks of a block."""
    first = next((line.done[0] for line in block.lines if line.done), None)
    unit = first.unit if first is not None else SceneUnit()
    remarks = [*failures(block), *sentences(block)]
    return [unit_sentence(unit), table(block), "\n".join(f"* {remark}" for remark in remarks)]


def table(block: Block) -> str:
    """The methods of a block as a Markdown table, the best of each column in bold."""
    titles = ["method", "seeds", *map(_title, block.columns), "learned from", "ground truth", "machine"]
    cells = [_cells(line, block) for line in block.lines]
    for at, column in enumerate(block.columns, 2):
        best = best_of(column, block.lines)
        if best is None:
            continue
        text = told(column, best.spread(column), best)
        for line, row in zip(block.lines, cells, strict=True):
            if line.done and told(column, line.spread(column), line) == text:
                row[at] = f"**{row[at]}**"
    rows = [titles, ["---"] * len(titles), *cells]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows)


def _title(column: Column) -> str:
    return _TITLES.get(column.name) or f"within {bound(column.name)}"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")


def _cells(line: Line, block: Block) -> list[str]:
    row = line.rows[0]
    seeds = ", ".join(str(row.key.seed) for row in line.rows)
    if not line.done:
        numbers = ["failed", *[NONE] * (len(block.columns) - 1)]
    else:
        numbers = [with_deviation(column, line.spread(column), line) for column in block.columns]
    machines = "; ".join(dict.fromkeys(each.record.machine for each in line.rows))
    return [f"`{line.method.name}`", seeds, *numbers, row.record.learned, row.record.truth, machines]


def told(column: Column, spread: Spread, line: Line) -> str:
    """A column's mean in words, as it stands in the table."""
    return _value(column, spread.mean, line)


def with_deviation(column: Column, spread: Spread, line: Line) -> str:
    """The same with the standard deviation over seeds, where there are several and it can be seen."""
    text = told(column, spread, line)
    if math.isnan(spread.deviation):
        return text
    deviation = _value(column, spread.deviation, line)
    return text if deviation == _value(column, 0.0, line) else f"{text} ± {deviation}"


def _value(column: Column, value: float, line: Line) -> str:
    if not math.isfinite(value):
        return NONE
    if column.name == "median_length":
        return length(value, line.unit)
    if column.name == "median_deg":
        return angle(value)
    if column.name in ("seconds_per_frame", "train_seconds"):
        return duration(value)
    if column.name == "model_bytes":
        return file_size(value)
    if column.name == "nees_median":
        return f"{value:.1f}"
    if column.name in ("refused", "wrong"):
        return f"{value:.3g}"
    return f"{100 * value:.0f} %"


def failures(block: Block) -> list[str]:
    """A sentence about each method of which seeds failed, with the first reason."""
    found = []
    for line in block.lines:
        failed = [row for row in line.rows if row.record.failed is not None]
        if failed:
            which = of(len(failed), len(line.rows)) if len(line.rows) > 1 else "its only seed"
            what = f"{which} of its seeds" if len(line.rows) > 1 else which
            found.append(f"`{line.method.name}` could not be run ({what}): {failed[0].record.failed}")
    return found


def sentences(block: Block) -> list[str]:
    """Where TransPose's own method is not the best of a column, and what is."""
    own = next((line for line in block.lines if line.method.name == OWN_METHOD), None)
    if own is None or len(block.lines) < 2:
        return []
    if not own.done:
        return [f"`{OWN_METHOD}` itself has no result here."]
    behind = []
    for column in block.columns:
        best = best_of(column, block.lines)
        mine, theirs = told(column, own.spread(column), own), NONE
        if best is not None:
            theirs = told(column, best.spread(column), best)
        if best is not None and best is not own and mine != theirs:
            behind.append(f"{_what(column)} ({mine}; `{best.method.name}` {theirs})")
    if not behind:
        return [f"`{OWN_METHOD}` is the best in every column here."]
    return [f"`{OWN_METHOD}` is not the best in {'; '.join(behind)}."]


def _what(column: Column) -> str:
    return column.what if column.name in _TITLES else f"the share within {bound(column.name)}"


def _links(pictures: Pictures) -> list[str]:
    figures = [f"![{what}]({file})" for what, file in pictures.figures.items()]
    photos = ", ".join(f"[{what}]({file})" for what, file in pictures.photos.items())
    return [*figures, f"The worst photos of each method: {photos}" if photos else ""]
