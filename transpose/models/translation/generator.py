"""The generator: an image of one kind to the same image of the other kind."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.translation.layers import BlurDown, BlurUp, initialize, instance_norm

STRIDE = 4  # sides of the images that a generator takes are multiples of it


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of a generator; the defaults are the published one, of 11.4 million weights.

    Attributes:
        channels: of the first layer; twice and four times as many at half and a quarter of the resolution.
        blocks: residual ones, at a quarter of the resolution.
        antialias: blur where the resolution changes, as CUT does; else strided convolutions, as CycleGAN has.
        correction: the network's output is added to the image, in place of the image itself. Not published: a small
            network need not first learn to copy, and what it does not touch stays where it is.
    """

    channels: int = 64
    blocks: int = 9
    antialias: bool = True
    correction: bool = False

    def __post_init__(self) -> None:
        if min(self.channels, self.blocks) < 1:
            raise ValueError(f"channels and blocks must be positive, got {self.channels} and {self.blocks}")

    @property
    def tap_channels(self) -> tuple[int, ...]:
        """Channels of the maps that `Generator.taps` returns."""
        c = self.channels
        return 3, 2 * c, 4 * c, 4 * c, 4 * c


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: (b, c, h, w) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, 3),
            instance_norm(channels),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels, 3),
            instance_norm(channels),
        )

    def forward(self, map_bchw: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = map_bchw + self.body(map_bchw)
        return out


class Generator(nn.Module):
    """Johnson et al.'s residual network (ECCV 2016) as CycleGAN and CUT have it.

    Input and output: (b, 3, h, w) in -1..1, h and w multiples of 4. What is added as a correction may leave -1..1.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.stem = nn.Sequential(*_convolution(3, c, 7), instance_norm(c), nn.ReLU(inplace=True))
        # Not in place: what comes out of a convolution is compared patch by patch, see `taps`.
        self.down = nn.ModuleList([_down(c, 2 * c, config.antialias), _down(2 * c, 4 * c, config.antialias)])
        self.blocks = nn.ModuleList([ResidualBlock(4 * c) for _ in range(config.blocks)])
        self.up = nn.Sequential(*_up(4 * c, 2 * c, config.antialias), *_up(2 * c, c, config.antialias))
        self.head = nn.Sequential(*_convolution(c, 3, 7))
        initialize(self)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        return self._decoded(image_b3hw, self.encoded(image_b3hw)[0])

    def with_taps(self, image_b3hw: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The image of the other kind, and `taps` of the image that came in, from one pass."""
        map_bchw, taps = self.encoded(image_b3hw)
        return self._decoded(image_b3hw, map_bchw), taps

    def taps(self, image_b3hw: Tensor) -> list[Tensor]:
        """Maps that CUT compares patches by: pixels, both convolutions that go down, the first and the middle block."""
        return self.encoded(image_b3hw, only_taps=True)[1]

    def encoded(self, image_b3hw: Tensor, only_taps: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The map behind the blocks (those up to the last tap where `only_taps`), and the taps."""
        taps = [image_b3hw]
        map_bchw = self.stem(image_b3hw)
        for stage in self.down:
            convolved_bchw = stage[0](map_bchw)  # type: ignore[index]
            taps.append(convolved_bchw)
            map_bchw = stage[1](convolved_bchw)  # type: ignore[index]
        middle = len(self.blocks) // 2
        for number, block in enumerate(self.blocks):
            map_bchw = block(map_bchw)
            if number == 0:
                taps.append(map_bchw)
            if number == middle:
                taps.append(map_bchw)
                if only_taps:
                    break
        return map_bchw, taps

    def _decoded(self, image_b3hw: Tensor, map_bchw: Tensor) -> Tensor:
        # The last convolution sums many terms: in half precision, grey levels would be lost.
        out_b3hw = self.head(self.up(map_bchw)).float().tanh()
        return image_b3hw + out_b3hw if self.config.correction else out_b3hw


def _convolution(channels: int, out: int, size: int) -> tuple[nn.Module, nn.Module]:
    """On the image and its mirrored border."""
    return nn.ReflectionPad2d(size // 2), nn.Conv2d(channels, out, size)


def _down(channels: int, out: int, antialias: bool) -> nn.ModuleList:
    """A convolution, and what follows it until the resolution is halved."""
    norm = (instance_norm(out), nn.ReLU())
    if antialias:
        return nn.ModuleList([nn.Conv2d(channels, out, 3, padding=1), nn.Sequential(*norm, BlurDown())])
    return nn.ModuleList([nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.Sequential(*norm)])


def _up(channels: int, out: int, antialias: bool) -> tuple[nn.Module, ...]:
    norm = (instance_norm(out), nn.ReLU(inplace=True))
    if antialias:
        return BlurUp(), nn.Conv2d(channels, out, 3, padding=1), *norm
    return nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1), *norm


def padded(image_b3hw: Tensor) -> Tensor:
    """With sides that a generator takes: right and bottom border repeated; to be cropped from what comes out."""
    height, width = image_b3hw.shape[-2:]
    return F.pad(image_b3hw, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
