"""The tables of benchmarks/ablation.py: mean and standard deviation over the seeds of what its rows hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Row = dict[str, Any]
Groups = dict[tuple[int, str], dict[int, Row]]
_USES = ("auto", "coordinates", "cells")
_TASKS = (("depth", "median_relative", 100, "%"), ("normal", "median_deg", 1, "deg"), ("semantics", "miou", 100, "%"))


def print_tables(rows: dict[str, Row], variants: Sequence[str], bound: str) -> None:
    """Markdown, a line for each percentage of photos and variant.

    Args:
        rows: by "percent|variant|seed".
        variants: in the order of the table; the first is what the others are held against.
        bound: of recall, as results.json names it.
    """
    groups: Groups = {}
    for key, row in rows.items():
        percent, variant, seed = key.split("|")
        groups.setdefault((int(percent), variant), {})[int(seed)] = row
    groups = dict(sorted(groups.items(), key=lambda item: (item[0][0], variants.index(item[0][1]))))
    _print_poses(groups, bound)
    _print_ratios(groups, variants[0])
    _print_tasks(groups)


def _print_poses(groups: Groups, bound: str) -> None:
    """Median error and recall by each way to a pose, and how far off cells are, in photos and in renders kept out."""
    _print_head("photos", "variant", "seeds", "landmarks first", bound, "recognition", bound, "cells", bound,
                "a cell, photos", "a cell, renders", "training")  # fmt: skip
    for (percent, variant), by_seed in groups.items():
        rows = list(by_seed.values())
        words = [word for use in _USES for word in _of_use(rows, use, bound)]
        words.append(_spread([100 * row["cell"]["median_m"] for row in rows if row["cell"]], "cm"))
        words.append(_spread([100 * row["validation_m"] for row in rows], "cm"))
        words.append(_spread([row["seconds"] for row in rows], "s"))
        print(f"| {percent} % | {variant} | {len(rows)} | {' | '.join(words)} |")


def _of_use(rows: list[Row], use: str, bound: str) -> Iterator[str]:
    tables = [row[use] for row in rows if use in row]
    yield _spread([math.inf if each["median_m"] is None else 100 * each["median_m"] for each in tables], "cm")
    yield _spread([100 * each["recall"][bound] for each in tables], "%")


def _print_ratios(groups: Groups, first: str) -> None:
    """How many times the error of the first variant each other's is; of poses, the geometric mean over the photos.

    Both learned from the same renders and photos with the same seed, and stand the same photos: the spread of these
    ratios, not that of the medians, is what a gain must exceed. How many photos either refused, recall tells.
    """
    measures: dict[str, Callable[[Row, Row], float]] = {
        "landmarks first": lambda row, base: _times(row["auto"], base["auto"]),
        "cells": lambda row, base: _times(row["cells"], base["cells"]),
        "a cell, photos": lambda row, base: (
            row["cell"]["median_m"] / base["cell"]["median_m"] if row["cell"] and base["cell"] else math.nan
        ),
        "a cell, renders": lambda row, base: row["validation_m"] / base["validation_m"],
        "training": lambda row, base: row["seconds"] / base["seconds"],
    }
    _print_head("photos", f"variant, times {first}", "seeds", *measures)
    for (percent, variant), by_seed in groups.items():
        base = groups.get((percent, first), {})
        seeds = sorted(by_seed.keys() & base.keys())
        if variant == first or not seeds:
            continue
        words = [_spread([of(by_seed[seed], base[seed]) for seed in seeds]) for of in measures.values()]
        print(f"| {percent} % | {variant} | {len(seeds)} | {' | '.join(words)} |")


def _times(table: Row, base: Row) -> float:
    """Geometric mean of the ratios of position errors, over the photos that both localized; NaN: there are none."""
    pairs = [(table["errors"][name][0], error_m) for name, (error_m, _) in base["errors"].items()]
    known = [(mine, other) for mine, other in pairs if math.isfinite(mine) and math.isfinite(other)]
    return math.exp(statistics.mean(math.log(mine / other) for mine, other in known)) if known else math.nan


def _print_tasks(groups: Groups) -> None:
    """What mid-level tasks reach, where there are any."""
    _print_head("photos", "variant", *(name for name, *_ in _TASKS))
    for (percent, variant), by_seed in groups.items():
        tasks = [row["tasks"] for row in by_seed.values() if row["tasks"]]
        if tasks:
            words = [
                _spread([factor * each[task][name] for each in tasks if task in each], unit)
                for task, name, factor, unit in _TASKS
            ]
            print(f"| {percent} % | {variant} | {' | '.join(words)} |")


def _print_head(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")


def _spread(values: list[float], unit: str = "") -> str:
    """Mean and standard deviation; a dash of nothing, or where most frames of a test had no pose."""
    if not values or not all(map(math.isfinite, values)):
        return "–"
    deviation = f" ± {float(f'{statistics.stdev(values):.2g}'):g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3g}{deviation} {unit}".rstrip()
