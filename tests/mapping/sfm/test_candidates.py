"""Which photos are matched: those that look alike, by votes that a slow twin counts one by one."""

import torch

from tests.mapping.sfm import synthetic
from transpose.mapping.sfm import candidates
from transpose.mapping.sfm.candidates import candidate_pairs, votes
from transpose.models.matching import mutual_matches


def test_votes_are_mutual_matches_of_the_strongest() -> None:
    keypoints = synthetic.keypoints_of(synthetic.ring(4), synthetic.cloud())
    keypoints.append(synthetic.seen(synthetic.ring(1)[0], synthetic.cloud(1), 9).strongest(100))
    counted_pp = votes(keypoints)
    for first, one in enumerate(keypoints):
        for second, other in enumerate(keypoints):
            expected = 0
            if first != second:
                some = (each.descriptors_nc[: candidates._VOTERS] for each in (one, other))
                expected = len(mutual_matches(*some, candidates._VOTE_SIMILARITY)[0])
            assert counted_pp[first, second] == expected
    assert counted_pp[:4, :4].sum() > 0
    assert counted_pp[4].sum() == 0


def test_few_photos_are_all_matched() -> None:
    keypoints = synthetic.keypoints_of(synthetic.ring(4), synthetic.cloud())
    assert candidate_pairs(keypoints) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_of_many_those_that_look_alike_and_neighbours_by_name(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(candidates, "_FEW_PHOTOS", 3)
    poses = synthetic.ring(6)
    one, other = (synthetic.keypoints_of(poses, synthetic.cloud(seed)) for seed in (0, 1))
    mixed = [keypoints for pair in zip(one, other, strict=True) for keypoints in pair]
    pairs = candidate_pairs(mixed)
    assert pairs == sorted(set(pairs))
    assert all(first < second for first, second in pairs)
    alike = {(first, second) for first, second in pairs if (first - second) % 2 == 0}
    assert len(alike) > 20
    assert set(pairs) - alike == {(number, number + 1) for number in range(11)}


def test_photos_without_keypoints_have_no_votes() -> None:
    keypoints = synthetic.keypoints_of(synthetic.ring(2), synthetic.cloud())
    empty = keypoints[0].strongest(0)
    assert votes([*keypoints, empty])[2].sum() == 0
    assert torch.equal(votes([*keypoints, empty])[:2, :2], votes(keypoints))
