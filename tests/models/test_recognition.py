"""The recognition of map points: what it begins as, what its probabilities are, and what heads do with it."""

from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F

from transpose.models.heads import HeadConfig
from transpose.models.networks import build_network, load_network_state, stored_weights
from transpose.models.recognition import Recognition, RecognitionConfig


def recognition(points: int = 40) -> Recognition:
    torch.manual_seed(0)
    found = Recognition(RecognitionConfig(points))
    found.remember(torch.rand(points, 3), F.normalize(torch.randn(points, 64), dim=1))
    return found.requires_grad_(False)


def features_of(found: Recognition, which: torch.Tensor, noise: float = 0.02) -> torch.Tensor:
    rest = torch.randn(len(which), 192)
    return torch.cat([found.keys_kd[which] + noise * torch.randn(len(which), 64), rest], 1)


def test_it_begins_as_matching_with_usual_descriptors() -> None:
    found, which = recognition(), torch.arange(40)
    got = found.recognized(features_of(found, which))
    assert torch.equal(got.points_n3, found.points_k3)
    assert (got.probability_n > 0.9).all()


def test_probabilities_are_those_of_one_softmax_with_none() -> None:
    found = recognition()
    features_nc = torch.randn(7, 256)
    logits_nk = found(features_nc)
    assert logits_nk.shape == (7, 41)
    expected_nk = logits_nk.double().exp() / logits_nk.double().exp().sum(1, keepdim=True)
    got = found.recognized(features_nc)
    torch.testing.assert_close(got.probability_n.double(), expected_nk[:, :-1].amax(1), rtol=1e-5, atol=1e-7)


def test_what_is_like_nothing_is_taken_for_none() -> None:
    found = recognition()
    found.none.fill_(20.0)
    assert (found.recognized(features_of(found, torch.arange(40), 2.0)).probability_n < 0.5).all()


def test_many_keypoints_in_blocks_are_as_one_by_one() -> None:
    found = recognition()
    features_nc = torch.randn(1500, 256)
    together = found.recognized(features_nc)
    alone = [found.recognized(features_nc[i : i + 1]) for i in (0, 1023, 1024, 1499)]
    for i, each in zip((0, 1023, 1024, 1499), alone, strict=True):
        assert torch.equal(each.points_n3[0], together.points_n3[i])
    assert len(found.recognized(features_nc[:0]).points_n3) == 0


def test_a_network_keeps_what_it_recognizes() -> None:
    shape = asdict(HeadConfig(width=8, blocks=1, anchors=2))
    first = build_network("fast", shape)
    assert first.recognition is None
    first.recognition = recognition()
    second = build_network("fast", {**shape, "map_points": 40})
    load_network_state(second, stored_weights("fast", first))
    one, two = first.recognition, second.recognition
    assert isinstance(one, Recognition) and isinstance(two, Recognition)
    features_nc = torch.randn(5, 256)
    assert torch.equal(one.recognized(features_nc).points_n3, two.recognized(features_nc).points_n3)
    assert torch.equal(two.points_k3, one.points_k3)  # in single precision: metres of a map


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        RecognitionConfig(0)
