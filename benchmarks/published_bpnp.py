"""BPnP's backward as it was published and released, written anew from the paper's equations and what the release does.

Its constraint multiplies each residual by the point's depth, which makes it the gradient of another cost than the one
that is minimized (Chen et al., "End-to-End Learnable Geometric Vision by Backpropagating PnP Optimization", CVPR 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from transpose.solvers.lie import compose, exp_so3, invert


class PublishedBackward(torch.autograd.Function):
    """The implicit derivative of sum_i S_i (x_i - pi_i) . dpi_i / dy = 0, S_i the depth, with a plain inverse.

    `divide` drops S_i, which makes the constraint the gradient of the sum over all points.
    """

    @staticmethod
    def forward(ctx, points_n3: Tensor, px_n2: Tensor, T_wc_44: Tensor, K_33: Tensor, divide: bool) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(points_n3, px_n2, T_wc_44, K_33)
        ctx.divide = divide
        return T_wc_44.clone()

    @staticmethod
    def backward(ctx, upstream_44: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        points_n3, px_n2, T_wc_44, K_33 = ctx.saved_tensors
        T_cw_44 = invert(T_wc_44)

        def constraint(xi_6: Tensor, points_n3: Tensor) -> Tensor:
            def projected(xi_6: Tensor) -> tuple[Tensor, Tensor]:
                moved_n3 = (points_n3 @ T_cw_44[:3, :3].T + T_cw_44[:3, 3]) @ exp_so3(xi_6[:3]).T + xi_6[3:]
                image_n3 = moved_n3 @ K_33.T
                return image_n3[:, :2] / image_n3[:, 2:], image_n3[:, 2:]

            pi_n2, depth_n1 = projected(xi_6)
            error_n2 = (px_n2 - pi_n2) * (1.0 if ctx.divide else depth_n1)
            J_n26 = torch.func.jacfwd(lambda xi: projected(xi)[0])(xi_6)
            return torch.einsum("ni,nij->j", error_n2, J_n26)

        zero_6 = torch.zeros(6, dtype=points_n3.dtype)
        H_66 = torch.func.jacfwd(constraint)(zero_6, points_n3)
        moved = torch.func.jacfwd(
            lambda xi: invert(compose(exp_so3(xi[:3]) @ T_cw_44[:3, :3], exp_so3(xi[:3]) @ T_cw_44[:3, 3] + xi[3:]))
        )(zero_6)
        v_6 = torch.linalg.inv(H_66).T @ torch.einsum("ij,ijk->k", upstream_44, moved)
        _, pull = torch.func.vjp(lambda p: constraint(zero_6, p), points_n3)
        return -pull(v_6)[0], None, None, None, None
