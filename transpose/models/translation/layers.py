"""Layers that generators and discriminators share.

Both halve and double the resolution about the centre of the image: sample j of a halved map lies between pixels 2 j and
2 j + 1, so that a network of random weights moves nothing, and an image mirrored first or last gives the same map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BINOMIAL_4 = (1.0, 3.0, 3.0, 1.0)
_INIT_GAIN = 0.02


class BlurDown(nn.Module):
    """Half the resolution without aliasing (Zhang, ICML 2019): (b, c, h, w) to (b, c, h / 2, w / 2), sides even."""

    kernel_1144: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps_4 = torch.tensor(_BINOMIAL_4) / sum(_BINOMIAL_4)
        self.register_buffer("kernel_1144", (taps_4[:, None] * taps_4)[None, None], persistent=False)

    def forward(self, map_bchw: Tensor) -> Tensor:
        """See the class."""
        channels = map_bchw.shape[1]
        kernel_c144 = self.kernel_1144.to(map_bchw.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(F.pad(map_bchw, (1, 1, 1, 1), mode="reflect"), kernel_c144, stride=2, groups=channels)


class BlurUp(nn.Module):
    """Twice the resolution: the same taps the other way round, which is bilinear interpolation."""

    def forward(self, map_bchw: Tensor) -> Tensor:
        """See the class."""
        return F.interpolate(map_bchw, scale_factor=2, mode="bilinear", align_corners=False)


def instance_norm(channels: int) -> nn.Module:
    """Of each image and channel by itself, without weights."""
    return nn.InstanceNorm2d(channels)


def initialize(module: nn.Module) -> None:
    """Xavier's normal weights, scaled by 0.02, and no offsets: those of CUT."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_normal_(layer.weight, _INIT_GAIN)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
