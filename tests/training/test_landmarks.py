import torch
import torch.nn.functional as F

from transpose.training.landmarks import Observations, landmarks_from


def observed(points_n3: torch.Tensor, descriptors_nc: torch.Tensor) -> Observations:
    footprint_n = torch.full((len(points_n3),), 0.004)
    return Observations(points_n3, descriptors_nc.half(), footprint_n, footprint_n < 0)


def place_centres(count: int) -> torch.Tensor:
    """Middles of cells of the 2 cm grid that a footprint of 4 mm leads to, far from each other."""
    return (torch.arange(count)[:, None] * 10 + 0.5) * torch.tensor([[0.02, 0.02, 0.02]])


def test_what_is_met_often_becomes_a_landmark_at_its_mean() -> None:
    torch.manual_seed(0)
    centres = place_centres(6)
    looks = F.normalize(torch.randn(6, 64), dim=1)
    often = torch.arange(5).repeat(8)
    which = torch.cat([often, torch.tensor([5, 5])])  # the sixth place was met twice only
    points = centres[which] + 0.002 * torch.randn(len(which), 3)
    descriptors = F.normalize(looks[which] + 0.03 * torch.randn(len(which), 64), dim=1)
    landmarks = landmarks_from(observed(points, descriptors), 100)
    assert len(landmarks) == 5
    nearest = torch.cdist(centres[:5], landmarks.points_n3).min(1)
    assert nearest.values.max() < 0.003
    assert ((landmarks.descriptors_nc[nearest.indices] * looks[:5]).sum(1) > 0.98).all()


def test_a_place_seen_from_two_sides_keeps_both_looks() -> None:
    torch.manual_seed(0)
    looks = F.normalize(torch.randn(2, 64), dim=1)
    which = torch.tensor([0] * 6 + [1] * 4)
    descriptors = F.normalize(looks[which] + 0.02 * torch.randn(10, 64), dim=1)
    landmarks = landmarks_from(observed(place_centres(1).repeat(10, 1), descriptors), 100)
    assert len(landmarks) == 2
    assert (landmarks.descriptors_nc @ looks.T).max(0).values.min() > 0.98


def test_the_best_are_kept() -> None:
    torch.manual_seed(0)
    counts = torch.tensor([3, 9, 5])
    which = torch.repeat_interleave(torch.arange(3), counts)
    descriptors = F.normalize(torch.randn(3, 64), dim=1)[which]
    landmarks = landmarks_from(observed(place_centres(3)[which], descriptors), 2)
    assert torch.allclose(landmarks.points_n3, place_centres(3)[[1, 2]], atol=1e-5)


def test_positions_come_from_the_model_where_it_was_rendered() -> None:
    torch.manual_seed(0)
    look = F.normalize(torch.randn(1, 64), dim=1)
    points = place_centres(1).repeat(8, 1)
    points[4:] += 0.004
    both = observed(points, look.repeat(8, 1))
    both.photo_n[4:] = True
    assert torch.allclose(landmarks_from(both, 10).points_n3, place_centres(1), atol=1e-5)
    both.photo_n[:] = True
    assert torch.allclose(landmarks_from(both, 10).points_n3, place_centres(1) + 0.002, atol=1e-5)


def test_no_observations_make_an_empty_map() -> None:
    assert len(landmarks_from(Observations.joined([]), 10)) == 0
