"""ACE's head (Brachmann et al., CVPR 2023): 1x1 convolutions on frozen features, with homogeneous coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.dsacstar import about


@dataclass(frozen=True)
class AceHeadConfig:
    """Shape of an `AceHead`; `homogeneous` divides coordinates by a fourth output.

    That one lies between the inverses of `max_scale` and `min_scale`.
    """

    in_channels: int = 512
    width: int = 512
    head_blocks: int = 1
    homogeneous: bool = True
    max_scale: float = 4.0
    min_scale: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.min_scale < 1 < self.max_scale:
            raise ValueError(f"scales of a coordinate lie on both sides of 1, got {self}")
        if min(self.in_channels, self.width) < 1 or self.head_blocks < 0:
            raise ValueError(f"sizes of a head must be positive, got {self}")


class _Block(nn.Module):
    """Three 1x1 convolutions, each with a rectifier, added to the input (through `skip` where sizes differ)."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.skip = nn.Identity() if in_channels == width else nn.Conv2d(in_channels, width, 1)
        self.convs = nn.ModuleList(nn.Conv2d(n, width, 1) for n in (in_channels, width, width))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        branch = x
        for conv in self.convs:
            branch = F.relu(conv(branch))
        return self.skip(x) + branch


class AceHead(nn.Module):
    """From features (b, c, rows, columns) to scene coordinates (b, 3, rows, columns), metres from the run's origin.

    `cells` does the same for a bag of cells, (n, c) to (n, 3).
    """

    mean: Tensor

    def __init__(self, config: AceHeadConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.in_channels] + [config.width] * config.head_blocks
        self.blocks = nn.Sequential(*(_Block(n, config.width) for n in widths))
        self.fc1, self.fc2 = nn.Conv2d(config.width, config.width, 1), nn.Conv2d(config.width, config.width, 1)
        self.fc3 = nn.Conv2d(config.width, 4 if config.homogeneous else 3, 1)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, features_bchw: Tensor) -> Tensor:
        """See the class."""
        x = self.blocks(features_bchw)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        # The last layer outside of autocast: bfloat16 has three digits, coordinates need more.
        with torch.autocast(x.device.type, enabled=False):
            out = self.fc3(x.float())
            return about(out[:, :3] / self._weight(out[:, 3:]) if self.config.homogeneous else out, self.mean)

    def cells(self, features_nc: Tensor) -> Tensor:
        """See the class. The bag becomes an image of one row: that is what 1x1 convolutions are fast on."""
        return self(features_nc.T[None, :, None])[0, :, 0].T

    def _weight(self, out_b1hw: Tensor) -> Tensor:
        """A softplus, 1 at zero, kept between the inverses of the largest and smallest scale."""
        least = 1 / self.config.max_scale
        weight_b1hw = F.softplus(out_b1hw, beta=math.log(2) / (1 - least)) + least
        return weight_b1hw.clamp_max(1 / self.config.min_scale)
