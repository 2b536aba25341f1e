"""A descriptor of whole images that learns from overlaps which of them look alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.conftest import looking_down
from tests.training.test_mlr import _posed
from tests.training.test_presets import scene  # noqa: F401
from transpose import runs
from transpose.errors import TransposeError
from transpose.localization.global_descriptors import Whitening, nearest
from transpose.localization.rerank import RerankOptions, reranked
from transpose.losses.contrastive import Relations
from transpose.randomness import torch_stream
from transpose.training.alike_views import AlikeTraining, AlikeViews, learned_whitening, overlaps
from transpose.training.presets import configured
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.start import train

PLACES, OF_PLACE = 20, 4
TRAINING = AlikeTraining(300, batch=48, learning_rate=5e-3, temperature=0.07, sharpness=1.0, components=24)
CPU = torch.device("cpu")


def on_a_loop() -> Tensor:
    """Overlaps of views about a loop of places: all of a place, little of its neighbours, nothing of others."""
    place_n = torch.arange(PLACES).repeat_interleave(OF_PLACE)
    apart_nn = (place_n[:, None] - place_n).abs()
    apart_nn = torch.minimum(apart_nn, PLACES - apart_nn)
    overlap_nn = torch.where(apart_nn == 0, 0.7, torch.where(apart_nn == 1, 0.2, 0.0))
    return overlap_nn.fill_diagonal_(1.0)


def looks(copies: int, purpose: str) -> Tensor:
    """Vectors of views (c, n, 32): what is of the place, and more that each image has of its own."""
    generator = torch_stream(0, "looks", purpose)
    of_place = torch.randn(PLACES, 12, generator=torch_stream(0, "places")).repeat_interleave(OF_PLACE, 0)
    own = 2 * torch.randn(copies, PLACES * OF_PLACE, 20, generator=generator)
    return F.normalize(torch.cat([of_place.expand(copies, -1, -1), own], 2), dim=2)


def right(whitening: Whitening, queries_nd: Tensor, database_nd: Tensor) -> float:
    """Share of queries whose most similar image is of their place."""
    found_n1, _ = nearest(whitening(queries_nd), whitening(database_nd), 1)
    return float((found_n1[:, 0] // OF_PLACE == torch.arange(len(queries_nd)) // OF_PLACE).float().mean())


@pytest.mark.parametrize("dimensions", [12, 64])
def test_views_of_one_place_become_alike(device: torch.device, dimensions: int) -> None:
    vectors_cnd, others_nd = looks(2, "learned from"), looks(1, "of another day")[0]
    start = Whitening.learned(vectors_cnd[0], TRAINING.components)
    views = AlikeViews(start(vectors_cnd), on_a_loop(), TRAINING)
    learned = learned_whitening(start, views, dimensions, 0, device)
    assert learned.projection_de.shape == (32, min(dimensions, 24))
    before, after = (right(each, others_nd, vectors_cnd[0]) for each in (start, learned))
    assert after > before + 0.2
    again = learned_whitening(start, views, dimensions, 0, device)
    assert torch.equal(again.projection_de, learned.projection_de)
    assert torch.equal(learned.projection_de, learned.projection_de.half().float())


def test_a_batch_brings_positives_and_hard_negatives() -> None:
    views = AlikeViews(looks(3, "a batch"), on_a_loop(), TRAINING)
    hard_nk = (torch.arange(80)[:, None] + torch.tensor([40, -1])) % 80
    hard_nk[:, 1] = -1
    generator = torch_stream(0, "batch")
    index_m = views.drawn(hard_nk, generator)
    assert torch.equal(index_m, index_m.unique()) and 16 < len(index_m) <= 48
    partners = views.similarity_nn[index_m][:, index_m] >= TRAINING.positive
    assert partners.sum(1).float().mean() > 1.5
    one_md, other_md = views.pair(index_m, generator)
    copy_cm = (views.copies_cnd[:, index_m] == one_md).all(2)
    assert copy_cm.any(0).all() and not (one_md == other_md).all(1).any()


def test_relations_are_soft_targets_with_a_gap() -> None:
    views = AlikeViews(looks(2, "relations"), on_a_loop(), TRAINING)
    index_m = torch.tensor([0, 1, 4, 40])  # one place twice, its neighbour, another
    found = views.relations(index_m)
    assert isinstance(found, Relations)
    torch.testing.assert_close(found.weights_nm[0], torch.tensor([1.0, 0.7**TRAINING.sharpness, 0.0, 0.0]))
    assert found.ignored_nm[0].tolist() == [False, False, True, False]


def test_hard_negatives_are_the_nearest_that_show_nothing_in_common() -> None:
    """Against a loop over the views."""
    copies_cnd, similarity_nn = looks(2, "hard"), on_a_loop()
    views = AlikeViews(copies_cnd, similarity_nn, TRAINING)
    hard_nk = views.hard_negatives(copies_cnd)
    distance_nn = reranked(copies_cnd[1], copies_cnd[0], RerankOptions())
    for i in range(len(hard_nk)):
        allowed = [j for j in range(len(hard_nk)) if similarity_nn[i, j] <= TRAINING.negative]
        twin = sorted(allowed, key=lambda j: float(distance_nn[i, j]))[: hard_nk.shape[1]]
        assert [round(float(distance_nn[i, j]), 5) for j in hard_nk[i]] == [
            round(float(distance_nn[i, j]), 5) for j in twin
        ]
        assert set(hard_nk[i].tolist()) <= set(allowed)
    all_alike = replace(views, similarity_nn=torch.full_like(similarity_nn, 0.6).fill_diagonal_(1.0))
    assert (all_alike.hard_negatives(copies_cnd) == -1).all()


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"steps": 0}, {"temperature": 0.0}, {"negative": 0.5}, {"renewals": 0}):
        with pytest.raises(ValueError, match=r"must be positive|need 0 <= negative"):
            AlikeTraining(**wrong)


def test_images_that_share_nothing_are_refused(scene: Path) -> None:  # noqa: F811
    frames = gather_frames(scene, ["sim"], None)[0]
    similarity_nn = overlaps([each.frame for each in frames], 0.4)
    assert similarity_nn.shape == (len(frames), len(frames)) and (similarity_nn.diagonal() == 1).all()
    assert torch.equal(similarity_nn, similarity_nn.T) and similarity_nn.max() == 1
    far = [_posed(each, looking_down(50.0 * i, 0.0, 3.0).T_wc).frame for i, each in enumerate(frames)]
    with pytest.raises(TransposeError, match=r"no two of \d+ images overlap by 40%"):
        overlaps(far, 0.4)


@pytest.mark.parametrize("descriptor", ["vlad", "gem"])
def test_a_run_is_the_same_made_twice(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    device: torch.device,
    descriptor: str,
) -> None:
    settings = {"contrastive": True, "words": 8, "whitened": 6, "descriptor": descriptor}
    made = []
    for name in ("one", "other"):
        train(Request(scene, ["sim"], tmp_path / name, device=str(device)), "retrieval", settings)
        made.append(runs.load_model(tmp_path / name).database)
    one, other = made
    assert one is not None and other is not None
    assert one["vectors"].shape[1] <= 6 and torch.equal(one["vectors"], other["vectors"])
    projection = one["describer"]["whitening_projection"]
    assert projection.dtype == torch.half and torch.equal(projection, other["describer"]["whitening_projection"])
    assert configured("retrieval", settings) != configured("retrieval", {**settings, "contrastive": False})
