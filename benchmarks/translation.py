"""Does it pay to translate renders into the looks of photos? `fast` on translated renders against `fast` on renders.

    python benchmarks/translation.py --place kitchen --source ../shared/data/kitchen --out results/translation
    python benchmarks/translation.py --place village --out results/translation
    [--seeds 0 1 2] [--views 960] [--method cut] [--steps N] [--train-steps 3500]

kitchen: renders of the scan of a room; photos are those that the scan was made of, the test is photos of a stretch that
nothing has seen. village: renders of the village; photos are views of a later day with the looks of a camera's, and the
test another flight of that day. The translation sees no pose and no label of the photos. Writes `PLACE.json` and prints
a table, a line for each seed and training set, with how far keypoints moved in translation. Test photos are used for
the last figure alone. The defaults take hours on two cores; whether all works shows
--seeds 0 --views 200 --steps 300 --train-steps 1500.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from stages import machine, run, tested

_LOW = ("--above", 30, 45, "--yaw", -15, 15, "--pitch", -90, -65, "--margin", 0.3)  # the demo's flights
_VILLAGE_PHOTOS, _VILLAGE_TEST = 150, 60


@dataclass(frozen=True)
class Place:
    """A scene with photos to take the looks from, and photos to test on."""

    scene: Path
    world: Path
    viewpoints: tuple[object, ...]

    def render(self, section: str, views: int, seed: int) -> float:
        """Views of the world to learn from."""
        words = ("--views", views, *self.viewpoints, "--seed", seed)
        return run("render", self.world, "--out", self.scene / section, *words)


def kitchen(out: Path, source: Path | None) -> Place:
    """Photos of the first part of a sequence, with SfM poses; their depth makes the world."""
    scene, world = out / "datasets" / "kitchen", out / "worlds" / "kitchen"
    if not (scene / "test").exists():
        if source is None:
            raise SystemExit("--place kitchen needs --source, 7-Scenes RedKitchen in its raw layout")
        run("setup", "7scenes", "--source", source, "--poses", source / "pgt_sfm.txt", "--out", scene)
    run("build", "rgbd", scene / "train", "--out", world)
    return Place(scene, world, ("--viewpoints", f"near:{scene / 'train'}"))


def village(out: Path, source: Path | None) -> Place:
    """Photos of the village some months later, so that nobody learns by heart what was there."""
    scene, world, later = out / "datasets" / "village", out / "worlds" / "village", out / "worlds" / "village_later"
    run("build", "village", "--out", world)
    run("build", "village", "--out", later, "--season", "autumn")
    for section, views, kind, seed in (("train", _VILLAGE_PHOTOS, "lhs", 7), ("test", _VILLAGE_TEST, "flight", 0)):
        words = ("--views", views, "--viewpoints", kind, "--appearance", "photo", "--seed", seed)
        run("render", later, "--out", scene / section, *words, *_LOW)
    return Place(scene, world, _LOW)


PLACES = {"kitchen": kitchen, "village": village}


def measure(place: Place, out: Path, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Both training sets with one seed."""
    sim = f"train_sim_{seed}"
    made = f"{sim}_{options.method}"
    model = out / "runs" / f"{options.place}-{options.method}-{seed}"
    seconds = {"render": place.render(sim, options.views, seed)}
    words = ("--a", sim, "--b", "train", "--method", options.method, "--out", model, "--seed", seed)
    steps = () if options.steps is None else ("--steps", options.steps)
    seconds["translate"] = run("translate", place.scene, *words, *steps, "--overwrite")
    seconds["apply"] = run("translate", model, "--apply", place.scene / sim, "--into", made, "--overwrite")
    facts = json.loads((place.scene / made / "section.json").read_text(encoding="utf-8"))
    record: dict[str, object] = {"seed": seed, "seconds": seconds, "geometry": facts["translated"]["geometry"]}
    for name, section in {"renders": sim, "translated": made}.items():
        localizer = out / "runs" / f"{options.place}-{name}-{seed}"
        words = ("--sections", section, "--out", localizer, "--seed", seed, "--steps", options.train_steps)
        seconds[f"train {name}"] = run("train", place.scene, *words, "--overwrite")
        results = out / "results" / f"{options.place}-{name}-{seed}"
        record[name] = tested(localizer, place.scene, "test", results)
    return record


def print_table(place: str, records: list[dict]) -> None:
    """Markdown, a line for each seed and training set."""
    print(f"\n{machine()}\n\n| {place}, trained on | seed | median | recall | refused | keypoints moved, median |")
    print("|---|---|---|---|---|---|")
    bound = "5cm5deg" if place == "kitchen" else "50cm5deg"
    for record in records:
        for name in ("renders", "translated"):
            table = record[name]
            found = f"{round(table['recall'][bound] * table['frames'])} of {table['frames']} within {bound}"
            median = (
                "none"
                if table["median_m"] is None
                else f"{100 * table['median_m']:.1f} cm, {table['median_deg']:.2f} deg"
            )
            moved = record["geometry"]["median_px"] if name == "translated" else 0.0
            print(
                f"| {name} | {record['seed']} | {median} | {found} | {table['failed']} "
                f"| {'unknown' if moved is None else f'{moved:.2f} px'} |"
            )


def main() -> None:
    """Measures every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", choices=sorted(PLACES), required=True)
    parser.add_argument("--source", type=Path, help="7-Scenes RedKitchen in its raw layout (kitchen)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--views", type=int, default=960, help="renders that are learned from")
    parser.add_argument("--method", default="cut")
    parser.add_argument("--steps", type=int, help="of the translation; its own number by default")
    parser.add_argument("--train-steps", type=int, default=3500, help="of the localizers")
    options = parser.parse_args()
    place, records = PLACES[options.place](options.out, options.source), []
    for seed in options.seeds:
        records.append(measure(place, options.out, seed, options))
        text = json.dumps({"machine": machine(), "options": vars(options), "seeds": records}, indent=2, default=str)
        (options.out / f"{options.place}.json").write_text(text + "\n", encoding="utf-8")
    print_table(options.place, records)


if __name__ == "__main__":
    main()
