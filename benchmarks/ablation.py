"""What each way of learning is worth, alone and beside others, with no, few and all photos beside renders.

    python benchmarks/ablation.py SCENE --renders train_sim_{seed} --photos train --section test --out results/ablation
        [--variants recognition nce mlr mlr+nce replay] [--percent 0 10 100] [--seeds 0 1 2] [--views N]
        [--translated train_sim_{seed}_cut] [--flags --steps 2000]

Every row is one training of `transpose train` and its tests: landmarks first (`auto`), what the network says alone
(`coordinates`: recognition, else cells; left out where nothing is recognized), cells alone (`cells`). Photos are 0, 10
and 100 % of a section, evenly spread; renders come after them, since frames for validation are kept out of the last
section and no training is to lose photos. Rows are kept in `ablation.json`; those that are there are not run again.
Prints mean and standard deviation over the seeds, and how far each variant is from the first one, seed by seed.
Nothing is chosen by looking at the test frames. A smoke test: --seeds 0 --views 40 --flags --steps 20 --passes 1
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stages import linked_section, machine, run, tested

from transpose.scenes.layout import open_section
from transpose.selection import evenly_chosen

RECOGNIZED, CELLS = ("auto", "coordinates", "cells"), ("auto", "cells")
VARIANTS: dict[str, tuple[str, ...]] = {
    "recognition": (),
    "plain": ("--map-points", "0"),
    "nce": ("--contrastive",),
    "mlr": ("--preset", "mlr"),
    "mlr+nce": ("--preset", "mlr", "--contrastive"),
    "mlr-depth": ("--preset", "mlr", "--tasks", "depth"),
    "mlr-normal": ("--preset", "mlr", "--tasks", "normal"),
    "mlr-semantics": ("--preset", "mlr", "--tasks", "semantics"),
    "replay": ("--replay",),
    "translated": (),  # from other renders, those of --translated
}
_RECOGNIZE = ("recognition", "replay", "translated")
_KEPT = ("median_m", "median_deg", "recall", "frames", "failed", "seconds_per_frame")
Row = dict[str, Any]


def section_of(arguments: argparse.Namespace, name: str, count: int | None, photos: bool = False) -> str:
    """So many frames of a section, evenly spread, in the scene of the benchmark; their files are those of the whole.

    Args:
        arguments: of the command.
        name: of the section.
        count: of frames; None: all.
        photos: they count as photos, also where they are rendered to look like some.
    """
    section, own = open_section(arguments.scene / name), arguments.out / "scene"
    frames = range(len(section)) if count is None else evenly_chosen(len(section), min(count, len(section)))
    if photos:
        section = dataclasses.replace(section, facts=dataclasses.replace(section.facts, rendered=False))
    made = f"{name}_{len(frames)}"
    return made if (own / made).exists() else linked_section(section, frames, own, made)


def measure(arguments: argparse.Namespace, percent: int, variant: str, seed: int) -> Row:
    """One training and its tests."""
    renders = (arguments.translated if variant == "translated" else arguments.renders).format(seed=seed)
    sections = [section_of(arguments, renders, arguments.views)]
    if percent:
        all_photos = len(open_section(arguments.scene / arguments.photos))
        some = max(1, round(percent / 100 * all_photos))
        sections = [section_of(arguments, arguments.photos, some, photos=True), *sections]
    test = section_of(arguments, arguments.section, None)
    name = f"{percent}-{variant}-{seed}"
    model, own = arguments.out / "runs" / name, arguments.out / "scene"
    words = (*VARIANTS[variant], "--seed", seed, "--overwrite", *arguments.flags)
    row: Row = {"seconds": run("train", own, "--sections", *sections, "--out", model, *words)}
    for use in RECOGNIZED if variant in _RECOGNIZE else CELLS:
        table = tested(model, own, test, arguments.out / "results" / name / use, "--use", use)
        row[use] = {key: table[key] for key in _KEPT}
        if use == "cells":
            row |= {"cell": table["calibration"].get("coordinates"), "tasks": table.get("tasks")}
    return row


def main() -> None:
    """Measures what is not measured yet and prints the tables."""
    arguments = _arguments()
    settings = {
        name: str(getattr(arguments, name)) for name in ("scene", "renders", "photos", "section", "views", "flags")
    }
    path = arguments.out / "ablation.json"
    record = {"settings": settings, "rows": {}}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["settings"] != settings:
            raise SystemExit(f"{path} was measured with {record['settings']}; take another --out, or the same settings")
    for seed in arguments.seeds:
        for percent in arguments.percent:
            for variant in arguments.variants:
                key = f"{percent}|{variant}|{seed}"
                if key not in record["rows"]:
                    record["rows"][key] = measure(arguments, percent, variant, seed)
                    record["machine"] = machine()
                    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"\n{record.get('machine', '')}\n")
    groups = grouped(record["rows"])
    print_table(groups, arguments.bound)
    print_differences(groups)
    print_tasks(groups)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--renders", default="train_sim_{seed}", help="section; {seed} stands for the seed")
    parser.add_argument("--translated", help="the same renders, translated (variant translated)")
    parser.add_argument("--photos", help="section to learn from beside the renders; without it --percent is 0")
    parser.add_argument("--section", default="test", help="to test on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="all but plain and single tasks by default")
    parser.add_argument("--percent", type=int, nargs="+", default=[0, 10, 100], help="of the photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--views", type=int, help="renders that are learned from, evenly spread; all by default")
    parser.add_argument("--bound", default="5cm5deg", help="of recall, as results.json names it")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for transpose train; last")
    arguments = parser.parse_args()
    if arguments.variants is None:
        usual = ["recognition", "nce", "mlr", "mlr+nce", "replay"]
        arguments.variants = usual + ["translated"] * (arguments.translated is not None)
    if "translated" in arguments.variants and arguments.translated is None:
        parser.error("the variant translated needs --translated")
    if arguments.photos is None:
        arguments.percent = [0]
    return arguments


Groups = dict[tuple[int, str], dict[int, Row]]


def grouped(rows: dict[str, Row]) -> Groups:
    """The rows of each percentage and variant, by seed."""
    groups: Groups = {}
    for key, row in rows.items():
        percent, variant, seed = key.split("|")
        groups.setdefault((int(percent), variant), {})[int(seed)] = row
    order = list(VARIANTS)
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], order.index(item[0][1]))))


def print_table(groups: Groups, bound: str) -> None:
    """Markdown, a line for each percentage and variant: mean and spread over the seeds."""
    print(f"| photos | variant | seeds | landmarks first | recall | recognition | recall | cells | recall | a cell |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (percent, variant), by_seed in groups.items():
        cells = [word for use in RECOGNIZED for word in _of_use(by_seed, use, bound)]
        cells.append(_spread([100 * row["cell"]["median_m"] for row in by_seed.values() if row["cell"]], "cm"))
        print(f"| {percent} % | {variant} | {len(by_seed)} | {' | '.join(cells)} |")
    print("\n| photos | variant | training | a photo, landmarks first |\n|---|---|---|---|")
    for (percent, variant), by_seed in groups.items():
        seconds = _spread([row["seconds"] for row in by_seed.values()], "s")
        each = _spread([1000 * row["auto"]["seconds_per_frame"] for row in by_seed.values()], "ms")
        print(f"| {percent} % | {variant} | {seconds} | {each} |")


def _of_use(by_seed: dict[int, Row], use: str, bound: str) -> Iterator[str]:
    tables = [row[use] for row in by_seed.values() if use in row]
    yield _spread([math.inf if each["median_m"] is None else 100 * each["median_m"] for each in tables], "cm")
    yield _spread([100 * each["recall"][bound] for each in tables], "%")


def print_differences(groups: Groups) -> None:
    """How many times the median of the first variant each other's is, of the same seed and photos.

    The spread of these ratios is what a gain must exceed: renders, photos and the seed are the same in both.
    """
    print("\n| photos | variant | seeds | landmarks first | cells | a cell | training |\n|---|---|---|---|---|---|---|")
    measures: tuple[Callable[[Row], float | None], ...] = (
        lambda row: row["auto"]["median_m"],
        lambda row: row["cells"]["median_m"],
        lambda row: row["cell"] and row["cell"]["median_m"],
        lambda row: row["seconds"],
    )
    for (percent, variant), by_seed in groups.items():
        first = groups.get((percent, "recognition"), {})
        seeds = sorted(by_seed.keys() & first.keys())
        if variant == "recognition" or not seeds:
            continue
        words = []
        for measure_of in measures:
            pairs = [(measure_of(by_seed[seed]), measure_of(first[seed])) for seed in seeds]
            words.append(_spread([mine / own if mine and own else math.inf for mine, own in pairs], ""))
        print(f"| {percent} % | {variant} | {len(seeds)} | {' | '.join('x ' + word for word in words)} |")


def print_tasks(groups: Groups) -> None:
    """What mid-level tasks reach, where there are any."""
    print("\n| photos | variant | depth | normals | mIoU |\n|---|---|---|---|---|")
    for (percent, variant), by_seed in groups.items():
        tasks = [row["tasks"] for row in by_seed.values() if row["tasks"]]
        measures = (
            ("depth", "median_relative", 100, "%"),
            ("normal", "median_deg", 1, "deg"),
            ("semantics", "miou", 100, "%"),
        )
        if tasks:
            words = [
                _spread([factor * each[task][name] for each in tasks if task in each], unit)
                for task, name, factor, unit in measures
            ]
            print(f"| {percent} % | {variant} | {' | '.join(words)} |")


def _spread(values: list[float], unit: str) -> str:
    """Mean and standard deviation; a dash of nothing, or where most frames of a test had no pose."""
    if not values or not all(map(math.isfinite, values)):
        return "–"
    deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3g}{deviation} {unit}".rstrip()


if __name__ == "__main__":
    main()
