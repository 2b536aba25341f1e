"""DSAC*'s fully convolutional network (Brachmann and Rother, 2021), whose first half is also ACE's encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.network import Encoder, Network

_STRIDE = 8
_GREY = (0.299, 0.587, 0.114)  # ITU-R 601
_MEAN, _STD = 0.4, 0.25


@dataclass(frozen=True)
class DsacStarConfig:
    """Shape of DSAC*'s network; `tiny` has 128 channels where the other has 256 and 512."""

    tiny: bool = False
    uncertainty_channels: int = 0

    @property
    def widths(self) -> tuple[int, int]:
        """Channels of the first residual block and of all after it."""
        return (128, 128) if self.tiny else (256, 512)


class GreyInput(nn.Module):
    """RGB in 0..255, (b, 3, h, w), to normalised grey, whose sides are brought to multiples of the stride."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(_GREY)[None, :, None, None] / 255 / _STD, persistent=False)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        grey_b1hw = F.conv2d(image_b3hw, self.weights.to(image_b3hw.dtype)) - _MEAN / _STD
        return padded(grey_b1hw)


def padded(image_bchw: Tensor) -> Tensor:
    """The image with its last row and column repeated until its sides are multiples of the stride.

    Strided convolutions of that have a cell for each started block of 8 x 8 pixels, where the stride's cells stand.
    """
    height, width = image_bchw.shape[2:]
    # Of numbers that are not negative: ONNX rounds quotients of others towards zero.
    right, below = ((_STRIDE - size % _STRIDE) % _STRIDE for size in (width, height))
    return F.pad(image_bchw, (0, right, 0, below), mode="replicate") if right or below else image_bchw


class DsacStarEncoder(Encoder):
    """Input RGB float in 0..255, (b, 3, h, w) of any size; output (b, out_channels, ceil(h/8), ceil(w/8)).

    A rectifier follows each convolution of a residual branch, none its sum.

    Args:
        widths: channels of the first residual block and of the second.
        out_channels: of the last layer; None: as the second block.
    """

    def __init__(self, widths: tuple[int, int], out_channels: int | None = None) -> None:
        super().__init__()
        first, second = widths
        last = out_channels or second
        self.grey = GreyInput()
        self.conv1 = nn.Conv2d(1, 32, 3, 1, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 2, 1)
        self.conv3 = nn.Conv2d(64, 128, 3, 2, 1)
        self.conv4 = nn.Conv2d(128, first, 3, 2, 1)
        self.res1_conv1 = nn.Conv2d(first, first, 3, 1, 1)
        self.res1_conv2 = nn.Conv2d(first, first, 1)
        self.res1_conv3 = nn.Conv2d(first, first, 3, 1, 1)
        self.res2_conv1 = nn.Conv2d(first, second, 3, 1, 1)
        self.res2_conv2 = nn.Conv2d(second, second, 1)
        self.res2_conv3 = nn.Conv2d(second, last, 3, 1, 1)
        self.res2_skip = nn.Identity() if first == second == last else nn.Conv2d(first, last, 1)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        x = self.grey(image_b3hw)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(conv(x))
        x = x + _branch(x, self.res1_conv1, self.res1_conv2, self.res1_conv3)
        return self.res2_skip(x) + _branch(x, self.res2_conv1, self.res2_conv2, self.res2_conv3)


class DsacStarHead(nn.Module):
    """From an encoder's features (b, c, rows, columns) to (b, 3 + k, rows, columns).

    The first three channels are scene coordinates relative to the run's origin, metres, about `mean`; the other k are
    their predicted uncertainty.
    """

    mean: Tensor

    def __init__(self, width: int, uncertainty_channels: int) -> None:
        super().__init__()
        self.res3_conv1, self.res3_conv2, self.res3_conv3 = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.fc1, self.fc2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.fc3 = nn.Conv2d(width, 3 + uncertainty_channels, 1)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, features_bchw: Tensor) -> Tensor:
        """See the class."""
        x = features_bchw
        x = x + _branch(x, self.res3_conv1, self.res3_conv2, self.res3_conv3)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        # The last layer outside of autocast: bfloat16 has three digits, coordinates need more.
        with torch.autocast(x.device.type, enabled=False):
            return about(self.fc3(x.float()), self.mean)


def dsacstar_network(config: DsacStarConfig) -> Network:
    """Encoder and head, learned together from random weights."""
    head = DsacStarHead(config.widths[1], config.uncertainty_channels)
    return Network(DsacStarEncoder(config.widths), head, frozen=False)


def about(out_bkhw: Tensor, mean_3: Tensor) -> Tensor:
    """Outputs whose first three channels are moved by a mean."""
    return torch.cat([out_bkhw[:, :3] + mean_3[:, None, None], out_bkhw[:, 3:]], 1)


def _branch(x: Tensor, *convolutions: nn.Module) -> Tensor:
    for conv in convolutions:
        x = F.relu(conv(x))
    return x
