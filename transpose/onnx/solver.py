"""A robust pose from pixels and points in NumPy: P3P in a random search, refined on what agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import compose, exp_so3, invert, transform
from transpose.geometry.sides import agreeing_in_sight
from transpose.onnx.p3p import p3p

_SAMPLES = 128  # of three points, at once
_MOST_ROUNDS = 24
_MISSED = 0.01  # the probability that no sample of agreeing points was drawn, at which the search ends
_FEWEST = 4
_TRIED_ON = 600  # correspondences, by which hypotheses are told apart; refined poses are held against all
_STEPS = 12
_ROBUST = 0.5  # of the largest error: from there on a residual counts less (Cauchy)


@dataclass(frozen=True, eq=False)
class Solution:
    """A pose by correspondences.

    Attributes:
        T_cw: world to camera, (4, 4); None where there is none.
        agreeing_n: which correspondences do, bool.
        score: fraction that agrees, softly counted, as `transpose.solvers.PoseEstimate.score`.
    """

    T_cw: np.ndarray | None
    agreeing_n: np.ndarray
    score: float = 0.0

    def not_from_behind(self, points_n3: np.ndarray, toward_n3: np.ndarray) -> Solution:
        """Without agreement of points that it sees from behind; see `transpose.localization.candidates.Candidate`."""
        if self.T_cw is None:
            return self
        kept_n = agreeing_in_sight(self.agreeing_n, points_n3, toward_n3, invert(self.T_cw)[:3, 3])
        return Solution(None, self.agreeing_n) if kept_n is None else replace(self, agreeing_n=kept_n)


def solve(px_n2: np.ndarray, points_n3: np.ndarray, camera: Camera, max_error_px: float, seed: int = 0) -> Solution:
    """The pose from which most points are seen at their pixels.

    Args:
        px_n2: continuous pixels.
        points_n3: float64, near the origin of their frame.
        camera: of the image.
        max_error_px: within which a point agrees.
        seed: of the search.
    """
    none = Solution(None, np.zeros(len(px_n2), bool))
    rays_n3 = camera.unproject(px_n2)
    usable_n = np.flatnonzero(np.isfinite(rays_n3).all(1) & np.isfinite(points_n3).all(1))
    if len(usable_n) < _FEWEST:
        return none
    rays_m3, points_m3 = rays_n3[usable_n], points_n3[usable_n]
    errors = _Errors(rays_m3, points_m3, camera)
    T_cw = _searched(errors, max_error_px, np.random.default_rng(seed))
    if T_cw is None:
        return none
    error_m = errors.of(T_cw[None])[0]
    agreeing_n = none.agreeing_n.copy()
    agreeing_n[usable_n] = error_m < max_error_px
    if agreeing_n.sum() < _FEWEST:
        return none
    softly_m = 1 / (1 + np.exp(np.clip(5 / max_error_px * (error_m - max_error_px), -50, 50)))
    return Solution(T_cw, agreeing_n, float(softly_m.sum() / len(px_n2)))


@dataclass(frozen=True, eq=False)
class _Errors:
    """Of points in the image, pixels; lenses are undone once, so that the camera is a pinhole."""

    rays_n3: np.ndarray
    points_n3: np.ndarray
    camera: Camera

    def of(self, T_cw_k44: np.ndarray) -> np.ndarray:
        """Distances (k, n) from where poses put the points; infinite of points behind."""
        seen_kn3 = self.points_n3 @ T_cw_k44[:, :3, :3].transpose(0, 2, 1) + T_cw_k44[:, None, :3, 3]
        with np.errstate(all="ignore"):
            off_kn2 = (seen_kn3[..., :2] / seen_kn3[..., 2:] - self.rays_n3[:, :2]) * (self.camera.fx, self.camera.fy)
            return np.where(seen_kn3[..., 2] > 0, np.sqrt((off_kn2**2).sum(-1)), np.inf)

    def costs(self, T_cw_k44: np.ndarray, max_error_px: float) -> np.ndarray:
        """Truncated squared errors (k,) of poses, in float32, axis by axis: many are told apart."""
        R_k33, t_k31 = T_cw_k44[:, :3, :3].astype(np.float32), T_cw_k44[:, :3, 3:].astype(np.float32)
        xyz_k3n = R_k33 @ np.ascontiguousarray(self.points_n3.T, np.float32) + t_k31
        depth_kn = xyz_k3n[:, 2]
        squared_kn = np.zeros_like(depth_kn)
        with np.errstate(all="ignore"):
            for axis, focal in enumerate((self.camera.fx, self.camera.fy)):
                off_kn = xyz_k3n[:, axis] / depth_kn
                off_kn -= self.rays_n3[:, axis].astype(np.float32)
                squared_kn += (off_kn * np.float32(focal / max_error_px)) ** 2
        cost_kn = np.where(depth_kn > 0, np.fmin(squared_kn, 1), 1)
        return np.asarray(cost_kn.sum(1, dtype=np.float64))

    def only(self, chosen_m: np.ndarray) -> _Errors:
        """Of some of the points."""
        return _Errors(self.rays_n3[chosen_m], self.points_n3[chosen_m], self.camera)

    def refined(self, T_cw: np.ndarray, max_error_px: float) -> np.ndarray:
        """A better pose: Gauss-Newton on the points that agree, which are chosen anew with each step."""
        for _ in range(_STEPS):
            error_n = self.of(T_cw[None])[0]
            kept_m = error_n < max_error_px
            if kept_m.sum() < _FEWEST:
                return T_cw
            xyz_m3 = transform(T_cw, self.points_n3[kept_m])
            off_m2, J_m26 = self._linearized(xyz_m3, self.rays_n3[kept_m, :2])
            weight_m = 1 / (1 + (error_n[kept_m] / (_ROBUST * max_error_px)) ** 2)
            weighted_m26 = J_m26 * weight_m[:, None, None]
            H_66 = np.einsum("mij,mik->jk", weighted_m26, J_m26)
            step_6 = -np.linalg.lstsq(H_66, np.einsum("mij,mi->j", weighted_m26, off_m2), rcond=None)[0]
            T_cw = compose(exp_so3(step_6[:3]), step_6[3:]) @ T_cw
            if np.abs(step_6).max() < 1e-10:
                break
        return T_cw

    def _linearized(self, xyz_m3: np.ndarray, rays_m2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (m, 2), pixels, and their derivatives (m, 2, 6) over a rotation and a shift in the camera."""
        focal_2 = np.array([self.camera.fx, self.camera.fy])
        nearness = 1 / xyz_m3[:, 2]
        u, v = x_y_m2 = xyz_m3[:, :2].T * nearness
        zero = np.zeros_like(u)
        rows = [-u * v, 1 + u**2, -v, nearness, zero, -u * nearness, -1 - v**2, u * v, u, zero, nearness, -v * nearness]
        J_m26 = np.stack(rows, 1).reshape(-1, 2, 6) * focal_2[:, None]
        return (x_y_m2.T - rays_m2) * focal_2, J_m26


def _searched(errors: _Errors, max_error_px: float, rng: np.random.Generator) -> np.ndarray | None:
    """The refined pose with the least truncated squared error (MSAC; Torr and Zisserman, CVIU 2000)."""
    best, best_cost, least_tried, count = None, np.inf, np.inf, len(errors.points_n3)
    tried = errors.only(rng.permutation(count)[:_TRIED_ON])
    for rounds in range(1, _MOST_ROUNDS + 1):
        sample_b3 = rng.integers(0, count, (_SAMPLES, 3))
        found_k44 = p3p(errors.rays_n3[sample_b3], errors.points_n3[sample_b3])
        if len(found_k44) == 0:
            continue
        cost_k = tried.costs(found_k44, max_error_px)
        if cost_k.min() < least_tried:
            least_tried = float(cost_k.min())
            refined = errors.refined(found_k44[cost_k.argmin()], max_error_px)
            cost = float(errors.costs(refined[None], max_error_px)[0])
            if cost < best_cost:
                best, best_cost = refined, cost
        agreeing = 0.0 if best is None else float((errors.of(best[None])[0] < max_error_px).mean())
        if (1 - agreeing**3) ** (rounds * _SAMPLES) < _MISSED:
            break
    return best
