"""The contrastive loss beside that of a whole network."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from transpose.losses.cells import Cells
from transpose.models.dsacstar import DsacStarConfig, dsacstar_network
from transpose.training.contrast import ProjectedImages, WithContrast, projection_of, relations_between

FOCAL, DEPTH_M = 100.0, 2.0  # a pixel covers 2 cm


def two_views(count: int = 12) -> Cells:
    """Two images of points 50 cm apart, a centimetre of noise between them; the last point of each is unknown."""
    generator = torch.Generator().manual_seed(0)
    x_n = 0.5 * torch.arange(count)
    points_n3 = torch.stack([x_n, torch.zeros(count), torch.full((count,), DEPTH_M)], 1)
    both = torch.cat([points_n3, points_n3 + 0.01 * torch.randn(count, 3, generator=generator)])
    both[[count - 1, -1]] = torch.nan
    pose_n34 = torch.eye(3, 4).repeat(2 * count, 1, 1)
    return Cells(
        both, torch.zeros(2 * count, 2), pose_n34, torch.full((2 * count, 2), FOCAL), torch.zeros(2 * count, 2), 2
    )


def plain(raw_nk: torch.Tensor, cells: Cells, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    return raw_nk.square().sum(1), {"own": raw_nk.sum()}


def raw(projected_nd: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros(len(projected_nd), 3), F.normalize(projected_nd, dim=1)], 1)


def test_cells_of_one_place_are_positives_across_images() -> None:
    cells = two_views()
    related = relations_between(cells, torch.arange(24))
    positive = related.weights_nm > 0
    expected = torch.zeros(24, 24, dtype=torch.bool)
    for i in range(11):
        expected[i, i + 12] = expected[i + 12, i] = True
    assert torch.equal(positive, expected)
    assert not (related.ignored_nm & positive).any()
    assert related.ignored_nm[11].all() and related.ignored_nm[:, 23].all()  # unknown
    assert related.ignored_nm.diagonal().all()
    assert not related.ignored_nm[0, 2]  # of one image, and two places


def test_features_that_are_alike_where_places_are_cost_less() -> None:
    cells, generator = two_views(), torch.Generator().manual_seed(1)
    place = torch.randn(12, 64, generator=generator)
    alike, other = raw(place.repeat(2, 1)), raw(torch.randn(24, 64, generator=generator))
    objective = WithContrast(plain, 0.5, 0)
    (good_n, facts), (bad_n, _) = (objective(each, cells, 3) for each in (alike, other))
    assert good_n.shape == (24,) and (good_n < bad_n).all() and facts.keys() == {"own", "contrast"}
    torch.testing.assert_close(good_n, 0.5 * facts["contrast"].expand(24))


def test_without_anything_seen_twice_the_own_loss_remains() -> None:
    cells = two_views()
    apart = replace(cells, points_n3=cells.points_n3 + torch.arange(24)[:, None] * 10.0)
    unknown = replace(cells, points_n3=torch.full_like(cells.points_n3, torch.nan))
    for each in (apart, unknown):
        projected = raw(torch.randn(24, 64)).requires_grad_()
        loss_n, facts = WithContrast(plain, 1.0, 0)(projected, each, 0)
        loss_n.mean().backward()
        assert facts["contrast"] == 0 and projected.grad is not None and projected.grad.isfinite().all()


def test_the_encoder_learns_and_the_outputs_stay() -> None:
    torch.manual_seed(0)
    network = dsacstar_network(DsacStarConfig(tiny=True))
    module = ProjectedImages(network, projection_of(network, 0))
    image = torch.rand(2, 3, 32, 48) * 255
    out = module(image)
    torch.testing.assert_close(out[:, :3], network(image).permute(0, 2, 3, 1).flatten(0, 2))
    torch.testing.assert_close(out[:, 3:].norm(dim=1), torch.ones(len(out)))
    out[:, 3].sum().backward()
    assert network.encoder.conv1.weight.grad is not None  # type: ignore[union-attr]
    same = projection_of(network, 0).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in module.projection.state_dict().items())
