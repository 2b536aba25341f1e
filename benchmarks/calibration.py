"""Whether the camera explains what is wrong with all poses of a section alike.

    python benchmarks/calibration.py RUN SCENE/SECTION --out results/calibration [--first 0] [--last 699]

Every other frame of the section calibrates the camera, as `transpose calibrate` does, and the frames between them are
localized twice: with the camera that the section has, and with the calibrated one. What is printed and written
(`calibration.json`, `camera.json`) is the mean shift of the camera from where it is, in its own axes (right, down,
ahead) and in the world's, with its standard error, as well as the median error. Then the focal length is withheld: the
same frames are localized from a focal length that is off by each of `--guesses`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stages import machine

from transpose.app.console import progress
from transpose.app.services.calibrating import Start, as_json, calibrated
from transpose.geometry import Camera, pose_error
from transpose.geometry.poses import normalized_error
from transpose.localization import Localizer, Query, load
from transpose.localization.query import UNKNOWN_FOCAL
from transpose.scenes.layout import Frame, open_section
from transpose.storage import write_json

NEES_90 = 10.645  # of chi-squared with 6 degrees of freedom


def measured(localizer: Localizer, frames: list[Frame], queries: list[Query], bound_m: float) -> dict[str, Any]:
    """Errors of frames, in metres and degrees; shifts are those of the estimate from the truth."""
    errors, own, world, nees, focal = [], [], [], [], []
    for frame, query in zip(frames, queries, strict=True):
        found = localizer.localize_query(query)
        errors.append(pose_error(found.pose, frame.pose)[::-1])
        if found.pose is None or found.camera is None:
            continue
        shift_3 = found.pose.center - frame.pose.center
        own.append(frame.pose.R_wc.T @ shift_3)
        world.append(shift_3)
        nees.append(normalized_error(found.pose, frame.pose, found.covariance_66))
        focal.append(found.camera.fx / frame.camera.fx - 1)
    metres_k, degrees_k = np.array(errors).T
    return {
        "frames": len(frames),
        "within": int(((metres_k < bound_m) & (degrees_k < 5)).sum()),
        "placed": len(own),
        "in_90": float(np.mean(np.array(nees) < NEES_90)),
        "most_m": float(metres_k[np.isfinite(metres_k)].max(initial=0.0)),
        "median_m": float(np.median(metres_k)),
        "median_deg": float(np.median(degrees_k)),
        "median_nees": float(np.median(nees)),
        "focal_off_median": float(np.median(np.abs(focal))),
        "focal_mean": float(np.mean(focal)),
        "shift_own_cm": (100 * np.mean(own, 0)).tolist(),
        "shift_world_cm": (100 * np.mean(world, 0)).tolist(),
        "standard_error_cm": float(100 * np.std(own, 0).max() / len(own) ** 0.5),
    }


def line(name: str, row: dict[str, Any]) -> str:
    own, world = (", ".join(f"{each:+.2f}" for each in row[key]) for key in ("shift_own_cm", "shift_world_cm"))
    return (
        f"| {name} | {row['placed']} | {row['within']} of {row['frames']} | {100 * row['median_m']:.2f} cm, "
        f"{row['median_deg']:.2f} deg | {100 * row['most_m']:.0f} cm | {own} (+- {row['standard_error_cm']:.2f}) "
        f"| {world} | {row['median_nees']:.1f} | {100 * row['in_90']:.0f} % | {100 * row['focal_off_median']:.2f} % |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("section", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bound", type=float, default=0.05, help="metres; within it and 5 degrees, poses are counted")
    parser.add_argument("--first", type=int, default=0, help="number in the name of the first frame")
    parser.add_argument("--last", type=int, help="likewise, of the last one; all by default")
    parser.add_argument("--no-calibration", action="store_true", help="withhold the focal length alone, on all frames")
    parser.add_argument("--guesses", type=float, nargs="*", default=[0.6, 1.0, 1.6])
    args = parser.parse_args()
    torch.set_num_threads(1)
    localizer = load(args.run)
    section = open_section(args.section)
    numbers = [int("".join(filter(str.isdigit, f.stem)) or 0) for f in section.frames]
    last = max(numbers) if args.last is None else args.last
    frames = [f for f, number in zip(section.frames, numbers, strict=True) if args.first <= number <= last]
    given = frames[0].camera
    held_out = frames if args.no_calibration else frames[1::2]

    def row_of(queries: list[Query]) -> dict[str, Any]:
        return measured(localizer, held_out, queries, args.bound)

    rows = {"the section's camera": row_of([Query(f.image(), given) for f in held_out])}
    content: dict[str, Any] = {"machine": machine(), "run": str(args.run), "section": str(args.section)}
    if not args.no_calibration:
        photos = [next((args.section / "rgb").glob(f"{f.stem}.*")) for f in frames[::2]]
        found, used = calibrated(localizer, photos, Start(focal_px=given.fx), progress)
        args.out.mkdir(parents=True, exist_ok=True)
        content["calibration"] = as_json(found, len(used))
        write_json(args.out / "camera.json", content["calibration"])
        for name, camera in cameras(found.camera, given).items():
            rows[name] = row_of([Query(f.image(), camera) for f in held_out])
    for guess in args.guesses:
        queries = [Query(f.image(), given.zoomed(guess), "estimated", UNKNOWN_FOCAL) for f in held_out]
        rows[f"focal length withheld, guess {guess:g} times it"] = row_of(queries)
    content["rows"] = rows
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "calibration.json", content)
    print(json.dumps(content.get("calibration", {}), indent=1))
    print(
        f"| camera | placed | within {args.bound:g} m 5 deg | median | most | right, down, ahead, cm "
        "| in the world, cm | NEES | in the 90 % ellipsoid | focal length off |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(line(name, row) for name, row in rows.items()))


def cameras(found: Camera | None, given: Camera) -> dict[str, Camera]:
    """The calibrated camera, and parts of it."""
    assert found is not None
    return {
        "calibrated": found,
        "its focal length alone": replace(given, fx=found.fx, fy=found.fy),
        "its principal point alone": replace(given, cx=found.cx, cy=found.cy),
    }


if __name__ == "__main__":
    main()
