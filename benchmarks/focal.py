"""Pose and focal length from correspondences, beside peers that estimate both, on the same problems in one run.

    python benchmarks/focal.py --out results/focal [--problems 50] [--only indoor-0.5 ...] [--straight]

The problems of `solvers.py`, with a focal length to start from that is off by a factor drawn between 1/2 and 2. Ours
takes it as the guess; pycolmap (P4Pf in LO-RANSAC, then bundle adjustment with the focal length) needs none. PoseLib's
Python module estimates no focal length. A success is a pose within 5 cm or 5 m, and 5 deg; one thread.

`--straight` measures instead what is said where the focal length cannot be told: planes seen straight and tilted, and
scenes of little relief, with noise; how far log f is off, what deviation is stated, and the pose's NEES (5.3).
Writes `focal.md` and `focal.json`, or `straight.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from solver_problems import KINDS, THRESHOLD_PX, Problem, from_world, make

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_so3, normalized_error
from transpose.randomness import stream
from transpose.solvers import RansacOptions, solve_pnp

DEFAULT = (
    "indoor-0.5",
    "aerial-0.5",
    "indoor-0.2",
    "aerial-0.2",
    "clustered-0.5",
    "aerial-clustered-0.5",
    "planar-0.5",
)
# Tilt of a plane at 5 m in degrees, and relief as a fraction of the distance.
STRAIGHT = ((0, 0.0), (1, 0.0), (3, 0.0), (8, 0.0), (20, 0.0), (45, 0.0), (0, 0.01), (0, 0.03), (0, 0.1))
Found = tuple[Pose | None, float, float | None]  # pose, focal length in pixels, its relative deviation
Method = Callable[[Problem, Camera], Found]


def ours(refine: str) -> Method:
    def solve(p: Problem, guess: Camera) -> Found:
        covariances = p.covariances_n33 if refine == "ray" else None
        options = RansacOptions(THRESHOLD_PX)
        found = solve_pnp(p.px_n2, p.points_n3, guess, options, covariances, estimate_focal=True)
        return found.pose, found.focal_px or np.nan, found.focal_sigma

    return solve


def colmap(p: Problem, guess: Camera) -> Found:
    import pycolmap

    c = guess
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=c.width, height=c.height, params=[c.fx, c.cx, c.cy])
    search, refinement = pycolmap.AbsolutePoseEstimationOptions(), pycolmap.AbsolutePoseRefinementOptions()
    search.ransac.max_error, search.estimate_focal_length = THRESHOLD_PX, True
    refinement.refine_focal_length = True
    found = pycolmap.estimate_and_refine_absolute_pose(p.px_n2, p.points_n3, camera, search, refinement)
    if found is None:
        return None, np.nan, None
    T_cw = found["cam_from_world"].matrix()
    estimated = found.get("camera", camera)
    return from_world(T_cw[:, :3], T_cw[:, 3]), float(estimated.params[0]), None


def methods() -> dict[str, Method]:
    table = {"ours, pixel": ours("pixel"), "ours, ray": ours("ray")}
    if find_spec("pycolmap"):
        return {**table, "pycolmap": colmap}
    print("pycolmap is left out: it is not installed (pip install 'transpose-loc[sfm]')", file=sys.stderr)
    return table


@dataclass
class Row:
    """What a method reached on one kind of problem; relative focal errors, milliseconds of one thread."""

    problems: str
    method: str
    cpu_ms_median: float
    cpu_ms_95: float
    success: float
    focal_median: float
    focal_95: float
    error_median_m: float
    error_median_deg: float
    stated_rms: float | None  # root mean square of focal errors over stated deviations

    @property
    def line(self) -> str:
        scale, unit = (1, "m") if self.problems.startswith("aerial") else (100, "cm")
        stated = "" if self.stated_rms is None else f"{self.stated_rms:.2f}"
        return (
            f"| {self.problems} | {self.method} | {self.cpu_ms_median:.1f} / {self.cpu_ms_95:.1f} "
            f"| {100 * self.success:.0f} % | {100 * self.focal_median:.2f} / {100 * self.focal_95:.2f} % "
            f"| {scale * self.error_median_m:.2f} {unit}, {self.error_median_deg:.3f} deg | {stated} |"
        )


HEAD = "| problems | method | CPU ms, median, 95 % | success | focal length off, median, 95 % | pose | off / stated |"


def measure(name: str, problems: list[Problem], method: str, solve: Method) -> Row:
    """Solves all problems one by one; the first once more beforehand, so that no method pays for loading."""
    guesses = [p.camera.zoomed(2 ** stream(i, "focal guess").uniform(-1, 1)) for i, p in enumerate(problems)]
    solve(problems[0], guesses[0])
    times, errors, off, stated = [], [], [], []
    for p, guess in zip(problems, guesses, strict=True):
        started = time.process_time()
        pose, focal_px, sigma = solve(p, guess)
        times.append(1000 * (time.process_time() - started))
        errors.append(pose_error(pose, p.truth))
        off.append(abs(focal_px / p.camera.fx - 1) if np.isfinite(focal_px) else np.inf)
        stated += [off[-1] / sigma] if sigma else []
    degrees_k, metres_k = np.array(errors).T
    return Row(
        name,
        method,
        float(np.median(times)),
        float(np.percentile(times, 95)),
        float(((degrees_k < 5) & (metres_k < problems[0].bound_m)).mean()),
        float(np.median(off)),
        float(np.percentile(off, 95, method="higher")),
        float(np.median(metres_k)),
        float(np.median(degrees_k)),
        float(np.sqrt(np.mean(np.square(stated)))) if stated else None,
    )


def straight(tilt_deg: float, relief: float, points: int, noise_px: float, seed: int) -> Problem:
    """A plane at 5 m, turned by so many degrees, with depths that scatter about it; a third of the matches is wrong."""
    rng = stream(seed, "plane", str(tilt_deg), str(relief))
    camera = Camera.from_focal(500.0, 640, 480)
    px_n2, turn = rng.uniform((0, 0), (640, 480), (points, 2)), rng.uniform(0, 2 * np.pi)
    across = np.sin(np.deg2rad(tilt_deg))
    normal_3 = np.array([across * np.cos(turn), across * np.sin(turn), np.cos(np.deg2rad(tilt_deg))])
    rays_n3 = camera.unproject(px_n2)
    z_n = 5 * normal_3[2] / (rays_n3 @ normal_3) * (1 + relief * rng.standard_normal(points))
    T_wc = np.eye(4)
    T_wc[:3, :3], T_wc[:3, 3] = exp_so3(rng.normal(0, 1, 3)), rng.uniform(-2, 2, 3)
    points_n3 = rays_n3 * z_n[:, None] @ T_wc[:3, :3].T + T_wc[:3, 3]
    px_n2 = px_n2 + noise_px * rng.standard_normal(px_n2.shape)
    good_n = rng.random(points) > 1 / 3
    px_n2[~good_n] = rng.uniform((0, 0), (640, 480), (int((~good_n).sum()), 2))
    return Problem(px_n2, points_n3, camera, Pose(T_wc), good_n, 0.0, 0.05)


def measure_straight(count: int) -> list[str]:
    """A Markdown table: what is stated of focal lengths that the image hardly tells."""
    lines = [
        "| points, noise | tilt | relief | off in log f, median / worst | stated, median / least | worst off / stated "
    ]
    lines[0] += "| NEES, median | no pose | CPU ms |"
    lines.append("|" + "---|" * 9)
    for points, noise_px in ((60, 1.0), (300, 1.0), (2000, 3.0)):
        for tilt, relief in STRAIGHT:
            off, stated, nees, times, refused = [], [], [], [], 0
            for seed in range(count):
                p = straight(tilt, relief, points, noise_px, seed)
                guess = p.camera.zoomed(2 ** stream(seed, "focal guess").uniform(-1, 1))
                started = time.process_time()
                found = solve_pnp(p.px_n2, p.points_n3, guess, RansacOptions(6.0), estimate_focal=True)
                times.append(1000 * (time.process_time() - started))
                if found.pose is None or found.focal_px is None or found.focal_sigma is None:
                    refused += 1
                    continue
                off.append(abs(np.log(found.focal_px / p.camera.fx)))
                stated.append(found.focal_sigma)
                nees.append(normalized_error(found.pose, p.truth, found.covariance_66))
            lines.append(
                f"| {points}, {noise_px} px | {tilt} deg | {100 * relief:.0f} % "
                f"| {np.median(off):.4f} / {max(off):.3f} "
                f"| {np.median(stated):.4f} / {min(stated):.4f} | {max(np.divide(off, stated)):.1f} "
                f"| {np.median(nees):.1f} | {refused} of {count} | {np.median(times):.0f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(DEFAULT))
    parser.add_argument("--straight", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.straight:
        text = "\n".join(measure_straight(args.problems)) + "\n"
        (args.out / "straight.md").write_text(text, encoding="utf-8")
        print(text)
        return
    rows = []
    for name in args.only:
        problems = [make(*KINDS[name], seed) for seed in range(args.problems)]
        for method, solve in methods().items():
            rows.append(measure(name, problems, method, solve))
            print(rows[-1].line, file=sys.stderr, flush=True)
    text = "\n".join([HEAD, "|---|---|---|---|---|---|---|", *(row.line for row in rows)]) + "\n"
    (args.out / "focal.md").write_text(text, encoding="utf-8")
    (args.out / "focal.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
