"""A batch of correspondences as the solver holds it, and the picking of columns from it."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tests.solvers.posed import K_33, posed
from transpose.randomness import torch_stream
from transpose.solvers.lenses import Lenses
from transpose.solvers.robust.images import Images, compressed, median, picked, spread_out


def images_with(covariances_bn33: torch.Tensor | None) -> Images:
    given = posed(2, 9)
    return Images.of(given.px_bn2, given.points_bn3, covariances_bn33, Lenses.of(K_33, 2, given.px_bn2.device))


def test_covariances_are_told_by_what_they_are() -> None:
    ball = torch.eye(3, dtype=torch.float64).expand(2, 9, 3, 3) * torch.linspace(1, 3, 9)[:, None, None].double()
    assert images_with(None).isotropic()
    assert images_with(ball).isotropic()
    for i, j in product(range(3), range(3)):
        other = ball.clone()
        other[1, 4, i, j] = other[1, 4, j, i] = 1.25
        assert not images_with(other).isotropic()
        torch.testing.assert_close(images_with(other).variance_bn(), other.diagonal(dim1=2, dim2=3).mean(2))
    assert torch.equal(images_with(ball)[torch.tensor([1])].covariances_b6n[0], images_with(ball).covariances_b6n[1])


def test_covariances_are_made_no_surer_than_asked() -> None:
    stream = torch_stream(0, "roots")
    root = torch.randn(2, 9, 3, 3, generator=stream, dtype=torch.float64)
    images = images_with(root @ root.mT + 0.1 * torch.eye(3, dtype=torch.float64))
    least_bn = 8 * torch.rand(2, 9, generator=stream, dtype=torch.float64)
    before_bn, after = images.variance_bn(), images.no_surer_than(least_bn)
    torch.testing.assert_close(after.variance_bn(), torch.maximum(before_bn, least_bn))
    added_b6n = after.covariances_b6n - images.covariances_b6n
    expected_bn = (least_bn - before_bn).clamp_min(0)
    torch.testing.assert_close(added_b6n[:, (0, 3, 5)], expected_bn[:, None].expand(-1, 3, -1))
    assert not added_b6n[:, (1, 2, 4)].any()


def test_a_correspondence_without_numbers_or_said_twice_is_not_used() -> None:
    given, nan = posed(1, 9), torch.nan
    px, points = given.px_bn2.clone(), given.points_bn3.clone()
    covariances = torch.eye(3, dtype=torch.float64).repeat(1, 9, 1, 1)
    px[0, 1, 1], points[0, 2, 0], covariances[0, 3, 1, 1], covariances[0, 4, 2, 0] = nan, torch.inf, 0.0, nan
    px[0, 6], points[0, 6] = px[0, 5], points[0, 5]
    px[0, 8] = px[0, 7]  # another point at the same pixel is another correspondence
    found = Images.of(px, points, covariances, Lenses.of(K_33, 1, px.device))
    assert found.finite_bn[0].tolist() == [True, False, False, False, True, True, True, True, True]
    assert found.usable_bn[0].tolist() == [True, False, False, False, True, True, False, True, True]
    assert found.rays_b3n.isfinite().all() and found.local_b4n.isfinite().all() and found.px_bn2.isfinite().all()
    back = (found.local_b4n[:, :3] + found.center_b3[..., None]).mT[found.usable_bn]
    torch.testing.assert_close(back, points[found.usable_bn])
    torch.testing.assert_close(found.center_b3[0], points[found.usable_bn].median(0).values)


def test_zooming_is_another_lens_for_the_same_pixels() -> None:
    zoomed = images_with(None).zoomed(torch.tensor([0.5, 2.0], dtype=torch.float64))
    torch.testing.assert_close(zoomed.rays_b3n, zoomed.lenses.unproject(zoomed.px_bn2))


def test_marked_columns_are_picked_in_order_and_filled_up() -> None:
    near_bn = torch.tensor([[0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0], [0] * 6], dtype=torch.bool)
    index_bm, weight_bm = compressed(near_bn)
    assert index_bm.tolist() == [[1, 3, 4], [2, 2, 2], [0, 0, 0]]
    assert weight_bm.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    values = torch.arange(36).reshape(3, 2, 6)
    assert picked(values, index_bm)[0].tolist() == [[1, 3, 4], [7, 9, 10]]
    assert compressed(near_bn[2:])[0].shape == (1, 1)


@pytest.mark.parametrize("k", [1, 4, 7])
def test_a_few_are_spread_over_all(k: int) -> None:
    usable_bn = torch.rand(3, 40, generator=torch_stream(0, "usable")) < torch.tensor([[0.9], [0.5], [0.1]])
    column_bk, there_bk = spread_out(usable_bn, k)
    for usable_n, column_k, there_k in zip(usable_bn, column_bk, there_bk, strict=True):
        columns = usable_n.nonzero()[:, 0].tolist()
        wanted = [columns[i * len(columns) // k] for i in range(k)] if len(columns) > k else columns
        assert column_k[there_k].tolist() == wanted


@pytest.mark.parametrize("n", [5, 64, 900, 4000])
def test_a_median_leaves_out_what_is_unknown(n: int) -> None:
    values = torch.rand(3, n, generator=torch_stream(n, "values"), dtype=torch.float64)
    values[1, ::2] = torch.nan
    values[2] = torch.nan
    found = median(values)
    assert found[2] == 0
    for i in range(2):
        assert found[i] == pytest.approx(float(values[i].nanmedian()), abs=0.1 if n > 500 else 1e-12)
    few = torch.full((1, 4096), torch.nan)
    few[0, 4000:4003] = torch.tensor([3.0, 1.0, 2.0])  # between those that would be looked at first
    assert median(few) == 2


def test_a_covariance_that_is_not_positive_definite_is_none() -> None:
    """As eigenvalues have it; those of planes and lines among them, and long thin ones that are."""
    generator = torch_stream(0, "covariances")
    axes, _ = torch.linalg.qr(torch.randn(400, 3, 3, generator=generator, dtype=torch.float64))
    eigenvalues = torch.rand(400, 3, generator=generator, dtype=torch.float64) + 0.01
    eigenvalues[:100] *= 10.0 ** torch.randint(-4, 3, (100, 3), generator=generator)
    eigenvalues[100:200, 0] *= -1
    eigenvalues[200:250, :2] *= -1
    eigenvalues[250:300, 1] = 0
    eigenvalues[300:320, 1:] = 0
    covariances = (axes * eigenvalues[:, None]) @ axes.mT
    given = posed(1, 400)
    found = Images.of(given.px_bn2, given.points_bn3, covariances[None], Lenses.of(K_33, 1, given.px_bn2.device))
    assert torch.equal(found.finite_bn[0], eigenvalues.amin(1) > 0)
