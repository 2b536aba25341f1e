"""CrossLoc's single-task network (Yan et al., CVPR 2022): an encoder and a decoder with group normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.dsacstar import padded
from transpose.models.network import Encoder, Network

_WIDTHS = (32, 64, 128, 256)  # of the first layers
FEATURES = 512  # channels of the encoder's output
GROUPS = 32
_RGB_MEAN, _RGB_STD = (0.4245, 0.4375, 0.3836), (0.1823, 0.1701, 0.1854)
_TASK_CHANNELS = {"coord": 3, "depth": 1, "normal": 2}


@dataclass(frozen=True)
class CrossLocConfig:
    """Shape of CrossLoc's network: what it predicts, and how many channels its uncertainty has."""

    task: str = "coord"
    uncertainty_channels: int = 1

    def __post_init__(self) -> None:
        if self.task not in _TASK_CHANNELS:
            raise ValueError(f"task is one of {', '.join(_TASK_CHANNELS)}, not {self.task!r}")

    @property
    def task_channels(self) -> int:
        """Outputs of the task itself."""
        return _TASK_CHANNELS[self.task]


class NormalisedConv(nn.Module):
    """A convolution with group normalisation and, unless told otherwise, a rectifier."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, rectified: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
        self.norm = nn.GroupNorm(GROUPS, out_channels)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.norm(self.conv(x))
        return F.relu(x) if self.rectified else x


class _Residual(nn.Module):
    """Three convolutions added to the input, with a rectifier after the sum."""

    def __init__(self, in_channels: int, width: int, kernels: tuple[int, int, int] = (3, 1, 3)) -> None:
        super().__init__()
        channels = (in_channels, width, width)
        self.branch = nn.Sequential(
            *(NormalisedConv(n, width, kernel) for n, kernel in zip(channels, kernels, strict=True))
        )
        self.skip = nn.Identity() if in_channels == width else NormalisedConv(in_channels, width, 1, rectified=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.skip(x) + self.branch(x))


class CrossLocEncoder(Encoder):
    """Input RGB float in 0..255, (b, 3, h, w) of any size; output (b, 512, ceil(h/8), ceil(w/8))."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(_RGB_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_RGB_STD)[:, None, None], persistent=False)
        a, b, c, d = _WIDTHS
        self.layers = nn.Sequential(
            NormalisedConv(3, a, 3),
            NormalisedConv(a, b, 3, 2),
            NormalisedConv(b, c, 3, 2),
            NormalisedConv(c, d, 3, 2),
            _Residual(d, d),
            _Residual(d, FEATURES),
            _Residual(FEATURES, FEATURES),
            _Residual(FEATURES, FEATURES),
        )

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        return self.layers(padded((image_b3hw - self.mean) / self.std))


class CrossLocDecoder(nn.Module):
    """From features (b, 512, rows, columns) to the task's channels, about `mean`, and those of their uncertainty."""

    mean: Tensor

    def __init__(self, task_channels: int, uncertainty_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Residual(FEATURES, FEATURES),
            _Residual(FEATURES, FEATURES),
            _Residual(FEATURES, FEATURES, (1, 1, 1)),
            NormalisedConv(FEATURES, FEATURES, 1),
            NormalisedConv(FEATURES, FEATURES, 1),
        )
        self.last = nn.Conv2d(FEATURES, task_channels + uncertainty_channels, 1)
        self.register_buffer("mean", torch.zeros(task_channels))

    def forward(self, features_bchw: Tensor) -> Tensor:
        """See the class."""
        x = self.layers(features_bchw)
        # The last layer outside of autocast: bfloat16 has three digits, coordinates need more.
        with torch.autocast(x.device.type, enabled=False):
            out = self.last(x.float())
            task = len(self.mean)
            return torch.cat([out[:, :task] + self.mean[:, None, None], out[:, task:]], 1)


def crossloc_network(config: CrossLocConfig) -> Network:
    """Encoder and decoder, learned together from random weights."""
    decoder = CrossLocDecoder(config.task_channels, config.uncertainty_channels)
    return Network(CrossLocEncoder(), decoder, frozen=False)
