"""Does a sequence know more than its frames? Single frames beside the filter and the smoother.

    python benchmarks/sequence.py --synthetic [--seeds 10] [--frames 120]
    python benchmarks/sequence.py --run runs/village --scene datasets/village --section test_flight
        [--every 2] [--use coordinates]

Synthetic: a drone flies 1 m a frame at 40 m, swaying smoothly; its poses have errors of about 0.2 m and 0.2 deg with
known, correlated and changing covariances. With a run: the frames of a section in the order of their stems, as if taken
at equal intervals; `--every` takes every n-th. `--gap` hides so many frames of every ten from all methods, to show what
bridging is worth.

What a section says of its truth's own error is added to the covariances. NEES is exact at 5.35, and 90 % of the true
poses should lie in the 90 % ellipsoid. Errors count missing poses as infinite.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.evaluation.metrics import FrameResult
from transpose.geometry.poses import Pose, compose, exp_se3, exp_so3, invert, log_se3
from transpose.localization import SequenceFilter, load, smooth
from transpose.losses.calibration import chi2_quantile
from transpose.randomness import stream
from transpose.scenes.layout import open_section
from transpose.scenes.truth_error import TruthError
from transpose.solvers import PoseEstimate

CHI2_6_90 = chi2_quantile(0.9, 6)
NO_POSE = PoseEstimate(None, "no_consensus", np.zeros(0, bool))


@dataclass(frozen=True)
class Errors:
    """What simulated frames suffer.

    Attributes:
        shared: fraction of the covariance that goes from frame to frame.
        memory: frames over which it fades; infinite: it stays.
        wrong: share of frames whose pose is anywhere.
        unseen: frames without a pose, as ranges.
        sway_rate: how many times as fast the drone sways.
    """

    shared: float = 0.0
    memory: float = np.inf
    wrong: float = 0.0
    unseen: tuple[tuple[int, int], ...] = ()
    sway_rate: float = 1.0


CASES = {
    "independent errors": Errors(),
    "half shared for good": Errors(shared=0.5),
    "half shared over 5 frames": Errors(shared=0.5, memory=5),
    "four fifths shared over 5 frames": Errors(shared=0.8, memory=5),
    "four fifths shared over 20 frames": Errors(shared=0.8, memory=20),
    "10 % wrong, four fifths shared over 5": Errors(shared=0.8, memory=5, wrong=0.1),
    "gaps of 3 and 20 frames, half shared": Errors(shared=0.5, unseen=((40, 43), (80, 100))),
    "swaying four times as fast, independent": Errors(sway_rate=4.0),
}


def flight(seed: int, frames: int, sway_rate: float) -> np.ndarray:
    """Poses T_wc (frames, 4, 4) of a drone that looks down and ahead."""
    rng, t_n1 = stream(seed, "flight"), np.arange(frames)[:, None]

    def sway(far: float, near: float, periods: tuple[float, float]) -> np.ndarray:
        phase_23 = rng.uniform(0, 2 * np.pi, (2, 3))
        slow, fast = (np.sin(2 * np.pi * sway_rate * t_n1 / periods[i] + phase_23[i]) for i in (0, 1))
        return far * slow + near * fast

    center_n3 = np.concatenate([1.0 * t_n1, 0 * t_n1, 40 + 0 * t_n1], 1) + sway(4.0, 1.0, (80, 31))
    return compose(exp_so3(np.radians(sway(6.0, 2.0, (70, 29)))) @ exp_so3(np.array([0.9 * np.pi, 0, 0])), center_n3)


def simulated(seed: int, frames: int, errors: Errors) -> tuple[list[Pose], list[PoseEstimate]]:
    """True poses, and a localizer's estimates."""
    truth_n44, rng = flight(seed, frames, errors.sway_rate), stream(seed, "errors")
    mixing_66 = np.eye(6) + 0.35 * rng.standard_normal((6, 6))
    mixing_66 /= np.linalg.norm(mixing_66, axis=1, keepdims=True)
    sigma_6 = np.array([np.radians(0.15)] * 3 + [0.12] * 3)
    factor_n66 = np.exp(0.4 * rng.standard_normal((frames, 1, 1))) * (sigma_6[:, None] * mixing_66)
    keeps, shared_6, estimates = np.exp(-1 / errors.memory), rng.standard_normal(6), []
    for frame, (T_wc, factor_66) in enumerate(zip(truth_n44, factor_n66, strict=True)):
        shared_6 = keeps * shared_6 + np.sqrt(1 - keeps**2) * rng.standard_normal(6)
        white_6 = rng.standard_normal(6)
        xi_6 = factor_66 @ (np.sqrt(errors.shared) * shared_6 + np.sqrt(1 - errors.shared) * white_6)
        T_seen = T_wc @ invert(exp_se3(xi_6))
        anywhere_6 = rng.normal(0, [0.3] * 3 + [5.0] * 3)
        if rng.random() < errors.wrong:
            T_seen = T_seen @ exp_se3(anywhere_6)
        seen = PoseEstimate(Pose(T_seen), "ok", np.ones(100, bool), 0.5, 100, factor_66 @ factor_66.T)
        estimates.append(NO_POSE if any(a <= frame < b for a, b in errors.unseen) else seen)
    return [Pose(T_wc) for T_wc in truth_n44], estimates


