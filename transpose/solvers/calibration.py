"""One camera's focal length, principal point and radial distortion, from many photos of known points.

Robust least squares over the camera and the poses of all photos together (bundle adjustment with the points held):
Levenberg-Marquardt with Cauchy's loss, the poses eliminated photo by photo by the Schur complement. What the photos do
not tell is held at where it was, and said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, transform
from transpose.solvers.calibration_equations import (
    PARAMETERS,
    Linearized,
    Sightings,
    camera_at,
    cost,
    covariance,
    equations,
    linearized,
    step,
)
from transpose.solvers.lie import orthonormalized
from transpose.solvers.tangent import moved

_FEWEST_PHOTOS, _FEWEST_POINTS = 3, 12
_ITERATIONS, _ROUNDS = 40, 3
_SETTLED = 1e-7  # of the cost, relative
_MEDIAN_OF_RAYLEIGH = 1.1774  # over its sigma
_SMALLEST_SIGMA_PX = 1e-3
_KEPT = 4.0  # standard deviations beyond which a correspondence is dropped once a camera is found
# What is held together, in the order in which it is given up.
_GROUPS = {"k2": ("k2",), "k1": ("k1",), "principal point": ("cx", "cy")}


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """A photo's correspondences: pixels (n, 2), world points (n, 3) in metres, and a pose that they support."""

    px_n2: np.ndarray
    points_n3: np.ndarray
    pose: Pose


@dataclass(frozen=True)
class CalibrationOptions:
    """How a camera is calibrated.

    Attributes:
        max_error: in image diagonals, beyond which a correspondence takes no part, by the pose and the camera that it
            begins with.
        most_points: of a photo, evenly from first to last.
        focal: relative standard deviation of the focal length from which on it counts as not observable.
        center: the same of the principal point, in focal lengths.
        distortion: the same of what a coefficient does at the image's corner, relative to its distance.
    """

    max_error: float = 0.025
    most_points: int = 1500
    focal: float = 0.02
    center: float = 0.02
    distortion: float = 0.01


@dataclass(frozen=True, eq=False)
class CalibratedCamera:
    """What came of a calibration.

    Attributes:
        camera: None where there is none; then `reason` says why.
        reason: "ok", "too_few_photos", "focal_not_observable".
        sigmas: standard deviations of fx, fy, cx, cy (pixels), k1 and k2; 0 for what was held. Of a focal length that
            is not observable: `focal`, relative.
        held: what the photos do not tell: "principal point", "k1", "k2".
        poses: of the photos that took part, by their index.
        points: correspondences that took part.
        residual_px: median distance between a point's pixel and where it was seen.
    """

    camera: Camera | None
    reason: str
    sigmas: dict[str, float] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    poses: dict[int, Pose] = field(default_factory=dict)
    points: int = 0
    residual_px: float = math.nan


def calibrate_camera(
    photos: Sequence[SeenPoints], camera: Camera, options: CalibrationOptions | None = None
) -> CalibratedCamera:
    """The camera that fits the correspondences of many photos best, together with their poses.

    The ratio of the focal lengths stays as it is. Standard deviations are a sandwich estimate in which a photo's errors
    are correlated; errors of the points themselves that many photos share are not in them.

    Args:
        photos: of one camera and size; those with fewer than twelve correspondences near their pose take no part.
        camera: to start from.
        options: which correspondences take part, and what counts as observable.
    """
    options = options or CalibrationOptions()
    used = {i: near for i, photo in enumerate(photos) if (near := _near(photo, camera, options)) is not None}
    if len(used) < _FEWEST_PHOTOS:
        return CalibratedCamera(None, "too_few_photos")
    bounds = _bounds(camera, options)
    held: tuple[str, ...] = ()
    while True:
        fixed = {name for group in held for name in _GROUPS[group]}
        solved = _solved(list(used.values()), camera, torch.tensor([name not in fixed for name in PARAMETERS]))
        off = {group: max(solved.sigmas[name] for name in names) for group, names in _GROUPS.items()}
        unknown = [group for group in _GROUPS if group not in held and not off[group] < bounds[group]]
        if not unknown:
            break
        held = (*held, unknown[0])
    if not solved.sigmas["focal"] < options.focal:
        return CalibratedCamera(None, "focal_not_observable", {"focal": solved.sigmas["focal"]}, held)
    return solved.as_result(list(used), held)


def _near(photo: SeenPoints, camera: Camera, options: CalibrationOptions) -> SeenPoints | None:
    """The photo with correspondences near its pose alone; None where those are too few."""
    with np.errstate(invalid="ignore"):
        off_n = np.linalg.norm(camera.project(transform(photo.pose.T_cw, photo.points_n3)) - photo.px_n2, axis=1)
        near_m = np.flatnonzero(off_n < options.max_error * math.hypot(camera.width, camera.height))
    if len(near_m) < _FEWEST_POINTS:
        return None
    if len(near_m) > options.most_points:
        near_m = near_m[np.linspace(0, len(near_m) - 1, options.most_points).astype(int)]
    return SeenPoints(photo.px_n2[near_m], photo.points_n3[near_m], photo.pose)


