import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.models.xfeat import DESCRIPTOR_CHANNELS
from transpose.training.landmarks import Observations, _Groups, _near, _representatives, landmarks_from, place_keys

GSD_M = 0.004


def observed(points_n3: Tensor, descriptors_nc: Tensor, gsd_m: float = GSD_M) -> Observations:
    gsd_n = torch.full((len(points_n3),), gsd_m, device=points_n3.device)
    none_n = torch.full((len(points_n3),), -1, device=points_n3.device)
    toward_n3 = torch.zeros_like(points_n3).half()
    return Observations(points_n3, descriptors_nc.half(), gsd_n, toward_n3, gsd_n < 0, none_n, none_n)


def some_places(count: int, device: torch.device, apart_m: float = 0.2) -> Tensor:
    """A line of places, each somewhere else in its cell of whatever grid."""
    return torch.arange(count, device=device)[:, None] * apart_m * torch.tensor([[1.0, 0.917, -1.033]], device=device)


def some_descriptors(count: int, device: torch.device, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 64, generator=generator), dim=1).to(device)


def noise(*shape: int, device: torch.device, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


def nearest(of_n3: Tensor, among_n3: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each to the nearest, and which that is."""
    distance_n, which_n = torch.cdist(of_n3.double(), among_n3.double()).min(1)
    return distance_n, which_n


def test_what_is_seen_often_becomes_a_landmark_at_its_mean(device: torch.device) -> None:
    places, modes = some_places(6, device), some_descriptors(6, device)
    which = torch.cat([torch.arange(5).repeat(8), torch.tensor([5, 5])]).to(device)  # the sixth was seen twice only
    points = places[which] + 0.002 * noise(len(which), 3, device=device)
    descriptors = F.normalize(modes[which] + 0.03 * noise(len(which), 64, device=device, seed=2), dim=1)
    landmarks = landmarks_from(observed(points, descriptors), 100)
    assert landmarks.points_n3.device.type == device.type
    assert len(landmarks) == 5
    distance_n, which_n = nearest(places[:5], landmarks.points_n3)
    assert distance_n.max() < 0.003
    assert ((landmarks.descriptors_nc[which_n] * modes[:5]).sum(1) > 0.98).all()


def test_a_landmark_knows_from_where_it_was_seen(device: torch.device) -> None:
    """The mean direction to the cameras: long where these stood together, short where they stood all around."""
    which = torch.arange(2, device=device).repeat(4)
    toward_n3 = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 0.6, 0.8], [-1, 0, 0]], device=device).repeat(2, 1)
    given = observed(some_places(2, device)[which], some_descriptors(2, device)[which])
    landmarks = landmarks_from(dataclasses.replace(given, toward_n3=toward_n3.half()), 10)
    _, which_n = nearest(some_places(2, device), landmarks.points_n3)
    assert landmarks.toward_n3 is not None
    expected = torch.tensor([[0.0, 0.3, 0.9], [0, 0, 0]], device=device)
    assert torch.allclose(landmarks.toward_n3[which_n], expected, atol=1e-3)


def test_a_place_seen_from_two_sides_keeps_both_descriptors(device: torch.device) -> None:
    modes = some_descriptors(2, device)
    which = torch.tensor([0] * 6 + [1] * 4, device=device)
    descriptors = F.normalize(modes[which] + 0.02 * noise(10, 64, device=device), dim=1)
    landmarks = landmarks_from(observed(some_places(1, device).repeat(10, 1), descriptors), 100)
    assert len(landmarks) == 2
    assert (landmarks.descriptors_nc @ modes.T).max(0).values.min() > 0.98


def test_the_best_are_kept(device: torch.device) -> None:
    which = torch.repeat_interleave(torch.arange(3), torch.tensor([3, 9, 5])).to(device)
    places = some_places(3, device)
    landmarks = landmarks_from(observed(places[which], some_descriptors(3, device)[which]), 2)
    assert torch.allclose(landmarks.points_n3, places[[1, 2]], atol=1e-5)


def test_positions_come_from_the_model_where_it_was_rendered(device: torch.device) -> None:
    mode, place = some_descriptors(1, device), some_places(1, device)
    points = place.repeat(8, 1)
    points[4:] += 0.004
    both = observed(points, mode.repeat(8, 1))
    both.photo_n[4:] = True
    assert torch.allclose(landmarks_from(both, 10).points_n3, place, atol=1e-5)
    both.photo_n[:] = True
    assert torch.allclose(landmarks_from(both, 10).points_n3, place + 0.002, atol=1e-5)
    # A point that several photos show is the surest.
    mapped = dataclasses.replace(both, number_n=torch.tensor([-1] * 6 + [3, 3], device=device))
    mapped.photo_n[:4] = False
    assert torch.allclose(landmarks_from(mapped, 10).points_n3, place + 0.004, atol=1e-5)


def test_a_corner_is_one_landmark_wherever_the_grid_has_its_borders(device: torch.device) -> None:
    """Observations scatter by a pixel about corners that lie everywhere in their cells."""
    count, times = 200, 12
    generator = torch.Generator().manual_seed(3)
    places = torch.rand(count, 3, generator=generator).to(device) + some_places(count, device)
    which = torch.arange(count, device=device).repeat(times)
    points = places[which] + 0.7 * GSD_M * noise(count * times, 3, device=device)
    descriptors = F.normalize(
        some_descriptors(count, device)[which] + 0.05 * noise(count * times, 64, device=device, seed=2), dim=1
    )
    landmarks = landmarks_from(observed(points, descriptors), 10_000)
    assert len(landmarks) == count
    mean = torch.zeros_like(places).index_add_(0, which, points) / times
    error_n, _ = nearest(mean, landmarks.points_n3)
    assert error_n.median() < 1e-5  # of all its observations, where none was left out
    assert error_n.max() < 0.5 * GSD_M


@pytest.mark.parametrize("across_px", [6.0, 20.0])
def test_corners_that_look_alike_stay_apart(across_px: float, device: torch.device) -> None:
    """Windows of a facade, a few pixels from each other: each is a landmark, and where it is."""
    columns = torch.arange(12, device=device).float()
    places = torch.stack([columns, 0 * columns, 0 * columns], 1) * across_px * GSD_M
    which = torch.arange(12, device=device).repeat(6)
    points = places[which] + 0.3 * GSD_M * noise(72, 3, device=device)
    landmarks = landmarks_from(observed(points, some_descriptors(1, device).expand(72, 64)), 100)
    assert len(landmarks) == 12
    assert nearest(places, landmarks.points_n3)[0].max() < GSD_M


@pytest.mark.parametrize("scale", [0.01, 1000.0])
def test_the_unit_of_length_does_not_matter(scale: float, device: torch.device) -> None:
    which = torch.arange(40, device=device).repeat(6)
    points = some_places(40, device)[which] + 0.8 * GSD_M * noise(240, 3, device=device)
    descriptors = F.normalize(some_descriptors(40, device)[which] + 0.05 * noise(240, 64, device=device, seed=2), dim=1)
    one = landmarks_from(observed(points, descriptors), 100)
    other = landmarks_from(observed(scale * points, descriptors, scale * GSD_M), 100)
    assert len(one) == len(other) == 40
    assert nearest(one.points_n3, other.points_n3 / scale)[0].max() < 1e-2 * GSD_M


def test_no_two_landmarks_are_of_one_corner(device: torch.device) -> None:
    """A cloud without order, in which whatever is joined moves next to something else."""
    points = 0.1 * torch.rand(3000, 3, generator=torch.Generator().manual_seed(0)).to(device)
    descriptors = F.normalize(some_descriptors(1, device) + 0.06 * noise(3000, 64, device=device), dim=1)
    landmarks = landmarks_from(observed(points, descriptors), 3000)
    assert len(landmarks) > 100
    apart = torch.cdist(landmarks.points_n3, landmarks.points_n3) + torch.eye(len(landmarks), device=device)
    similar = landmarks.descriptors_nc @ landmarks.descriptors_nc.T >= 0.75
    assert apart[similar].min() > 3 * GSD_M


def test_near_finds_each_pair_once(device: torch.device) -> None:
    points = noise(800, 3, device=device, seed=5)
    first, second = _near(points, 0.2)
    apart = torch.cdist(points.double(), points.double()).cpu().numpy()
    expected = {(i, j) for i, j in zip(*np.nonzero(apart <= 0.2), strict=True) if i < j}
    found = [tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    assert len(found) == len(set(found)) > 100
    assert set(found) == expected


def test_no_observations_make_an_empty_map() -> None:
    empty = landmarks_from(Observations.joined([]), 10)
    assert len(empty) == 0 and empty.descriptors_nc.shape == (0, DESCRIPTOR_CHANNELS)
    assert empty.points_n3.shape == (0, 3) and empty.toward_n3 is not None and empty.toward_n3.shape == (0, 3)


def test_more_landmarks_are_kept_where_views_see_few(device: torch.device) -> None:
    # 30,000 places seen three times each: of 20,000, a view sees 667 where there are 90, and 222 where there are 270.
    count, views = 30_000, 90
    places = some_places(count, device, 1.0)
    which = torch.arange(count, device=device).repeat(3)
    observations = observed(places[which], some_descriptors(count, device)[which])
    for many, expected in ((views, 20_000), (3 * views, count)):
        seen_by = (torch.arange(3 * count, device=device) * 7) % many
        assert len(landmarks_from(dataclasses.replace(observations, frame_n=seen_by), 60_000)) == expected
    assert len(landmarks_from(dataclasses.replace(observations, frame_n=seen_by), 25_000)) == 25_000


def test_no_observations_are_joined_with_some() -> None:
    """The empty ones have the types and widths of all others, so that parts of a scene may be without any."""
    some = observed(some_places(4, torch.device("cpu")), some_descriptors(4, torch.device("cpu")))
    together = Observations.joined([Observations.joined([]), some, some[torch.tensor([2, 0])]])
    assert len(together) == 6
    for field in dataclasses.fields(Observations)[:-1]:
        joined, alone = getattr(together, field.name), getattr(some, field.name)
        assert joined.dtype == alone.dtype
        assert torch.equal(joined, torch.cat([alone, alone[[2, 0]]]))
    assert together.features_nk is None
    featured = dataclasses.replace(some, features_nk=torch.arange(12.0).reshape(4, 3).half())
    picked = Observations.joined([featured, featured])[torch.tensor([5, 3])].features_nk
    assert picked is not None and picked.tolist() == [[3, 4, 5], [9, 10, 11]]


def test_three_observations_make_a_landmark_and_two_do_not(device: torch.device) -> None:
    places, which = some_places(2, device), torch.tensor([0, 0, 0, 1, 1], device=device)
    landmarks = landmarks_from(observed(places[which], some_descriptors(2, device)[which]), 10)
    assert torch.allclose(landmarks.points_n3, places[:1])
    assert torch.allclose(landmarks.descriptors_nc.norm(dim=1), torch.ones(1, device=device))


def test_a_place_is_remembered_by_four_appearances_at_most(device: torch.device) -> None:
    modes, which = some_descriptors(6, device), torch.arange(6, device=device).repeat(5)
    landmarks = landmarks_from(observed(some_places(1, device).repeat(30, 1), modes[which]), 100)
    assert len(landmarks) == 4
    assert (landmarks.descriptors_nc @ modes.T).max(1).values.min() > 0.99


@pytest.mark.parametrize(("similar", "count"), [(0.5, 1), (0.7, 2)])
def test_how_similar_is_one_thing_is_said(similar: float, count: int, device: torch.device) -> None:
    """Two appearances whose cosine is 0.6."""
    modes = torch.zeros(2, 64, device=device)
    modes[0, 0], modes[1, 0], modes[1, 1] = 1.0, 0.6, 0.8
    given = observed(some_places(1, device).repeat(8, 1), modes[torch.arange(8, device=device) % 2])
    assert len(landmarks_from(given, 10, similar)) == count


def test_three_pixels_of_the_usual_view_are_one_place(device: torch.device) -> None:
    """Whatever a view from far away says."""
    mode = some_descriptors(1, device)
    for apart_px, count in ((2.9, 1), (3.2, 2)):
        places = torch.tensor([[0.1, 0.2, 0.3], [0.1 + apart_px * GSD_M, 0.2, 0.3]], device=device)
        given = observed(places.repeat(6, 1), mode.expand(12, 64))
        given.gsd_n[:5] = 10.0
        assert len(landmarks_from(given, 10)) == count


def test_each_cell_of_the_grid_has_a_number_and_those_above_each_other_follow() -> None:
    cells = torch.cartesian_prod(*[torch.tensor([-(2**20), -70_000, -2, -1, 0, 1, 2, 70_000, 2**20 - 2])] * 3)
    keys = place_keys(cells)
    assert len(keys.unique()) == len(cells)
    assert torch.equal(place_keys(cells + torch.tensor([0, 0, 1])), keys + 1)
    assert (keys >= 0).all()
    ordered = sorted(map(tuple, cells.tolist()))
    assert torch.equal(place_keys(torch.tensor(ordered)), keys.sort().values)
    assert torch.equal(place_keys(cells + 2**21), keys)


def test_groups_are_joined_as_if_they_had_been_one(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(4)
    given = observed(noise(60, 3, device=device), some_descriptors(60, device))
    given.photo_n[:] = (torch.rand(60, generator=generator) < 0.5).to(device)
    given.number_n[:] = (torch.randint(-2, 3, (60,), generator=generator).clamp_min(-1)).to(device)
    group_n = torch.arange(60, device=device) % 20
    representative_g = torch.arange(20, device=device) // 3 * 3
    joined = _Groups.of(given, group_n).merged(representative_g)
    at_once = _Groups.of(given, group_n // 3)
    for field in dataclasses.fields(_Groups):
        assert torch.allclose(getattr(joined, field.name), getattr(at_once, field.name), atol=1e-5)
    for g in range(7):
        mine = group_n // 3 == g
        counts = joined.count_g[g], joined.model_count_g[g], joined.mapped_count_g[g]
        assert [int(n) for n in counts] == [
            int(w.sum()) for w in (mine, mine & ~given.photo_n, mine & (given.number_n >= 0))
        ]


@pytest.mark.parametrize("seed", range(5))
def test_the_heaviest_takes_what_is_beside_it(seed: int, device: torch.device) -> None:
    """Representatives are those of the greedy choice one by one; all others join one that is beside them."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(40))
    pairs = pairs[torch.rand(len(pairs), generator=generator) < 0.04]
    weight_g = torch.randperm(40, generator=generator).float()
    beside = {g: {a + b - g for a, b in pairs.tolist() if g in (a, b)} for g in range(40)}
    chosen: set[int] = set()
    for g in sorted(range(40), key=lambda g: -float(weight_g[g])):
        if not beside[g] & chosen:
            chosen.add(g)
    found = _representatives(pairs.to(device), weight_g.to(device)).tolist()
    assert {g for g, r in enumerate(found) if g == r} == chosen
    assert len(chosen) < 30
    for g, r in enumerate(found):
        assert g == r or (r in beside[g] & chosen and weight_g[r] > weight_g[g])


def test_between_two_the_heavier_takes_it(device: torch.device) -> None:
    pairs = torch.tensor([[0, 1], [1, 2], [3, 1]], device=device)
    weight_g = torch.tensor([2.0, 0.5, 4.0, 3.0], device=device)
    assert _representatives(pairs, weight_g).tolist() == [0, 2, 2, 3]
