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
from pathlib import Path

from ablation_tables import Row, print_tables
from stages import frame_errors, linked_section, machine, run, tested

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
    *_, last = (model / "log.jsonl").read_text(encoding="utf-8").splitlines()
    row["validation_m"] = json.loads(last)["val_median_m"]
    for use in RECOGNIZED if variant in _RECOGNIZE else CELLS:
        results = arguments.out / "results" / name / use
        table = tested(model, own, test, results, "--use", use)
        row[use] = {key: table[key] for key in _KEPT} | {"errors": frame_errors(results)}
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
    print_tables(record["rows"], list(VARIANTS), arguments.bound)


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


if __name__ == "__main__":
    main()