def _bounds(camera: Camera, options: CalibrationOptions) -> dict[str, float]:
    """Standard deviations from which on each group of parameters counts as not observable."""
    corner2 = (camera.width / 2 / camera.fx) ** 2 + (camera.height / 2 / camera.fy) ** 2
    return {
        "k2": options.distortion / corner2**2,
        "k1": options.distortion / corner2,
        "principal point": options.center,
    }


@dataclass(frozen=True, eq=False)
class _Solved:
    """The least-squares solution, and standard deviations of the parameters by name."""

    sightings: Sightings
    at: Linearized
    values_5: Tensor
    poses_b34: Tensor
    sigmas: dict[str, float]

    def as_result(self, photos: list[int], held: tuple[str, ...]) -> CalibratedCamera:
        camera, start = camera_at(self.sightings.start, self.values_5), self.sightings.start
        focal, right, down = (self.sigmas[name] for name in PARAMETERS[:3])
        sigmas = {"fx": focal * camera.fx, "fy": focal * camera.fy, "cx": right * start.fx, "cy": down * start.fy}
        sigmas |= {name: self.sigmas[name] for name in ("k1", "k2")}
        R_b33 = orthonormalized(self.poses_b34[..., :3]).mT
        centers_b3 = self.sightings.center_b3 - (R_b33 @ self.poses_b34[..., 3:])[..., 0]
        pairs = zip(R_b33.numpy(), centers_b3.numpy(), strict=True)
        poses = dict(zip(photos, (Pose(compose(R, c)) for R, c in pairs), strict=True))
        there_bn = self.sightings.weight_bn > 0
        residual_px = float(_lengths_px(self.sightings, self.at)[there_bn].median())
        return CalibratedCamera(camera, "ok", sigmas, held, poses, int(there_bn.sum()), residual_px)


def _solved(photos: list[SeenPoints], start: Camera, free_5: Tensor) -> _Solved:
    sightings, poses_b34 = _padded(photos, start, free_5)
    values_5 = torch.tensor([0, 0, 0, start.k1, start.k2], dtype=torch.float64)
    there_bn = sightings.weight_bn
    for turn in range(_ROUNDS):
        length_bn = _lengths_px(sightings, linearized(sightings, values_5, poses_b34))
        typical_px = float(length_bn[sightings.weight_bn > 0].median())
        sigma_px = max(typical_px / _MEDIAN_OF_RAYLEIGH, _SMALLEST_SIGMA_PX)
        # Wrong matches of landmarks that lie side by side are not as often on one side as on the other.
        kept_bn = there_bn if turn == 0 else there_bn * (length_bn < _KEPT * sigma_px)
        sightings = replace(sightings, sigma_px=sigma_px, weight_bn=kept_bn)
        values_5, poses_b34 = _minimized(sightings, values_5, poses_b34)
    at = linearized(sightings, values_5, poses_b34)
    sigma_5 = covariance(sightings, at, values_5).diagonal().clamp_min(0).sqrt()
    return _Solved(sightings, at, values_5, poses_b34, dict(zip(PARAMETERS, sigma_5.tolist(), strict=True)))


def _minimized(sightings: Sightings, values_5: Tensor, poses_b34: Tensor) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt."""
    at, damping = linearized(sightings, values_5, poses_b34), 1e-4
    before = cost(sightings, at, values_5)
    for _ in range(_ITERATIONS):
        step_b6, step_5 = step(equations(sightings, at, values_5, at.robust_bn), damping)
        tried_5, tried_b34 = values_5 + step_5, moved(poses_b34, step_b6)
        tried = linearized(sightings, tried_5, tried_b34)
        after = cost(sightings, tried, tried_5)
        if not after <= before:
            damping *= 10
            if damping > 1e8:
                break
            continue
        settled = before - after < _SETTLED * after
        at, values_5, poses_b34, before, damping = tried, tried_5, tried_b34, after, damping * 0.1
        if settled:
            break
    return values_5, poses_b34


def _padded(photos: list[SeenPoints], start: Camera, free_5: Tensor) -> tuple[Sightings, Tensor]:
    """The photos as one batch, and their poses [R_cw | t_cw] about each photo's points."""
    n = max(len(photo.px_n2) for photo in photos)
    px_bn2, local_b4n = np.zeros((len(photos), n, 2)), np.zeros((len(photos), 4, n))
    weight_bn, center_b3 = np.zeros((len(photos), n)), np.stack([np.median(p.points_n3, 0) for p in photos])
    poses_b34 = np.stack([photo.pose.T_cw[:3] for photo in photos])
    poses_b34[..., 3] += np.einsum("bij,bj->bi", poses_b34[..., :3], center_b3)
    local_b4n[:, 2:] = 1.0
    for photo, px_n2, local_4n, weight_n, center_3 in zip(photos, px_bn2, local_b4n, weight_bn, center_b3, strict=True):
        m = len(photo.px_n2)
        px_n2[:m], local_4n[:3, :m], weight_n[:m] = photo.px_n2, (photo.points_n3 - center_3).T, 1.0
    px, local, center, weight = (torch.from_numpy(each) for each in (px_bn2, local_b4n, center_b3, weight_bn))
    return Sightings(px, local, center, weight, start, free_5, sigma_px=1.0), torch.from_numpy(poses_b34)


def _lengths_px(sightings: Sightings, at: Linearized) -> Tensor:
    return at.e_bn2.square().sum(2).sqrt() * sightings.sigma_px
