"""Scene-coordinate heads: from the features of a cell to the world point it shows, and how far off that may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OFFSET_FRACTION = 0.2  # an offset of one is this fraction of the scene's spread
_KMEANS_SAMPLES = 20_000


@dataclass(frozen=True)
class HeadConfig:
    """Shape of a `CoordinateHead`.

    Attributes:
        in_channels: of the features.
        width, blocks: of the residual perceptron.
        anchors: places in the scene between which the head chooses before it adds an offset.
        uncertainty_channels: see `CoordinateHead`.
    """

    in_channels: int = 256
    width: int = 256
    blocks: int = 4
    anchors: int = 64
    uncertainty_channels: int = 1

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.anchors) < 1 or min(self.blocks, self.uncertainty_channels) < 0:
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

    Of features (b, in_channels, rows, columns), or (n, in_channels) with `cells`, come world coordinates relative to
    the run's origin, metres, and raw outputs on their uncertainty, as channels (3 + k). Hidden layers may run in
    bfloat16 under autocast; the last layer is float32 always.
    """

    # Registered as buffers, so that a checkpoint restores them.
    feature_mean: Tensor
    feature_std: Tensor
    anchors_k3: Tensor
    spread: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.body = residual_body(config.in_channels, config.width, config.blocks)
        self.last = nn.Linear(config.width, 3 + config.uncertainty_channels + config.anchors)
        self.register_buffer("feature_mean", torch.zeros(config.in_channels))
        self.register_buffer("feature_std", torch.ones(config.in_channels))
        self.register_buffer("anchors_k3", torch.zeros(config.anchors, 3))
        self.register_buffer("spread", torch.ones(()))

    def fit_statistics(self, features_nc: Tensor, coordinates_n3: Tensor, seed: int) -> None:
        """Takes the normalisation of features, and the anchors, from samples; at least as many as there are anchors."""
        features_nc = features_nc.float()
        self.feature_mean.copy_(features_nc.mean(0))
        self.feature_std.copy_(features_nc.std(0) + 1e-3)
        self.anchors_k3.copy_(_spread_anchors(coordinates_n3, self.config.anchors, seed))
        self.spread.copy_(coordinates_n3.std(0).mean())

    def cells(self, features_nc: Tensor) -> Tensor:
        """Outputs (n, 3 + k)."""
        return self.decoded(self.body(self.normalised(features_nc)))

    def normalised(self, features_nc: Tensor) -> Tensor:
        """Features as the body takes them."""
        return (features_nc - self.feature_mean) / self.feature_std

    def decoded(self, hidden_nw: Tensor) -> Tensor:
        """Outputs (n, 3 + k) of what comes out of the body, (n, width)."""
        # The last layer outside of autocast: bfloat16 has three digits, coordinates need more.
        with torch.autocast(hidden_nw.device.type, enabled=False):
            out = self.last(hidden_nw.float())
            end = 3 + self.config.uncertainty_channels
            offset_n3, raw_nk, choice_nk = out[:, :3], out[:, 3:end], out[:, end:]
            coordinates_n3 = choice_nk.softmax(1) @ self.anchors_k3 + _OFFSET_FRACTION * self.spread * offset_n3
        return torch.cat([coordinates_n3, raw_nk], 1)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Outputs (b, 3 + k, rows, columns)."""
        return cell_by_cell(self.cells, features_bchw)


def cell_by_cell(of_cells: Callable[[Tensor], Tensor], features_bchw: Tensor) -> Tensor:
    """What is made of cells (n, c) one by one, of those of images: (b, k, rows, columns)."""
    b, c, rows, columns = features_bchw.shape
    out_nk = of_cells(features_bchw.permute(0, 2, 3, 1).reshape(-1, c).float())
    return out_nk.view(b, rows, columns, -1).permute(0, 3, 1, 2)


def residual_body(in_channels: int, width: int, blocks: int) -> nn.Sequential:
    """A residual perceptron from features (n, in_channels) to (n, width)."""
    return nn.Sequential(nn.Linear(in_channels, width), nn.ReLU(), *(_Residual(width) for _ in range(blocks)))


def _spread_anchors(coordinates_n3: Tensor, count: int, seed: int) -> Tensor:
    """k-means centres of the points (count, 3)."""
    from scipy.cluster.vq import kmeans2

    points_n3 = coordinates_n3[:_KMEANS_SAMPLES].double().numpy()
    centers_k3, _ = kmeans2(points_n3, count, minit="++", rng=seed)
    return torch.from_numpy(centers_k3).float()
