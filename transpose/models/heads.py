"""Scene-coordinate heads: from the features of a cell to the world point it shows, and how far off that may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OFFSET_SHARE = 0.2  # an offset of one is this share of the scene's spread
_KMEANS_SAMPLES = 20_000


@dataclass(frozen=True)
class HeadConfig:
    """Shape of a `CoordinateHead`."""

    in_channels: int = 256
    width: int = 256
    blocks: int = 4
    anchors: int = 64  # places in the scene between which the head chooses before it adds an offset

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.anchors) < 1 or self.blocks < 0:
            raise ValueError(f"sizes of a head must be positive, got {self}")


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class CoordinateHead(nn.Module):
    """A residual perceptron over single cells.

    The point is a soft choice among anchors spread over the scene plus an offset, which is learned faster than a plain
    regression of coordinates (compare the position decoder of GLACE, Wang et al., CVPR 2024).

    Input (n, in_channels) features; output world coordinates (n, 3) relative to the run's origin, metres, and
    log sigma (n,), sigma in metres the scale of the error. Hidden layers may run in bfloat16 under autocast; the last
    layer is float32 always.
    """

    # Registered as buffers, so that a checkpoint restores them.
    feature_mean: Tensor
    feature_std: Tensor
    anchors_k3: Tensor
    spread: Tensor
    log_sigma_bounds: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.body = nn.Sequential(
            nn.Linear(config.in_channels, config.width),
            nn.ReLU(),
            *(_Residual(config.width) for _ in range(config.blocks)),
        )
        self.last = nn.Linear(config.width, 4 + config.anchors)
        self.register_buffer("feature_mean", torch.zeros(config.in_channels))
        self.register_buffer("feature_std", torch.ones(config.in_channels))
        self.register_buffer("anchors_k3", torch.zeros(config.anchors, 3))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("log_sigma_bounds", torch.tensor([-8.0, 3.0]))

    def fit_statistics(self, features_nc: Tensor, coordinates_n3: Tensor, seed: int) -> None:
        """Takes the normalisation of features, and the anchors, from samples; at least as many as there are anchors."""
        features_nc = features_nc.float()
        self.feature_mean.copy_(features_nc.mean(0))
        self.feature_std.copy_(features_nc.std(0) + 1e-3)
        self.anchors_k3.copy_(_spread_anchors(coordinates_n3, self.config.anchors, seed))
        self.spread.copy_(coordinates_n3.std(0).mean())
        # Sigma between a thousandth and ten times the spread of the scene.
        log_spread = float(self.spread.log())
        self.log_sigma_bounds.copy_(torch.tensor([log_spread - 6.9, log_spread + 2.3]))

    def forward(self, features_nc: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        hidden = self.body((features_nc - self.feature_mean) / self.feature_std)
        # The last layer outside of autocast: bfloat16 has three digits, coordinates need more.
        with torch.autocast(features_nc.device.type, enabled=False):
            out = self.last(hidden.float())
            offset_n3, sigma_n, choice_nk = out[:, :3], out[:, 3], out[:, 4:]
            coordinates_n3 = choice_nk.softmax(1) @ self.anchors_k3 + _OFFSET_SHARE * self.spread * offset_n3
        low, high = self.log_sigma_bounds
        # A sigmoid, not a clamp: where a clamp holds, no gradient leads back.
        log_sigma_n = low + (high - low) * torch.sigmoid(4 * sigma_n / (high - low))
        return coordinates_n3, log_sigma_n


def _spread_anchors(coordinates_n3: Tensor, count: int, seed: int) -> Tensor:
    """k-means centres of the points (count, 3)."""
    from scipy.cluster.vq import kmeans2

    points_n3 = coordinates_n3[:_KMEANS_SAMPLES].double().numpy()
    centers_k3, _ = kmeans2(points_n3, count, minit="++", rng=seed)
    return torch.from_numpy(centers_k3).float()
