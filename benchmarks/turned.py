"""Photos turned about their viewing axis: how much of what a localizer knows depends on which way is up.

    python benchmarks/turned.py RUN SCENE --section test --out results/turned [--degrees 0 90 180] [--bound 5cm5deg]

Images are turned by whole quarters, so that no pixel is interpolated, and cameras and poses with them, exactly: what
is tested is the localizer alone. Each turn is tested with all methods of the run (`--use auto`) and with predicted
coordinates alone. Writes `turned.json` and prints the table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, tested

from transpose.geometry.poses import Pose
from transpose.geometry.turning import turn, turned_camera
from transpose.scenes.layout import Section, open_section
from transpose.scenes.writer import FrameLabels, SectionWriter


def turned_section(section: Section, scene: Path, degrees: int) -> str:
    """Writes the turned photos, and returns the section's name."""
    name = f"{section.name}_turned{degrees}"
    writer = SectionWriter(scene, name, {"turned": degrees, "of": str(section.path)})
    for frame in section.frames:
        image_hw3 = np.ascontiguousarray(np.rot90(frame.image(), degrees // 90))
        camera, pose = turned_camera(frame.camera, degrees // 90), Pose(frame.pose.T_wc @ turn(degrees // 90))
        writer.add(frame.stem, image_hw3, pose, camera, FrameLabels())
    facts = section.facts
    writer.finish({"source": facts.source}, metric=facts.metric, licence=facts.licence)
    return name


def measure(run: Path, section: Section, out: Path, degrees: int, words: list[str]) -> dict[str, Any]:
    """Both tests of one turn."""
    scene = out / "scene"
    name = turned_section(section, scene, degrees)
    tables = {
        use: tested(run, scene, name, out / f"{name}-{use}", "--use", use, *words) for use in ("auto", "coordinates")
    }
    return {"degrees": degrees, **tables}


def main() -> None:
    """Measures every turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--section", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--degrees", type=int, nargs="+", choices=[0, 90, 180, 270], default=[0, 90, 180])
    parser.add_argument("--bound", default="5cm5deg", help="of recall, as results.json names it")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for transpose test; last")
    arguments = parser.parse_args()
    section, records = open_section(arguments.scene / arguments.section), []
    for degrees in arguments.degrees:
        records.append(measure(arguments.run, section, arguments.out, degrees, arguments.flags))
        content = {"machine": machine(), "run": str(arguments.run), "turns": records}
        (arguments.out / "turned.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"\n{machine()}\n\n| turned by | localized by | {arguments.bound} | median | refused |")
    print("|---|---|---|---|---|")
    for record in records:
        for use in ("auto", "coordinates"):
            print(f"| {record['degrees']} deg | {use} | {line_of(record[use], arguments.bound)} |")


def line_of(table: dict[str, Any], bound: str) -> str:
    """Recall, medians and refusals; a median is null where most were refused."""
    hits = round(table["recall"][bound] * table["frames"])
    known = table["median_m"] is not None
    median = f"{100 * table['median_m']:.1f} cm, {table['median_deg']:.2f} deg" if known else "most refused"
    return f"{hits} of {table['frames']} | {median} | {table['failed']}"


if __name__ == "__main__":
    main()
