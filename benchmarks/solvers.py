"""The pose solvers beside their peers, on the same problems in one run.

    python benchmarks/solvers.py --out results/solvers [--problems 50] [--threads 1 2] [--only indoor-0.5 ...]

Synthetic coordinate maps, one correspondence a stride-8 cell: `indoor` (640x480, f 525, depth 1-4 m, noise 2 cm) and
`aerial` (720x480, f 480, depth 150-400 m, noise 1.5 m), the depth of every cell drawn alone. Outliers are uniform in
the box of the view's coordinates; in `clustered` and `aerial-clustered`, blocks of 6x6 cells are moved together
instead, as a network errs; in `planar`, all points lie on one slanted plane. The threshold is 10 px for all. Errors are
distances of camera centres; a success lies within 5 cm or 5 m, and 5 deg.

CPU time is that of the process over all threads; compare ratios, absolute times drift on shared machines. Ours runs on
pixel error as its peers do, and on the distance to the ray with the noise given as covariances, which they cannot use.
The oracle sees the true inliers alone: what no search can beat with that residual. Writes `solvers.md`,
`solvers.json` and `solvers.png`; OpenCV, PoseLib and pycolmap take part where they are installed.
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

from transpose.geometry import Pose, pose_error
from transpose.geometry.poses import normalized_error
from transpose.randomness import stream
from transpose.solvers import PoseEstimate, RansacOptions, RigidOptions, solve_pnp, solve_pnp_batch, solve_rigid


def ours(refine: str) -> Callable[[Problem], PoseEstimate]:
    def solve(p: Problem) -> PoseEstimate:
        covariances = p.covariances_n33 if refine == "ray" else None
        return solve_pnp(p.px_n2, p.points_n3, p.camera, RansacOptions(THRESHOLD_PX), covariances)

    return solve


def oracle(p: Problem) -> PoseEstimate:
    options = RansacOptions(5 * THRESHOLD_PX)
    return solve_pnp(p.px_n2[p.good_n], p.points_n3[p.good_n], p.camera, options, p.covariances_n33[p.good_n])


def poselib_with(min_iterations: int) -> Callable[[Problem], Pose]:
    def solve(p: Problem) -> Pose:
        import poselib

        c = p.camera
        pinhole = {"model": "PINHOLE", "width": c.width, "height": c.height, "params": [c.fx, c.fy, c.cx, c.cy]}
        options = {"max_reproj_error": THRESHOLD_PX, "min_iterations": min_iterations}
        found, _ = poselib.estimate_absolute_pose(p.px_n2, p.points_n3, pinhole, options, {})
        return from_world(found.R, found.t)

    return solve


def opencv(p: Problem) -> Pose | None:
    import cv2

    usac = cv2.UsacParams()
    usac.threshold, usac.confidence, usac.maxIterations, usac.randomGeneratorState = THRESHOLD_PX, 0.9999, 10_000, 0
    usac.score, usac.sampler = cv2.SCORE_METHOD_MAGSAC, cv2.SAMPLING_UNIFORM
    usac.loMethod, usac.loIterations, usac.loSampleSize = cv2.LOCAL_OPTIM_SIGMA, 10, 50
    K = p.camera.K_33
    found, _, rotation, t, inliers = cv2.solvePnPRansac(p.points_n3, p.px_n2, K, None, params=usac)
    if not found or inliers is None or len(inliers) < 4:
        return None
    keep = inliers[:, 0]
    rotation, t = cv2.solvePnPRefineLM(p.points_n3[keep], p.px_n2[keep], K, None, rotation, t)
    return from_world(cv2.Rodrigues(rotation)[0], t)


def colmap(p: Problem) -> Pose | None:
    import pycolmap

    c = p.camera
    pinhole = pycolmap.Camera(model="PINHOLE", width=c.width, height=c.height, params=[c.fx, c.fy, c.cx, c.cy])
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = THRESHOLD_PX
    found = pycolmap.estimate_and_refine_absolute_pose(p.px_n2, p.points_n3, pinhole, options)
    if found is None:
        return None
    T_cw = found["cam_from_world"].matrix()
    return from_world(T_cw[:, :3], T_cw[:, 3])


Method = Callable[[Problem], "PoseEstimate | Pose | None"]


def methods() -> dict[str, Method]:
    table: dict[str, Method] = {"ours, pixel": ours("pixel"), "ours, ray": ours("ray"), "oracle, ray": oracle}
    peers: list[tuple[str, str, Method]] = [
        ("poselib", "PoseLib", poselib_with(1000)),
        ("poselib", "PoseLib, min_iterations 100", poselib_with(100)),
        ("cv2", "OpenCV MAGSAC + LM", opencv),
        ("pycolmap", "pycolmap", colmap),
    ]
    for module, name, solve in peers:
        if find_spec(module):
            table[name] = solve
        else:
            print(
                f"{name} is left out: {module} is not installed (pip install transpose-loc[dev,sfm])", file=sys.stderr
            )
    return table


@dataclass
class Row:
    """What a method reached on one kind of problem with one number of threads; metres, milliseconds."""

    problems: str
    method: str
    threads: int
    cpu_ms_median: float
    cpu_ms_95: float
    success: float
    error_median_m: float
    error_95_m: float
    error_median_deg: float
    nees_median: float | None = None


def measure(name: str, problems: list[Problem], method: str, solve: Method, threads: int) -> Row:
    """Solves all problems one by one; the first once more beforehand, so that no method pays for loading."""
    solve(problems[0])
    times, errors, nees = [], [], []
    for p in problems:
        started = time.process_time()
        found = solve(p)
        times.append(1000 * (time.process_time() - started))
        pose = found.pose if isinstance(found, PoseEstimate) else found
        errors.append(pose_error(pose, p.truth))
        if isinstance(found, PoseEstimate) and found.pose is not None and "ray" in method:
            nees.append(normalized_error(found.pose, p.truth, found.covariance_66))
    degrees_k, metres_k = np.array(errors).T
    success = float(((degrees_k < 5) & (metres_k < problems[0].bound_m)).mean())
    return Row(
        name, method, threads, float(np.median(times)), float(np.percentile(times, 95)), success,
        float(np.median(metres_k)), float(np.percentile(metres_k, 95, method="higher")), float(np.median(degrees_k)),
        float(np.median(nees)) if nees else None,
    )  # fmt: skip


def measure_batch(kind: str, threads: int, images: int = 32) -> str:
    problems = [make(kind, 0.5, seed) for seed in range(images)]
    px_bn2, points_bn3 = (np.stack([getattr(p, f) for p in problems]) for f in ("px_n2", "points_n3"))
    times = []
    for _ in range(5):
        started = time.process_time()
        solve_pnp_batch(px_bn2, points_bn3, problems[0].camera, RansacOptions(THRESHOLD_PX))
        times.append(1000 * (time.process_time() - started) / images)
    return f"{images} {kind} images at once, inliers 0.5, {threads} thread(s): {np.median(times):.2f} CPU ms an image"


def measure_rigid(count: int, threads: int) -> str:
    times, errors = [], []
    for seed in range(count + 1):
        p = make("indoor", 0.5, seed)
        depth_n1 = stream(seed, "rgbd depth").uniform(1, 4, (len(p.px_n2), 1))
        camera_n3 = p.camera.unproject(p.px_n2) * depth_n1
        world_n3 = camera_n3 @ p.truth.R_wc.T + p.truth.center
        world_n3 += p.sigma_m * stream(seed, "rgbd noise").standard_normal(world_n3.shape)
        world_n3[~p.good_n] = p.points_n3[~p.good_n]
        started = time.process_time()
        estimate = solve_rigid(camera_n3, world_n3, RigidOptions())
        times.append(1000 * (time.process_time() - started))
        errors.append(pose_error(estimate.pose, p.truth)[1])
    return (
        f"solve_rigid, 4800 points, inliers 0.5, {threads} thread(s): {np.median(times[1:]):.1f} CPU ms, "
        f"median error {1000 * np.median(errors[1:]):.2f} mm, worst {1000 * max(errors[1:]):.2f} mm"
    )


def markdown(rows: list[Row], notes: list[str]) -> str:
    lines = ["| problems | method | threads | CPU ms, median / 95 % | success | error, median / 95 % | NEES |"]
    lines.append("|---|---|---|---|---|---|---|")
    for r in rows:
        scale, unit = (1, "m") if r.problems.startswith("aerial") else (100, "cm")
        nees = "" if r.nees_median is None else f"{r.nees_median:.2f}"
        lines.append(
            f"| {r.problems} | {r.method} | {r.threads} | {r.cpu_ms_median:.1f} / {r.cpu_ms_95:.1f} "
            f"| {100 * r.success:.0f} % | {scale * r.error_median_m:.3f} / {scale * r.error_95_m:.3f} {unit} | {nees} |"
        )
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)]) + "\n"


def plot(rows: list[Row], path: Path) -> None:
    """Time against error, a panel for each kind of problem, one thread."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

    fewest = min(r.threads for r in rows)
    rows = [r for r in rows if r.threads == fewest and r.method != "oracle, ray"]
    kinds = list(dict.fromkeys(r.problems for r in rows))
    columns = min(4, len(kinds))
    grid = (-(-len(kinds) // columns), columns)
    figure, axes = plt.subplots(*grid, figsize=(4 * columns, 3.2 * grid[0]), squeeze=False)
    names = list(dict.fromkeys(r.method for r in rows))
    for axis, kind in zip(axes.flat, kinds, strict=False):
        for r in (r for r in rows if r.problems == kind):
            color = f"C{names.index(r.method)}"
            faint = r.success < 0.99
            axis.loglog(r.cpu_ms_median, r.error_median_m, "x" if faint else "o", color=color, label=r.method)
        axis.set(title=kind, xlabel="CPU ms", ylabel="median error, m")
        axis.grid(alpha=0.3, which="both")
        axis.xaxis.set_major_locator(FixedLocator([5, 10, 20, 50, 100, 200, 500, 1000]))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, title="cross: fails on 1 % or more")
    figure.tight_layout(rect=(0, 0.9 / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--methods", nargs="+", help="names as in the table; all without it")
    args = parser.parse_args()
    table = {name: solve for name, solve in methods().items() if not args.methods or name in args.methods}
    rows, notes = [], []
    for threads in args.threads:
        torch.set_num_threads(threads)
        if find_spec("cv2"):
            import cv2

            cv2.setNumThreads(threads)
        for name in args.only:
            problems = [make(*KINDS[name], seed) for seed in range(args.problems)]
            for method, solve in table.items():
                rows.append(measure(name, problems, method, solve, threads))
                print(rows[-1], file=sys.stderr, flush=True)
        notes += [measure_batch(kind, threads) for kind in ("indoor", "aerial")] + [measure_rigid(20, threads)]
    args.out.mkdir(parents=True, exist_ok=True)
    text = markdown(rows, notes)
    (args.out / "solvers.md").write_text(text, encoding="utf-8")
    (args.out / "solvers.json").write_text(json.dumps([asdict(r) for r in rows], indent=1), encoding="utf-8")
    plot(rows, args.out / "solvers.png")
    print(text)


if __name__ == "__main__":
    main()
