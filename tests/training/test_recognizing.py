"""Learning to recognize map points: which are right, the loss, and what comes of it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.training.test_adapted import scene  # noqa: F401
from tests.training.test_adapting import observations
from transpose import runs
from transpose.errors import TransposeError
from transpose.localization import load
from transpose.localization.landmarks import LandmarkMap
from transpose.models.heads import HeadConfig
from transpose.models.recognition import Recognition, RecognitionConfig
from transpose.training.landmarks import Observations
from transpose.training.presets import configured
from transpose.training.recognizing import RecognitionTraining, recognition_loss, shown_points, train_recognition
from transpose.training.request import Request
from transpose.training.start import train

CPU = torch.device("cpu")
TRAINING = RecognitionTraining(steps=60, batch=128)


def map_of(seen: Observations, places: int) -> LandmarkMap:
    """The mean of what is seen of each place, in the order of places."""
    mean_p3 = seen.points_n3.view(-1, places, 3).mean(0)
    descriptors = F.normalize(seen.descriptors_nc.float().view(-1, places, 64).mean(0), dim=1)
    return LandmarkMap(mean_p3, descriptors)


def test_right_points_are_those_within_the_radius() -> None:
    seen = observations()
    landmarks = map_of(seen, 60)
    twice = LandmarkMap(landmarks.points_n3.repeat(2, 1), landmarks.descriptors_nc.repeat(2, 1))
    shown_na = shown_points(seen, twice, 3.0)
    distance_nk = torch.cdist(seen.points_n3, twice.points_n3)
    for i in range(0, len(seen), 37):
        expected = set((distance_nk[i] <= 0.03).nonzero()[:, 0].tolist())
        assert set(shown_na[i].tolist()) - {-1} == expected
    assert (shown_points(seen, LandmarkMap(twice.points_n3 + 9, twice.descriptors_nc), 3.0) == -1).all()


def test_the_loss_is_the_cross_entropy_of_any_right_point() -> None:
    logits_nk = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    shown_na = torch.tensor([[2, -1], [1, 4], [-1, -1]])
    loss_n = recognition_loss(logits_nk, shown_na)
    probability_nk = logits_nk.softmax(1)
    right_n = torch.stack([probability_nk[0, 2], probability_nk[1, 1] + probability_nk[1, 4], probability_nk[2, 5]])
    torch.testing.assert_close(loss_n, -right_n.log())
    assert torch.autograd.gradcheck(lambda logits: recognition_loss(logits, shown_na), logits_nk)


def test_places_are_recognized_that_descriptors_hardly_tell() -> None:
    """The features beside the descriptor say which place it is; also of views that were not learned from."""
    seen = observations(views=10)
    learned, unseen = (seen[rows] for rows in (torch.arange(480), torch.arange(480, 600)))
    landmarks = map_of(learned, 60)
    torch.manual_seed(0)
    recognition = Recognition(RecognitionConfig(60, width=64))
    recognition.remember(landmarks.points_n3, landmarks.descriptors_nc)
    share = []
    for trained in (False, True):
        if trained:
            train_recognition(recognition, learned, landmarks, TRAINING, 0, CPU, torch.float32)
        with torch.inference_mode():
            assert unseen.features_nk is not None
            got = recognition.recognized(unseen.features_nk.float())
        share.append(float(((got.points_n3 - unseen.points_n3).norm(dim=1) < 0.02).float().mean()))
    assert share[0] < 0.6 < 0.9 < share[1]
    assert not any(weight.requires_grad for weight in recognition.parameters())
    assert all(torch.equal(weight, weight.half().float()) for weight in recognition.parameters())


def test_the_same_seed_gives_the_same_recognition() -> None:
    seen = observations()
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        recognition = Recognition(RecognitionConfig(60, width=16))
        train_recognition(recognition, seen, map_of(seen, 60), RecognitionTraining(3, 32), 5, CPU, torch.float32)
        weights.append(recognition.keys_kd.clone())
    assert torch.equal(weights[0], weights[1])


def test_a_run_recognizes_by_default_and_not_where_it_is_told_not_to(
    scene: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    settings = {"steps": 12, "batch": 64, "views": 30, "head": HeadConfig(width=32, blocks=1, anchors=8)}
    for name, more in (("with", {"map_points": 30}), ("without", {"map_points": 0})):
        train(Request(scene, ["sim"], tmp_path / name), "fast", settings | more)
    one, none = (runs.load_model(tmp_path / name).network for name in ("with", "without"))
    assert one is not None and none is not None
    assert one.config["map_points"] == 30 and "map_points" not in none.config
    # What the head learns is the same bit for bit.
    assert all(torch.equal(one.weights[name], value) for name, value in none.weights.items())
    assert {name for name in one.weights if name not in none.weights} == {
        name for name in one.weights if name.startswith("recognition.")
    }
    for name in ("with", "without"):
        load(tmp_path / name, use="coordinates")


def test_settings_that_contradict_are_refused() -> None:
    for preset, settings, says in (
        ("fast", {"map_points": -1}, "0 or more"),
        ("fast", {"map_points": 10, "contrastive": True}, "leave --contrastive"),
        ("mlr", {"map_points": 10}, "not for mlr"),
        ("ace", {"map_points": 10}, "has no --map-points"),
    ):
        with pytest.raises(TransposeError, match=says):
            configured(preset, settings)
    with pytest.raises(ValueError, match="positive"):
        RecognitionTraining(0)
