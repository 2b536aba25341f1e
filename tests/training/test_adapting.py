"""Training an adapter: which observations a batch holds, and that descriptors of one place come together."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transpose.errors import TransposeError
from transpose.geometry.same_place import same_place
from transpose.models.adapter import Adapter, AdapterConfig
from transpose.randomness import torch_stream
from transpose.training.adapting import (
    AdapterTraining,
    Places,
    fit_statistics,
    train_adapter,
    with_adapted_descriptors,
)
from transpose.training.landmarks import Observations

CPU = torch.device("cpu")
GSD_M = 0.01
TRAINING = AdapterTraining(steps=80, batch=128, neighbourhood_px=40.0)


def observations(places: int = 60, views: int = 6, photos: bool = False, seed: int = 0) -> Observations:
    """Each view sees each place, which the descriptor's features hardly tell from noise, and the others do."""
    generator = torch.Generator().manual_seed(seed)
    points_p3 = torch.rand(places, 3, generator=generator)
    point_n3 = points_p3.repeat(views, 1) + 0.3 * GSD_M * torch.rand(places * views, 3, generator=generator)
    view_n = torch.arange(views).repeat_interleave(places)
    of_place = torch.randn(places, 256, generator=generator).repeat(views, 1)
    noise = torch.where(torch.arange(256) < 64, 2.5, 0.5)
    features_nk = of_place + noise * torch.randn(places * views, 256, generator=generator)
    count = len(point_n3)
    return Observations(
        point_n3,
        F.normalize(features_nk[:, :64], dim=1).half(),
        torch.full((count,), GSD_M),
        torch.zeros(count, 3).half(),
        view_n % 2 == 0 if photos else torch.zeros(count, dtype=torch.bool),
        view_n,
        torch.full((count,), -1),
        features_nk.half(),
    )


def first_is_right(descriptors_nd: torch.Tensor, places: int) -> float:
    """How often the most similar observation of another view is of the same place."""
    similarity = descriptors_nd.float() @ descriptors_nd.float().T
    number = torch.arange(len(descriptors_nd))
    similarity[(number[:, None] // places) == (number // places)] = -1
    return float((similarity.argmax(1) % places == number % places).float().mean())


def test_descriptors_of_one_place_come_together() -> None:
    seen = observations()
    places = Places.of(seen, TRAINING)
    torch.manual_seed(0)
    adapter = Adapter(AdapterConfig(width=64))
    fit_statistics(adapter, [places], 0)
    before = first_is_right(with_adapted_descriptors(adapter, seen, CPU).descriptors_nc, 60)
    train_adapter(adapter, [places], TRAINING, 0, CPU, torch.float32)
    after = with_adapted_descriptors(adapter, seen, CPU)
    assert before < 0.3 < 0.8 < first_is_right(after.descriptors_nc, 60)
    assert after.features_nk is None and not any(weight.requires_grad for weight in adapter.parameters())
    assert all(torch.equal(weight, weight.half().float()) for weight in adapter.parameters())


def test_the_same_seed_gives_the_same_adapter() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        adapter = Adapter(AdapterConfig(width=8))
        short = AdapterTraining(steps=3, batch=64)
        train_adapter(adapter, [Places.of(observations(), short)] * 2, short, seed, CPU, torch.float32)
        weights.append(adapter.last.weight.clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_batch_holds_neighbours_and_positives_that_geometry_allows() -> None:
    seen = observations()
    places = Places.of(seen, TRAINING)
    allowed = same_place((seen.points_n3 / GSD_M).numpy(), seen.frame_n.numpy(), TRAINING.positive_px, 8)
    drawn = set()
    for step in range(40):
        anchor_n, positive_n = places.draw(64, torch_stream(0, "test", str(step)))
        assert len(anchor_n) == len(positive_n) <= 64 and len(anchor_n.unique()) == len(anchor_n)
        for i, j in zip(anchor_n.tolist(), positive_n.tolist(), strict=True):
            assert j >= 0 and j in allowed[i]
            drawn.add((i, j))
    assert len({i for i, _ in drawn}) > 0.9 * len(seen)
    boxes_n3 = (places.points_n3[anchor_n] / TRAINING.neighbourhood_px).floor()
    assert len(boxes_n3.unique(dim=0)) <= 64 // 8


def test_positives_of_the_other_domain_come_first() -> None:
    seen = observations(photos=True)
    places = Places.of(seen, TRAINING)
    anchor_n, positive_n = places.draw(256, torch_stream(0, "test"))
    assert (seen.photo_n[anchor_n] != seen.photo_n[positive_n]).all()
    alone = observations()  # of one domain: any view will do
    assert len(Places.of(alone, TRAINING).anchors_a) == len(alone)


def test_views_that_see_nothing_twice_are_refused() -> None:
    seen = observations()
    once = seen[seen.frame_n == 0]
    for few in (once, seen[:0], seen[torch.arange(0, len(seen), 37)]):
        with pytest.raises(TransposeError, match="seen by a second view"):
            Places.of(few, TRAINING)


def test_a_loss_that_is_no_number_is_told() -> None:
    places = Places.of(observations(), TRAINING)
    adapter = Adapter(AdapterConfig(width=8))
    adapter.feature_mean[3] = np.nan
    with pytest.raises(TransposeError, match="no number"):
        train_adapter(adapter, [places], AdapterTraining(steps=2, batch=16), 0, CPU, torch.float32)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"temperature": 0.0}, {"positive_px": 5.0}, {"positive_px": 0.0}])
def test_settings_that_contradict_one_another_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AdapterTraining(**fields)  # type: ignore[arg-type]