def answers(estimates: Sequence[PoseEstimate]) -> dict[str, list[PoseEstimate]]:
    """The poses of each method."""
    forward = SequenceFilter()
    return {
        "single frames": list(estimates),
        "filter": [forward.update(estimate) for estimate in estimates],
        "smoother": smooth(estimates),
    }


def row(name: str, results: list[FrameResult]) -> str:
    """One method's Markdown row."""
    degrees_n, metres_n = np.array([result.error for result in results]).T
    nees_n = np.array([result.nees for result in results])
    nees_n = nees_n[np.isfinite(nees_n)]
    counts = Counter(result.estimate.reason for result in results if result.estimate.reason != "ok")
    median_m, most_m = (np.quantile(metres_n, q, method="higher") for q in (0.5, 0.95))
    median_deg, most_deg = (np.quantile(degrees_n, q, method="higher") for q in (0.5, 0.95))
    bridged_n = np.array([r.nees for r in results if r.estimate.reason in ("predicted", "outlier")])
    bridged = (
        f"{np.median(bridged_n):.1f}, {(bridged_n < CHI2_6_90).mean():.0%} of {len(bridged_n)}"
        if len(bridged_n)
        else ""
    )
    return (
        f"| {name} | {median_m:.4g} m, {median_deg:.3g} deg | {most_m:.3g} m, {most_deg:.3g} deg "
        f"| {np.median(nees_n):.1f} | {(nees_n < CHI2_6_90).mean():.0%} | {bridged} "
        f"| {', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))} |"
    )


HEAD = (
    "| | median | 95 % | NEES | in the 90 % ellipsoid | bridged: NEES, in the ellipsoid | not ok |\n" + "|---" * 7 + "|"
)


def compared(
    sequences: Sequence[tuple[Sequence[Pose], Sequence[PoseEstimate]]], truth_error: TruthError | None = None
) -> list[str]:
    """A row for each method over all sequences, whose truth may itself be off."""
    results: dict[str, list[FrameResult]] = {}
    for truth, estimates in sequences:
        for method, said in answers(estimates).items():
            results.setdefault(method, []).extend(
                FrameResult(str(i), *pair, 0.0, truth_error=truth_error)
                for i, pair in enumerate(zip(truth, said, strict=True))
            )
    return [row(method, found) for method, found in results.items()]


def hidden(estimates: Sequence[PoseEstimate], gap: int) -> list[PoseEstimate]:
    """The estimates without `gap` of every ten."""
    return [NO_POSE if index % 10 >= 10 - gap else estimate for index, estimate in enumerate(estimates)]


def facts(truth: Sequence[Pose], estimates: Sequence[PoseEstimate]) -> str:
    """What decides whether a sequence helps: how far constant velocity goes, and the correlation of errors."""
    T_n44 = np.array([pose.T_wc for pose in truth])
    step_n6 = log_se3(invert(T_n44[:-1]) @ T_n44[1:])
    turned_n3 = np.diff(step_n6[:, :3], axis=0)
    moved_n3 = T_n44[2:, :3, 3] - 2 * T_n44[1:-1, :3, 3] + T_n44[:-2, :3, 3]
    whitened = [
        np.linalg.solve(np.linalg.cholesky(e.covariance_66), log_se3(invert(e.pose.T_wc) @ pose.T_wc))
        for pose, e in zip(truth, estimates, strict=True)
        if e.pose is not None and e.covariance_66 is not None
    ]
    error_n6 = np.array(whitened)
    correlation = [(error_n6[lag:] * error_n6[:-lag]).sum(1).mean() / (error_n6**2).sum(1).mean() for lag in (1, 5)]
    return (
        f"{len(truth)} frames; from one to the next {np.median(np.linalg.norm(step_n6[:, 3:], axis=1)):.3g} m, "
        f"{np.degrees(np.median(np.linalg.norm(step_n6[:, :3], axis=1))):.3g} deg, of which constant velocity does not "
        f"foresee {np.median(np.linalg.norm(moved_n3, axis=1)):.2g} m, "
        f"{np.degrees(np.median(np.linalg.norm(turned_n3, axis=1))):.2g} deg (medians); "
        f"correlation of errors over 1 frame {correlation[0]:.2f}, over 5 {correlation[1]:.2f}"
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--section")
    parser.add_argument("--use", choices=("auto", "landmarks", "coordinates"), default="auto", help="for --run")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--gap", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.synthetic:
        for name, errors in CASES.items():
            sequences = [simulated(seed, arguments.frames, errors) for seed in range(arguments.seeds)]
            print(f"\n{name}\n\n{HEAD}", *compared(sequences), sep="\n", flush=True)
        return
    if not (arguments.run and arguments.scene and arguments.section):
        parser.error("give --run, --scene and --section, or --synthetic")
    localizer = load(arguments.run, use=arguments.use)
    section = open_section(arguments.scene / arguments.section)
    frames = section.frames[:: arguments.every]
    truth = [frame.pose for frame in frames]
    estimates = [localizer.localize(frame.image(), frame.camera) for frame in frames]
    print(facts(truth, estimates))
    started = time.perf_counter()
    lines = compared([(truth, hidden(estimates, arguments.gap))], section.facts.truth_error)
    print(f"\n{HEAD}", *lines, sep="\n")
    print(f"\nfilter and smoother together: {1000 * (time.perf_counter() - started) / len(frames):.1f} ms a frame")


if __name__ == "__main__":
    main()
