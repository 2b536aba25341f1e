"""Pose solvers with tensors on a GPU beside the same on the CPU: do they agree, and which is faster?

    python benchmarks/gpu_solvers.py [--device cuda] [--points 4800] [--batches 1 32] [--repeats 5]

Prints JSON: one record for each solver and batch size, with milliseconds a call on both devices (medians, the device
waited for) and how far the results lie apart. Losses come with their gradients by the points. EPro-PnP and the
posterior draw on their own device, so that they agree statistically only.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.cameras import cell_points
from transpose.geometry.poses import exp_so3
from transpose.randomness import stream
from transpose.solvers import (
    DsacOptions,
    RansacOptions,
    dsac_loss,
    epro_pnp_loss,
    implicit_pnp,
    sample_posterior,
    solve_pnp_batch,
    solve_rigid_batch,
)

Outcome = dict[str, Tensor | list[Pose | None]]
_SIGMA_M = 0.02


@dataclass(frozen=True)
class Problem:
    """Coordinate maps of a room, a third of the cells wrong."""

    px_bn2: Tensor
    points_bn3: Tensor
    camera_points_bn3: Tensor
    K_b33: Tensor
    T_wc_b44: Tensor
    covariances_bn33: Tensor

    def on(self, device: str) -> Problem:
        """The same on a device."""
        return Problem(*(value.to(device) for value in vars(self).values()))


def problem(images: int, points: int) -> Problem:
    """`images` maps of `points` cells each."""
    camera = Camera.from_focal(525.0, 640, 480)
    cells_n2 = cell_points(640, 480).reshape(-1, 2).astype(float)
    rows: list[list[np.ndarray]] = []
    for image in range(images):
        rng = stream(image, "gpu solvers")
        px_n2 = cells_n2[rng.permutation(len(cells_n2))[:points]]
        camera_n3 = camera.unproject(px_n2) * rng.uniform(1, 4, (len(px_n2), 1))
        T_wc = np.eye(4)
        T_wc[:3, :3], T_wc[:3, 3] = exp_so3(rng.normal(0, 1.5, 3)), rng.uniform(-3, 3, 3)
        points_n3 = camera_n3 @ T_wc[:3, :3].T + T_wc[:3, 3] + _SIGMA_M * rng.standard_normal(camera_n3.shape)
        points_n3[: len(points_n3) // 3] += rng.uniform(-2, 2, (len(points_n3) // 3, 3))
        rows.append([px_n2, points_n3, camera_n3, camera.K_33, T_wc])
    px, world, seen, K, T = (torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True))
    covariances = (_SIGMA_M**2 * torch.eye(3, dtype=torch.float64)).expand(*world.shape, 3).contiguous()
    return Problem(px, world, seen, K, T, covariances)


def with_gradient(loss: Callable[[Tensor], Tensor], points_bn3: Tensor) -> Outcome:
    """The loss, and its gradient by the points."""
    points_bn3 = points_bn3.clone().requires_grad_()
    loss_b = loss(points_bn3)
    (gradient_bn3,) = torch.autograd.grad(loss_b.sum(), points_bn3)
    return {"loss": loss_b.detach(), "gradient": gradient_bn3}


def _pnp(p: Problem) -> Outcome:
    found = solve_pnp_batch(p.px_bn2, p.points_bn3, p.K_b33, RansacOptions())
    return {"poses": [each.pose for each in found]}


def _pnp_with_covariances(p: Problem) -> Outcome:
    found = solve_pnp_batch(p.px_bn2, p.points_bn3, p.K_b33, RansacOptions(), p.covariances_bn33)
    return {"poses": [each.pose for each in found]}


def _rigid(p: Problem) -> Outcome:
    return {"poses": [each.pose for each in solve_rigid_batch(p.camera_points_bn3, p.points_bn3)]}


def _implicit(p: Problem) -> Outcome:
    def loss(points_bn3: Tensor) -> Tensor:
        T_wc_b44, _ = implicit_pnp(p.px_bn2, points_bn3, p.K_b33, init_b44=p.T_wc_b44)
        return (T_wc_b44[:, :3, 3] - p.T_wc_b44[:, :3, 3]).square().sum(1)

    return with_gradient(loss, p.points_bn3)


def _dsac(p: Problem) -> Outcome:
    return with_gradient(
        lambda points_bn3: dsac_loss(p.px_bn2, points_bn3, p.K_b33, p.T_wc_b44, DsacOptions()), p.points_bn3
    )


def _epro(p: Problem) -> Outcome:
    return with_gradient(lambda points: epro_pnp_loss(p.px_bn2, points, p.K_b33, p.T_wc_b44).loss_b, p.points_bn3)


def _posterior(p: Problem) -> Outcome:
    """Of the inliers, an image after the other. K and the pose stay on the CPU, where a localizer has them."""
    good = slice(p.px_bn2.shape[1] // 3, None)
    poses: list[Pose | None] = []
    for px, points, covariances, K, T in zip(
        p.px_bn2, p.points_bn3, p.covariances_bn33, p.K_b33.cpu(), p.T_wc_b44.cpu(), strict=True
    ):
        found = sample_posterior(px[good], points[good], covariances[good], K, T)
        poses.append(None if found is None else Pose(found.T_wc.cpu().numpy()))
    return {"poses": poses}


SOLVERS: dict[str, Callable[[Problem], Outcome]] = {
    "solve_pnp": _pnp,
    "solve_pnp, covariances": _pnp_with_covariances,
    "solve_rigid": _rigid,
    "implicit_pnp, backward": _implicit,
    "dsac_loss, backward": _dsac,
    "epro_pnp_loss, backward": _epro,
    "sample_posterior": _posterior,
}


def timed(solve: Callable[[Problem], Outcome], given: Problem, repeats: int) -> tuple[Outcome, float]:
    """The outcome, and milliseconds of a call once warm."""
    device = given.px_bn2.device
    outcome = solve(given)
    spent = []
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        solve(given)
        _wait(device)
        spent.append(1000 * (time.perf_counter() - started))
    return outcome, median(spent)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def apart(one: Outcome, other: Outcome, p: Problem) -> dict[str, float]:
    """How far two outcomes lie apart: poses in mm and degrees at most, tensors relative to the larger norm."""
    facts: dict[str, float] = {}
    if "poses" in one:
        pairs = list(zip(one["poses"], other["poses"], strict=True))
        both = [pose_error(a, b) for a, b in pairs if a is not None and b is not None]
        facts["refused_by_one"] = sum((a is None) != (b is None) for a, b in pairs)
        facts["max_mm"] = 1000 * max((metres for _, metres in both), default=0.0)
        facts["max_deg"] = max((degrees for degrees, _ in both), default=0.0)
        truth = [pose_error(a, Pose(T.numpy()))[1] for a, T in zip(other["poses"], p.T_wc_b44, strict=True) if a]
        facts["median_error_mm"] = 1000 * median(truth) if truth else float("nan")
    for name in one.keys() - {"poses"}:
        a, b = (each[name].double().cpu() for each in (one, other))
        facts[f"{name}_relative"] = float((a - b).norm() / max(float(a.norm()), 1e-300))
    return facts


def measured(name: str, images: int, points: int, device: str, repeats: int) -> dict[str, Any]:
    """One row; an error is a row too."""
    on_cpu = problem(images, points)
    record: dict[str, Any] = {"solver": name, "batch": images, "points": on_cpu.px_bn2.shape[1]}
    try:
        expected, record["cpu_ms"] = timed(SOLVERS[name], on_cpu, repeats)
        found, record["device_ms"] = timed(SOLVERS[name], on_cpu.on(device), repeats)
        record |= apart(expected, found, on_cpu)
    except Exception as error:  # the next solver may work
        record["error"] = f"{type(error).__name__}: {error}"
        record["where"] = traceback.format_exc().splitlines()[-6:]
    return record


def main() -> None:
    """Measures all solvers and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--points", type=int, default=4800)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    settings = args.points, args.device, args.repeats
    print(json.dumps([measured(name, images, *settings) for name in SOLVERS for images in args.batches]))


if __name__ == "__main__":
    main()
