"""Back-propagation through a solved camera pose: to pixels, points, intrinsics and weights.

The idea is BPnP's (Chen et al., CVPR 2020): the pose is a function of its input defined by a vanishing gradient. What
made the published one fail is avoided: the pose minimizes exactly the cost that is differentiated (robust, so that
outliers do not own it), the Hessian is exact and checked, ill-posed samples are told apart and get no gradient, and
all samples are solved at once in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from transpose.solvers.lie import compose, orthonormalized
from transpose.solvers.pnp import RansacOptions, solve_pnp
from transpose.solvers.residuals import Kernel, PixelResiduals
from transpose.solvers.stationary import Limits, PoseProblem, solve_stationary

LARGEST = 1e12  # metres or pixels beyond which a number is taken for a mistake, as are NaN and infinity
_RIGID_TOLERANCE = 1e-3

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True)
class ImplicitOptions:
    """The cost whose minimum is differentiated: 1/2 sum_i w_i rho(|pixel error_i|^2) with Cauchy's rho.

    Attributes:
        scale_px: pixel error at which a point's weight has fallen to a half; infinite for plain least squares.
        max_iterations: Newton steps; a sample that needs more is not ok.
        ransac: of the search for seeds where none are given.
    """

    scale_px: float = 10.0
    max_iterations: int = 50
    ransac: RansacOptions = field(default_factory=RansacOptions)

    def __post_init__(self) -> None:
        if not self.scale_px > 0 or self.max_iterations < 1:
            raise ValueError(f"scale_px must be positive (infinite for least squares), max_iterations >= 1: {self}")


def implicit_pnp(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array,
    weights_bn: Array | None = None,
    init_b44: Array | None = None,
    options: ImplicitOptions | None = None,
) -> tuple[Array, Array]:
    """The poses that minimize a robust, weighted pixel error, differentiable by all four arguments.

    Args:
        px_bn2: continuous pixels.
        points_bn3: world points, metres. A pair that is not finite is left out.
        K_b33: pinhole intrinsics in pixels, last row 0 0 1; (3, 3) serves all samples.
        weights_bn: not negative; all 1 without it.
        init_b44: seeds `T_wc`, detached; without them `solve_pnp` finds some.
        options: the cost and the solver's limits.

    Returns:
        T_wc_b44 (camera to world, metres, float64) and ok_b. A sample is ok if at least six points bear weight in
        front of the camera and the minimum is stationary and well-conditioned. A sample not ok returns its seed (the
        identity where there is none) with zero gradient; nothing is ever NaN. NumPy in, NumPy out.

    Raises:
        ValueError: shapes that do not fit, negative weights, intrinsics or seeds that are none.
    """
    options = options or ImplicitOptions()
    numpy_in = isinstance(px_bn2, np.ndarray)
    px, points, K, weights, init = (
        None if a is None else torch.as_tensor(a) for a in (px_bn2, points_bn3, K_b33, weights_bn, init_b44)
    )
    assert px is not None
    assert points is not None
    assert K is not None
    px, points, K, weights = pixel_input(px, points, K, weights)
    if init is None:
        init = _seeds(px, points, K, weights, options.ransac)
    elif init.shape != (len(px), 4, 4):
        raise ValueError(f"need init ({len(px)}, 4, 4), got {tuple(init.shape)}")
    seed_b44, seeded_b = usable_poses(init.to(points))
    problem = PoseProblem(
        points.transpose(1, 2),
        torch.where(seeded_b[:, None], weights, 0.0),
        PixelResiduals(px.transpose(1, 2), K),
        Kernel("cauchy", options.scale_px),
    )
    solved: Any = solve_stationary(problem, seed_b44, Limits(options.max_iterations))
    return tuple(a.detach().cpu().numpy() for a in solved) if numpy_in else solved


def pixel_input(
    px_bn2: Tensor, points_bn3: Tensor, K_b33: Tensor, weights_bn: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked float64 pixels, points, K_b33 and weights, in which pairs that are not finite weigh nothing.

    Raises:
        ValueError: see `implicit_pnp`.
    """
    if px_bn2.ndim != 3 or px_bn2.shape[2] != 2 or points_bn3.shape != (*px_bn2.shape[:2], 3):
        raise ValueError(
            f"need px (b, n, 2) and points (b, n, 3), got {tuple(px_bn2.shape)}, {tuple(points_bn3.shape)}"
        )
    b, n, _ = px_bn2.shape
    if K_b33.shape not in ((3, 3), (b, 3, 3)):
        raise ValueError(f"need K ({b}, 3, 3) or (3, 3), got {tuple(K_b33.shape)}")
    px, points = px_bn2.to(torch.float64), points_bn3.to(torch.float64)
    K = K_b33.to(px).expand(b, 3, 3)
    fixed_K = K.detach()
    last_3 = torch.tensor([0.0, 0.0, 1.0], dtype=K.dtype, device=K.device)
    good_K = torch.isfinite(fixed_K).all() & (fixed_K[:, 2] == last_3).all() & (fixed_K[:, 1, 0] == 0).all()
    if not bool(good_K & (fixed_K[:, 0, 0] > 0).all() & (fixed_K[:, 1, 1] > 0).all()):
        raise ValueError(
            f"K must be finite, upper triangular, with positive focal lengths and last row 0 0 1: {fixed_K}"
        )
    weights = torch.ones_like(px[..., 0]) if weights_bn is None else weights_bn.to(px)
    if weights.shape != (b, n):
        raise ValueError(f"need weights ({b}, {n}), got {tuple(weights.shape)}")
    if bool((weights.detach() < 0).any()):
        raise ValueError(f"weights must not be negative, got {float(weights.detach().min())}")
    usable_bn = (px.detach().abs() < LARGEST).all(2) & (points.detach().abs() < LARGEST).all(2)
    usable_bn = usable_bn & (weights.detach() < LARGEST)
    keep = usable_bn[..., None]
    return torch.where(keep, px, 0.0), torch.where(keep, points, 0.0), K, torch.where(usable_bn, weights, 0.0)


