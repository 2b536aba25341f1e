"""Back-propagation through a solved camera pose: to pixels, points, intrinsics and weights.

The idea is BPnP's (Chen et al., CVPR 2020): the pose is a function of its input defined by a vanishing gradient. What
made the published one fail is avoided: the pose minimizes exactly the cost that is differentiated (robust, so that
outliers do not own it), the Hessian is exact and checked, ill-posed samples are told apart and get no gradient, and
all samples are solved at once in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from transpose.solvers.differentiable.stationary import Limits, PoseProblem, solve_stationary
from transpose.solvers.inputs import Kind, as_given, handed_back, pixel_input, usable_poses
from transpose.solvers.options import RansacOptions
from transpose.solvers.residuals import Kernel, PixelResiduals
from transpose.solvers.robust.pnp import solve_pnp_batch


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
    px_bn2: Kind,
    points_bn3: Kind,
    K_b33: Kind,
    weights_bn: Kind | None = None,
    init_b44: Kind | None = None,
    options: ImplicitOptions | None = None,
) -> tuple[Kind, Kind]:
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
        identity where there is none) with zero gradient; nothing is ever NaN. NumPy in, NumPy out; tensors come back
        on the points' device (in float32 where it has no float64).

    Raises:
        ValueError: shapes that do not fit, negative weights, intrinsics or seeds that are none.
    """
    options = options or ImplicitOptions()
    given = as_given("points", points_bn3)
    px, points, K, weights = pixel_input(px_bn2, given, K_b33, weights_bn)
    if init_b44 is None:
        init = _seeds(px, points, K, weights, options.ransac)
    else:
        init = as_given("init", init_b44)
        if init.shape != (len(px), 4, 4):
            raise ValueError(f"need init ({len(px)}, 4, 4), got {tuple(init.shape)}")
    seed_b44, seeded_b = usable_poses(init, points.device)
    problem = PoseProblem(
        points.transpose(1, 2),
        torch.where(seeded_b[:, None], weights, 0.0),
        PixelResiduals(px.transpose(1, 2), K),
        Kernel("cauchy", options.scale_px),
    )
    T_wc_b44, ok_b = solve_stationary(problem, seed_b44, Limits(options.max_iterations))
    if isinstance(px_bn2, Tensor):
        return handed_back(T_wc_b44, given.device), handed_back(ok_b, given.device)
    return T_wc_b44.detach().cpu().numpy(), ok_b.cpu().numpy()


def _seeds(px: Tensor, points: Tensor, K: Tensor, weights: Tensor, ransac: RansacOptions) -> Tensor:
    """What `solve_pnp` finds for each sample on the points that bear weight; NaN where it finds nothing."""
    seeds_b44 = torch.full((len(px), 4, 4), torch.nan, dtype=torch.float64)
    points_bn3 = torch.where(weights.detach()[..., None] > 0, points.detach(), torch.nan)
    for b, estimate in enumerate(solve_pnp_batch(*_without_skew(px.detach(), points_bn3, K.detach()), ransac)):
        if estimate.pose is not None:
            seeds_b44[b] = torch.as_tensor(estimate.pose.T_wc)
    return seeds_b44


def _without_skew(px_bn2: Tensor, points_bn3: Tensor, K_b33: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same rays seen by cameras without skew, which `solve_pnp` asks for."""
    shear_b1 = K_b33[:, 0, 1, None] / K_b33[:, 1, 1, None]
    px_bn2 = px_bn2.clone()
    px_bn2[..., 0] -= shear_b1 * (px_bn2[..., 1] - K_b33[:, 1, 2, None])
    K_b33 = K_b33.clone()
    K_b33[:, 0, 1] = 0
    return px_bn2, points_bn3, K_b33
