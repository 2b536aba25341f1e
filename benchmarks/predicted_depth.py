"""Whether the depth that a run of `mlr` predicts makes poses by coordinates better as a constraint of the pose itself.

    python benchmarks/predicted_depth.py RUN SCENE/SECTION [--images 44]

Of photos that the run did not learn from, and that nobody tests on: poses by coordinates as they are; with cells that
contradict the depth trusted less (what validation may choose, docs/mlr.md); by the predicted depth as if it had been
measured (mode 2); and refined by two residuals of each cell: its point's distance from the ray by the stated
covariance, and its depth against the predicted one by what is stated of both. Depths of one image are wrong together,
so each counts as one of `--together` (1: all for themselves); "free": whatever one factor all depths of the image are
off by. "rays" is the same refinement without depth. Prints medians, and the ratio of the errors to those without depth:
geometric mean over the photos, and two standard errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from stages import machine

from transpose.geometry.poses import Pose, exp_se3, invert, pose_error, transform
from transpose.localization import load
from transpose.localization.by_coordinates import by_coordinates
from transpose.localization.consistency import by_consistent_coordinates
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.localization.task_maps import DepthMap, TaskMaps
from transpose.scenes.layout import Frame, open_section
from transpose.selection import evenly_chosen
from transpose.solvers import RigidOptions, solve_rigid

ITERATIONS, MOST_CELLS = 10, 1200
BEND = 2.0  # standard deviations at which Cauchy's weight is a half
NO_POSE_M, LEAST_M = 10.0, 1e-4


class Constraints:
    """The cells of an image that are most certain: their rays, points, covariances and predicted depths."""

    def __init__(self, predicted: CoordinateMap, depth: DepthMap, R_wc: np.ndarray) -> None:
        points_n3, px_n2, keep_n = (each[:MOST_CELLS] for each in predicted.correspondences())
        ray_n3 = predicted.camera.unproject(px_n2)
        length_n = np.linalg.norm(ray_n3, axis=1)
        self.points_n3, unit_n3 = points_n3, ray_n3 / length_n[:, None]
        side_n3 = np.cross(unit_n3, [0.0, 1.0, 0.0])
        side_n3 /= np.linalg.norm(side_n3, axis=1, keepdims=True)
        self.axes_nii = np.stack([side_n3, np.cross(unit_n3, side_n3), unit_n3], 1)  # rows: two across, one along
        turned_nii = self.axes_nii @ R_wc.T
        covariance_n33 = predicted.covariances(R_wc).reshape(-1, 3, 3)[keep_n]
        self.variance_n3 = np.einsum("nij,njk,nik->ni", turned_nii, covariance_n33, turned_nii)
        self.range_n = depth.depth_hw.reshape(-1)[keep_n] * length_n
        self.relative_n = depth.expected_hw.reshape(-1)[keep_n]

    def refined(self, pose: Pose, together: float, free: bool = False) -> Pose:
        """The pose with the least robust squares; `together` infinite: without depth."""
        T_cw, log_factor = pose.T_cw, 0.0
        for _ in range(ITERATIONS):
            H_77, g_7 = self._equations(T_cw, log_factor, together)
            unknowns = 7 if free and np.isfinite(together) else 6
            step = -np.linalg.solve(H_77[:unknowns, :unknowns], g_7[:unknowns])
            T_cw = exp_se3(step[:6]) @ T_cw
            log_factor += float(step[6]) if unknowns == 7 else 0.0
        return Pose(invert(T_cw))

    def _equations(self, T_cw: np.ndarray, log_factor: float, together: float) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton's, by the turn and shift of the camera's frame and the log of the factor on depths."""
        camera_n3 = transform(T_cw, self.points_n3)
        by_pose_n36 = np.concatenate([-_cross(camera_n3), np.broadcast_to(np.eye(3), (len(camera_n3), 3, 3))], 2)
        along_n3 = np.einsum("nij,nj->ni", self.axes_nii, camera_n3)
        by_pose_n36 = self.axes_nii @ by_pose_n36
        sigma_n3 = np.sqrt(self.variance_n3)
        across_n2 = along_n3[:, :2] / sigma_n3[:, :2]
        weight_n = 1 / (1 + np.square(across_n2).sum(1) / BEND**2)
        range_n = np.maximum(along_n3[:, 2], 1e-3)
        sigma_n = np.hypot(sigma_n3[:, 2] / range_n, self.relative_n)
        depth_n = (np.log(range_n / self.range_n) - log_factor) / sigma_n
        # Cells far off their rays say nothing of depth either.
        depth_weight_n = weight_n / (1 + np.square(depth_n) / BEND**2) / together
        rows_n27 = np.pad(by_pose_n36[:, :2] / sigma_n3[:, :2, None], ((0, 0), (0, 0), (0, 1)))
        depth_n7 = np.append(by_pose_n36[:, 2] / (range_n * sigma_n)[:, None], -1 / sigma_n[:, None], 1)
        H_77 = np.einsum("n,nij,nik->jk", weight_n, rows_n27, rows_n27) + (depth_n7.T * depth_weight_n) @ depth_n7
        g_7 = np.einsum("n,nij,ni->j", weight_n, rows_n27, across_n2) + depth_n7.T @ (depth_weight_n * depth_n)
        return H_77, g_7


