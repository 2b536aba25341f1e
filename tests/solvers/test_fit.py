"""Which points the last fit of a pose takes, and what their errors are taken to be."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.solvers.posed import K_33, posed
from transpose.randomness import torch_stream
from transpose.solvers.lenses import Lenses
from transpose.solvers.lie import invert
from transpose.solvers.options import RansacOptions
from transpose.solvers.robust.fit import _pixel_sigmas, fitted
from transpose.solvers.robust.images import Images


def fit_with_one_off(off_px: float, sigma_m: float | None, options: RansacOptions) -> Tensor:
    """The fitted pose where one point, 2 m away, is seen so far from its place; the others exactly."""
    given = posed(1, 40)
    px_bn2, points_bn3 = given.px_bn2.clone(), given.points_bn3.clone()
    camera_3 = given.camera_bn3[0, 0] * 2 / given.camera_bn3[0, 0, 2]
    points_bn3[0, 0] = given.T_wc_b44[0, :3, :3] @ camera_3 + given.T_wc_b44[0, :3, 3]
    px_bn2[0, 0, 0] += off_px
    covariances = None if sigma_m is None else sigma_m**2 * torch.eye(3, dtype=torch.float64).expand(1, 40, 3, 3)
    images = Images.of(px_bn2, points_bn3, covariances, Lenses.of(K_33, 1, px_bn2.device))
    T_cw = invert(given.T_wc_b44)[:, :3].clone()
    T_cw[..., 3:] += T_cw[..., :3] @ images.center_b3[..., None]
    return fitted(images, T_cw, options).poses_b34


# Four sigmas of a point, as they look at 2 m, 522 pixels of focal length.
FOUR_SIGMAS_PX = 4 * 0.01 * math.sqrt(525 * 520) / 2


@pytest.mark.parametrize(
    ("bound_px", "sigma_m", "refine"),
    [
        (20.0, None, "auto"),  # two thresholds
        (20.0, 0.01, "pixel"),
        (FOUR_SIGMAS_PX, 0.01, "auto"),
        (FOUR_SIGMAS_PX, 0.01, "ray"),
        (40.0, 1.0, "auto"),  # four thresholds at most
    ],
)
def test_what_is_far_off_takes_no_part(bound_px: float, sigma_m: float | None, refine: str) -> None:
    options = RansacOptions(max_error_px=10.0, refine=refine)  # type: ignore[arg-type]
    inside, outside, further = (fit_with_one_off(x * bound_px, sigma_m, options) for x in (0.98, 1.02, 3.0))
    assert torch.equal(outside, further)
    assert not torch.equal(inside, outside)
    torch.testing.assert_close(outside, fit_with_one_off(0.0, sigma_m, options), rtol=0, atol=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_how_errors_depend_on_depth_is_found_by_their_likelihood(power: float) -> None:
    """Errors of a Cauchy density in two dimensions, half of the image's points filled up; few points tell nothing."""
    draws = torch_stream(6, "sigmas")
    depth_bm = 1 + 9 * torch.rand(2, 800, generator=draws, dtype=torch.float64)
    uniform_bm = torch.rand(2, 800, generator=draws, dtype=torch.float64)
    error_bm = 0.3 * depth_bm**-power * (-2 * (1 - uniform_bm).log()).sqrt()
    weight_bm = torch.ones_like(depth_bm)
    weight_bm[1, 400:] = 0
    error_bm = error_bm.masked_fill(weight_bm == 0, torch.nan)
    sigma_bm = _pixel_sigmas(error_bm, depth_bm, weight_bm, 1e-6)
    for sigma_m, depth_m, weight_m in zip(sigma_bm, depth_bm, weight_bm, strict=True):
        there_m = weight_m > 0
        torch.testing.assert_close(sigma_m[there_m], 0.3 * depth_m[there_m] ** -power, rtol=0.12, atol=0)
    few = _pixel_sigmas(error_bm[:1, :29], depth_bm[:1, :29], weight_bm[:1, :29], 1e-6)
    assert float(few.max() - few.min()) < 1e-12
    assert (_pixel_sigmas(0 * error_bm[:1], depth_bm[:1], weight_bm[:1], 0.01) > 0.002).all()