def usable_poses(T_b44: Tensor) -> tuple[Tensor, Tensor]:
    """Detached rigid transforms and which of them were finite; the others become the identity.

    Raises:
        ValueError: a finite one whose upper left is no rotation.
    """
    T_b44 = T_b44.detach().to(torch.float64)
    finite_b = (T_b44.abs() < LARGEST).flatten(1).all(1)
    eye_44 = torch.eye(4, dtype=T_b44.dtype, device=T_b44.device)
    T_b44 = torch.where(finite_b[:, None, None], T_b44, eye_44)
    R_b33 = T_b44[:, :3, :3]
    defect_b = (R_b33 @ R_b33.transpose(1, 2) - eye_44[:3, :3]).abs().flatten(1).amax(1)
    if bool(((defect_b > _RIGID_TOLERANCE) | (torch.linalg.det(R_b33) < 0)).any()):
        raise ValueError(f"poses must be rigid 4x4 transforms; R R^T is off by up to {float(defect_b.max()):.3g}")
    return compose(orthonormalized(R_b33), T_b44[:, :3, 3]), finite_b  # float32 seeds have seven digits


def _seeds(px: Tensor, points: Tensor, K: Tensor, weights: Tensor, ransac: RansacOptions) -> Tensor:
    """What `solve_pnp` finds for each sample on the points that bear weight; NaN where it finds nothing."""
    seeds_b44 = torch.full((len(px), 4, 4), torch.nan, dtype=torch.float64)
    points_bn3 = torch.where(weights.detach()[..., None] > 0, points.detach(), torch.nan)
    for b, estimate in enumerate(solve_pnp(px.detach(), points_bn3, K.detach(), ransac) if len(px) else []):
        if estimate.pose is not None:
            seeds_b44[b] = torch.as_tensor(estimate.pose.T_wc)
    return seeds_b44
