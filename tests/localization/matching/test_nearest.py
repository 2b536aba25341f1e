"""Matching of many images at once against pair by pair; matches merged by place."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transpose.localization.matching.matches import ImageMatches, merged
from transpose.localization.matching.nearest import mutual_in_views


def by_hand(query: torch.Tensor, views: torch.Tensor, least: float, ratio: float | None) -> set[tuple[int, int, int]]:
    """The same pairs, one at a time."""
    found = set()
    for v, view in enumerate(views):
        similarity = (query @ view.T).numpy()
        for n, row in enumerate(similarity):
            best, second = np.argsort(-row)[:2]
            mutual = similarity[:, best].argmax() == n
            nearer = ratio is None or np.sqrt(2 - 2 * row[best]) <= ratio * np.sqrt(2 - 2 * row[second])
            if mutual and nearer and row[best] > least:
                found.add((v, n, int(best)))
    return found


@pytest.mark.parametrize("ratio", [None, 0.9])
def test_all_views_at_once_are_each_view_alone(ratio: float | None) -> None:
    torch.manual_seed(0)
    query, views = F.normalize(torch.randn(40, 8), dim=1), F.normalize(torch.randn(3, 50, 8), dim=2)
    views[1, 30:] = 0  # a view with fewer keypoints
    view, keypoint, within, similarity = mutual_in_views(query, views, 0.5, ratio)
    assert set(zip(view.tolist(), keypoint.tolist(), within.tolist(), strict=True)) == by_hand(query, views, 0.5, ratio)
    assert len(view) > 20 and within[view == 1].max() < 30
    assert torch.allclose(similarity, (query[keypoint] * views[view, within]).sum(1), atol=1e-6)


def test_matches_of_one_place_become_its_mean() -> None:
    points = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [5, 0, 0], [0.1, 0, 0], [9, 0, 0]])
    matches = ImageMatches(torch.tensor([7, 7, 7, 3]), torch.tensor([0, 1, 2, 4]), torch.tensor([0.9, 0.8, 0.95, 0.7]))
    places = merged(matches, points, torch.full((5,), 0.5))
    found = {(int(k), round(float(p[0]), 4)) for k, p in zip(places.keypoint_m, places.points_m3, strict=True)}
    assert found == {(7, 5.0), (7, 0.1), (3, 9.0)}


def test_a_keypoint_may_be_at_few_places() -> None:
    points = torch.arange(10.0)[:, None] * torch.tensor([1.0, 0, 0])
    matches = ImageMatches(torch.zeros(10, dtype=torch.int64), torch.arange(10), torch.linspace(0.7, 0.9, 10))
    places = merged(matches, points, torch.full((10,), 0.1))
    assert places.points_m3[:, 0].tolist() == [9, 8, 7]  # the surest


def test_no_matches_are_no_places() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    places = merged(ImageMatches(none, none, none.float()), torch.zeros(4, 3), torch.ones(4))
    assert len(places.keypoint_m) == len(places.points_m3) == 0
