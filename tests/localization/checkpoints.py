"""A checkpoint of random weights, such as training would leave, for tests of what is done with one."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from transpose.geometry import Camera
from transpose.localization.landmarks import LandmarkMap
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.heads import HeadConfig
from transpose.models.networks import build_network, network_state
from transpose.models.xfeat import DESCRIPTOR_CHANNELS
from transpose.runs import Checkpoint, LearnedCamera, StoredNetwork

CAMERA = Camera.from_focal(90.0, 128, 96)
HEAD = HeadConfig(width=8, blocks=1, anchors=2)


def checkpoint(**fields: Any) -> Checkpoint:
    torch.manual_seed(0)
    network = StoredNetwork(
        "fast",
        asdict(HEAD),
        network_state(build_network("fast", asdict(HEAD))),
        PredictedUncertainty.for_scene(Uncertainty("isotropic", "laplace"), 1.0).state(),
    )
    given = {"network": network, "origin_3": np.zeros(3), "camera": LearnedCamera(CAMERA)} | fields
    return Checkpoint("scene_coordinates", **given)


def one_landmark() -> dict[str, torch.Tensor]:
    return LandmarkMap(torch.zeros(1, 3), torch.ones(1, DESCRIPTOR_CHANNELS)).state()
