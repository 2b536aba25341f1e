"""Recognition of map points: which point of the place a keypoint shows, learned for that place.

A head that regresses the point of a cell blurs it, and where a surface is seen from another direction than in training,
its neighbouring cells are off together by several pixels: the poses follow. A keypoint that is taken for one of many
known points has that point's place exactly, or another one's, which a robust search leaves out. So a query, the
keypoint's adapted descriptor, is compared with a learned key of each map point, as prototypes are (Snell et al.,
Prototypical Networks for Few-shot Learning, NeurIPS 2017), and with a key for none of them (the dustbin of Sarlin et
al., SuperGlue, CVPR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.adapter import Adapter, AdapterConfig

_FIRST_SHARPNESS = 20.0  # of the softmax over cosines, learned from there
_BLOCK = 128  # keypoints at once: their logits, 4 MB with 8,000 points, stay near a processor
_GROUP = 64  # points whose best is found at once


@dataclass(frozen=True)
class RecognitionConfig:
    """Shape of a `Recognition`.

    Attributes:
        points: of the map that it knows.
        channels, descriptor_channels, width: see `AdapterConfig`.
    """

    points: int
    channels: int = 256
    descriptor_channels: int = 64
    width: int = 256

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"a recognition knows at least one point, got {self}")


class Recognized(NamedTuple):
    """Points (n, 3) relative to the run's origin that keypoints are taken for, and how likely (n,) each is right."""

    points_n3: Tensor
    probability_n: Tensor


class Recognition(nn.Module):
    """Of all features (n, channels) of keypoints, logits (n, points + 1) of the map points; the last is of none."""

    # Registered as a buffer, so that a checkpoint restores it.
    points_k3: Tensor

    def __init__(self, config: RecognitionConfig) -> None:
        super().__init__()
        self.config = config
        self.adapter = Adapter(AdapterConfig(config.channels, config.descriptor_channels, config.width))
        self.keys_kd = nn.Parameter(torch.zeros(config.points, config.descriptor_channels))
        self.log_sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS).log())
        self.none = nn.Parameter(torch.zeros(()))  # logit
        self.register_buffer("points_k3", torch.zeros(config.points, 3))

    def remember(self, points_k3: Tensor, descriptors_kd: Tensor) -> None:
        """Begins with map points, and their usual descriptors as keys."""
        with torch.no_grad():
            self.points_k3.copy_(points_k3)
            self.keys_kd.copy_(descriptors_kd)

    def forward(self, features_nc: Tensor) -> Tensor:
        """See the class."""
        query_nd = self.adapter(features_nc)
        logits_nk = self.log_sharpness.exp() * (query_nd @ F.normalize(self.keys_kd, dim=1).T)
        return torch.cat([logits_nk, self.none.to(logits_nk.dtype).expand(len(logits_nk), 1)], 1)

    def recognized(self, features_nc: Tensor) -> Recognized:
        """The likeliest map point of each keypoint."""
        points, probabilities = [self.points_k3[:0]], [self.points_k3[:0, 0]]
        keys_kd = self.log_sharpness.exp() * F.normalize(self.keys_kd, dim=1)
        keys_dk = F.pad(keys_kd, (0, 0, 0, -len(keys_kd) % _GROUP)).T.contiguous()
        for block_bc in features_nc.split(_BLOCK):
            logit_bk = (self.adapter(block_bc) @ keys_dk).float()
            logit_bk[:, len(keys_kd) :] = -torch.inf
            # The best point is looked for where the best group is: PyTorch finds maxima far faster than their places.
            logit_bgj = logit_bk.unflatten(1, (-1, _GROUP))
            group_b = logit_bgj.amax(2).argmax(1)
            best_b, within_b = logit_bgj[torch.arange(len(group_b), device=group_b.device), group_b].max(1)
            # One over the softmax's sum relative to the best: no pass over all probabilities.
            sum_b = (logit_bk - best_b[:, None]).exp_().sum(1) + (self.none - best_b).exp()
            points.append(self.points_k3[group_b * _GROUP + within_b])
            probabilities.append(1 / sum_b)
        return Recognized(torch.cat(points), torch.cat(probabilities))