def _cross(points_n3: np.ndarray) -> np.ndarray:
    """The matrices (n, 3, 3) of cross products with points."""
    x_n, y_n, z_n = points_n3.T
    zero_n = np.zeros_like(x_n)
    return np.stack([zero_n, -z_n, y_n, z_n, zero_n, -x_n, -y_n, x_n, zero_n], 1).reshape(-1, 3, 3)


def as_measured(predicted: CoordinateMap, depth: DepthMap, options: LocalizationOptions) -> Pose | None:
    """The pose that brings points at the predicted depths onto the predicted ones of the world."""
    points_n3, px_n2, keep_n = predicted.correspondences()
    depth_n = depth.depth_hw.reshape(-1)[keep_n]
    sigma_n = np.hypot(predicted.sigma_hw().reshape(-1)[keep_n], depth_n * depth.expected_hw.reshape(-1)[keep_n])
    bound = max(options.min_depth_error_m, 3 * float(np.median(sigma_n)))
    rays_n3 = predicted.camera.unproject(px_n2)
    return solve_rigid(rays_n3 * depth_n[:, None], points_n3, RigidOptions(max_error_m=bound), sigma_n**-2).pose


def ways(
    predicted: CoordinateMap, maps: TaskMaps, options: LocalizationOptions, together: list[float]
) -> Iterator[tuple[str, Pose | None]]:
    """The poses of an image, by what they use."""
    assert maps.depth is not None
    first = by_coordinates(predicted, options).pose
    yield "as they are", first
    yield "trusted by depth", by_consistent_coordinates(predicted, maps, options, "depth").pose
    yield "depth as measured", as_measured(predicted, maps.depth, options)
    cells = None if first is None else Constraints(predicted, maps.depth, first.R_wc)

    def refined(share: float, free: bool = False) -> Pose | None:
        return None if cells is None or first is None else cells.refined(first, share, free)

    yield "rays", refined(np.inf)
    for share in together:
        yield f"rays and depth, 1 of {share:g}", refined(share)
    yield "rays and depth, free", refined(together[0], True)


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("section", type=Path)
    parser.add_argument("--images", type=int, default=44)
    parser.add_argument("--together", type=float, nargs="+", default=[1.0, 30.0, 1000.0])
    args = parser.parse_args()
    localizer = load(args.run, use="cells")
    assert isinstance(localizer, SceneCoordinateLocalizer) and "depth" in localizer.tasks, "a run of mlr with depth"
    frames = open_section(args.section).frames
    errors: dict[str, list[tuple[float, float]]] = {}
    for i in evenly_chosen(len(frames), args.images):
        frame: Frame = frames[i]
        encoded = localizer.encode(Query.of(localizer.camera, frame.image(), frame.camera))
        predicted, maps = localizer.predict(encoded), localizer.tasks_of_encoded(encoded)
        for name, pose in ways(predicted, maps, localizer.options, args.together):
            errors.setdefault(name, []).append((180.0, NO_POSE_M) if pose is None else pose_error(pose, frame.pose))
    print(machine())
    before_n = np.log(np.maximum([distance for _, distance in errors["as they are"]], LEAST_M))
    for name, found in errors.items():
        degrees_n, distance_n = np.array(found).T
        gain_n = np.log(np.maximum(distance_n, LEAST_M)) - before_n
        bound = 2 * gain_n.std(ddof=1) / np.sqrt(len(gain_n))
        share = ((distance_n < 0.05) & (degrees_n < 5)).mean()
        low, mean, high = np.exp(gain_n.mean() + bound * np.array([-1, 0, 1]))
        print(
            f"{name:28} {100 * np.median(distance_n):6.2f} cm {np.median(degrees_n):5.2f} deg, {share:4.0%} within "
            f"5 cm 5 deg; errors x {mean:.3f} ({low:.3f} to {high:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
