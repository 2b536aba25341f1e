"""Learning to recognize map points: each keypoint of the training views is classified as one of them, or none.

Which map points a keypoint shows, geometry says. The loss is the cross entropy over all map points (InfoNCE with every
other point of the place as a negative), in which any point near enough is right: a place may have several appearances.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from transpose.errors import TransposeError
from transpose.localization.landmarks import LandmarkMap
from transpose.models.precision import autocast
from transpose.models.recognition import Recognition, RecognitionConfig
from transpose.parallel import worker_count
from transpose.randomness import apart, derived_seed, torch_stream
from transpose.training.context import TrainingContext
from transpose.training.landmarks import PLACE_PX, Observations
from transpose.training.short_training import trained_shortly

log = logging.getLogger(__name__)
_APPEARANCES = 4  # map points, at most, that a keypoint may be right to be taken for
_STATISTICS = 50_000


@dataclass(frozen=True)
class RecognitionTraining:
    """How a recognition is trained.

    Attributes:
        steps: of the optimizer.
        batch: keypoints a step.
        learning_rate: the schedule's largest.
        near_px: within so many pixels, at the usual ground sampling distance, a keypoint shows a map point.
    """

    steps: int
    batch: int = 256
    learning_rate: float = 5e-3
    near_px: float = PLACE_PX

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or min(self.learning_rate, self.near_px) <= 0:
            raise ValueError(f"steps, batch, rate and near_px must be positive, got {self}")


def learned_recognition(
    observations: Observations,
    landmarks: LandmarkMap,
    training: RecognitionTraining,
    seed: int,
    context: TrainingContext,
) -> Recognition:
    """A recognition of the landmarks; all processes get that of the first, whatever their devices' rounding.

    Args:
        observations: of the training views, with all features.
        landmarks: the map points, at least one.
        training: how.
        seed: of its weights and draws.
        context: where it is trained.
    """
    assert observations.features_nk is not None
    config = RecognitionConfig(len(landmarks), observations.features_nk.shape[1], landmarks.descriptors_nc.shape[1])
    with apart(derived_seed(seed, "recognition weights")):
        recognition = Recognition(config)
    loss = train_recognition(recognition, observations, landmarks, training, seed, context.device, context.dtype)
    log.info("%d map points are recognized (loss %.3f)", len(landmarks), loss)
    state = {name: value.cpu() for name, value in recognition.state_dict().items()}
    recognition.load_state_dict(context.ranks.gathered(state)[0])
    return recognition


def shown_points(observations: Observations, landmarks: LandmarkMap, near_px: float) -> Tensor:
    """Numbers of the map points that each observation may show, (n, 4) int64, the nearest first, -1 for none.

    Args:
        observations: of the training views.
        landmarks: of the same place and origin.
        near_px: within so many pixels at the usual ground sampling distance.
    """
    radius_m = near_px * float(observations.gsd_n.median())
    tree = cKDTree(landmarks.points_n3.cpu().double().numpy())
    points_n3 = observations.points_n3.cpu().double().numpy()
    number_na = np.arange(1, _APPEARANCES + 1)
    _, shown_na = tree.query(points_n3, k=number_na, distance_upper_bound=radius_m, workers=worker_count())
    return torch.from_numpy(np.where(shown_na == len(landmarks), -1, shown_na))


def recognition_loss(logits_nk: Tensor, shown_na: Tensor) -> Tensor:
    """Cross entropy (n,) of logits (n, points + 1), where any of the shown points (n, a) is right, or none is shown."""
    known_na = shown_na >= 0
    right_na = logits_nk.gather(1, shown_na.clamp_min(0)).masked_fill(~known_na, -torch.inf)
    right_n = torch.where(known_na[:, 0], right_na.logsumexp(1).nan_to_num(neginf=0.0), logits_nk[:, -1])
    return logits_nk.logsumexp(1) - right_n


def train_recognition(
    recognition: Recognition,
    observations: Observations,
    landmarks: LandmarkMap,
    training: RecognitionTraining,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Trains it in place and freezes it (`trained_shortly`); returns the last mean loss.

    Args:
        recognition: for as many points as there are landmarks.
        observations: of the training views, with all features.
        landmarks: the map points.
        training: how.
        seed: of the draws.
        device, dtype: where it runs and how it computes.
    """
    assert observations.features_nk is not None
    shown_na = shown_points(observations, landmarks, training.near_px)
    recognition.remember(landmarks.points_n3, landmarks.descriptors_nc)
    some = torch.randperm(len(observations), generator=torch_stream(seed, "recognition statistics"))[:_STATISTICS]
    recognition.adapter.fit_statistics(observations.features_nk[some])
    recognition.to(device)

    def loss_of_step(step: int) -> Tensor:
        generator = torch_stream(seed, "recognition", str(step))
        index_n = torch.randint(len(observations), (training.batch,), generator=generator)
        assert observations.features_nk is not None
        with autocast(device, dtype):
            logits_nk = recognition(observations.features_nk[index_n].to(device).float())
        return recognition_loss(logits_nk.float(), shown_na[index_n].to(device)).mean()

    mean = trained_shortly(recognition, loss_of_step, training.steps, training.learning_rate)
    if not np.isfinite(mean):
        raise TransposeError("learning to recognize map points diverged; train with --map-points 0")
    return mean
