"""Renders beside few photos, or many: what photos are worth, and what prioritized replay makes of them.

    python benchmarks/few_photos.py SCENE --renders train_sim_{seed} --photos train --section test --out results/few
        [--seeds 0 1 2] [--percent 0 10 100] [--samplers plain replay] [--flags --steps 3500]

For each seed the preset learns from the renders and from 0, 10 and 100 % of the photos, evenly spread, with and without
`--replay`, and is tested with all methods of the run and with predicted coordinates alone. Writes `few_photos.json` and
prints recall and median of each mix, mean and spread over the seeds. Nothing is chosen by looking at the test frames.
With `--seeds 0 --flags --steps 20 --passes 1` it is a smoke test.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from stages import linked_section, machine, run, tested

from transpose.scenes.layout import open_section
from transpose.selection import evenly_chosen


def share_of_photos(scene: Path, photos: str, percent: int, own: Path) -> str:
    """A section of some photos, evenly spread, in a scene of our own; its files are those of the whole one, linked."""
    section = open_section(scene / photos)
    some = evenly_chosen(len(section), max(1, round(percent / 100 * len(section))))
    return linked_section(section, some, own, f"{photos}_{percent}")


def borrowed(scene: Path, name: str, own: Path) -> str:
    """A section of the scene as it is, in ours."""
    own.mkdir(parents=True, exist_ok=True)
    if not (own / name).exists():
        (own / name).symlink_to((scene / name).resolve(), target_is_directory=True)
    return name


def measure(arguments: argparse.Namespace, seed: int, percent: int, replay: bool) -> dict[str, Any]:
    """Training and both tests of one mix."""
    scene, own = arguments.scene, arguments.out / "scene"
    sections = [borrowed(scene, arguments.renders.format(seed=seed), own)]
    sections += [share_of_photos(scene, arguments.photos, percent, own)] if percent else []
    name = f"{percent}-{'replay' if replay else 'plain'}-{seed}"
    model, words = arguments.out / "runs" / name, ["--replay"] * replay
    seconds = run(
        "train", own, "--sections", *sections, "--out", model, "--seed", seed, "--preset", arguments.preset,
        "--overwrite", *words, *arguments.flags,
    )  # fmt: skip
    section = borrowed(scene, arguments.section, own)
    results = arguments.out / "results" / name
    tables = {use: tested(model, own, section, results / use, "--use", use) for use in ("auto", "coordinates", "cells")}
    return {"percent": percent, "replay": replay, "seed": seed, "seconds": seconds, **tables}


def main() -> None:
    """Measures every mix and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--renders", default="train_sim_{seed}", help="section of renders; {seed} stands for the seed")
    parser.add_argument("--photos", default="train")
    parser.add_argument("--section", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--percent", type=int, nargs="+", default=[0, 10, 100])
    parser.add_argument("--samplers", nargs="+", choices=("plain", "replay"), default=["plain", "replay"])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--bound", default="5cm5deg", help="of recall, as results.json names it")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for transpose train; last")
    arguments = parser.parse_args()
    records: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for percent in arguments.percent:
            for sampler in arguments.samplers:
                records.append(measure(arguments, seed, percent, sampler == "replay"))
                content = {"machine": machine(), "flags": arguments.flags, "runs": records}
                text = json.dumps(content, indent=2) + "\n"
                (arguments.out / "few_photos.json").write_text(text, encoding="utf-8")
    print_table(records, arguments.bound)


def print_table(records: list[dict[str, Any]], bound: str) -> None:
    """Markdown, a line for each mix: mean and spread over the seeds."""
    print(f"\n{machine()}\n\n| photos | sampler | localized by | {bound} | median | training |")
    print("|---|---|---|---|---|---|")
    mixes = dict.fromkeys((each["percent"], each["replay"]) for each in records)
    for percent, replay in mixes:
        same = [each for each in records if (each["percent"], each["replay"]) == (percent, replay)]
        for use in ("auto", "coordinates", "cells"):
            recall = spread([100 * each[use]["recall"][bound] for each in same], 1)
            medians = [each[use]["median_m"] for each in same]
            median = "most refused" if None in medians else f"{spread([100 * each for each in medians], 2)} cm"
            seconds = spread([each["seconds"] for each in same], 0)
            print(f"| {percent} % | {'replay' if replay else 'plain'} | {use} | {recall} % | {median} | {seconds} s |")


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation."""
    deviation = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


if __name__ == "__main__":
    main()
