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
    """Shape of an `AceHead`; `homogeneous` divides coordinates by a weight, which is made of a fourth output.

    Attributes:
        in_channels, width: of features, of hidden layers.
        head_blocks: beside the first one.
        homogeneous: see above.
        min_weight, max_weight: between which the weight is kept: inverses of the largest scale of a coordinate, 4, and
            of the smallest, 0.01.
        sharpness: of the softplus; ln 2 / (1 - min_weight) makes the weight 1 where the output is 0. Published files
            hold it in half precision, and their network uses what they hold.
    """

    in_channels: int = 512
    width: int = 512
    head_blocks: int = 1
    homogeneous: bool = True
    min_weight: float = 0.25
    max_weight: float = 100.0
    sharpness: float = math.log(2) / 0.75

    def __post_init__(self) -> None:
        if not (0 < self.min_weight < 1 < self.max_weight and self.sharpness > 0):
            raise ValueError(f"the weight is kept between bounds on both sides of 1, got {self}")
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
        """What homogeneous coordinates are divided by."""
        weight_b1hw = F.softplus(out_b1hw, beta=self.config.sharpness) + self.config.min_weight
        return weight_b1hw.clamp_max(self.config.max_weight)
