"""The discriminator: whether patches of an image are of a kind or only made to look so."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from transpose.models.translation.layers import BlurDown, initialize, instance_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of a discriminator; the defaults are the published one, of 2.8 million weights.

    Attributes:
        channels: of the first layer; doubled by each of the next two.
        antialias: blur where the resolution changes, as CUT does; else strided convolutions, as CycleGAN has.
    """

    channels: int = 64
    antialias: bool = True


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al., CVPR 2017): each output sees 70 x 70 pixels, without blurs.

    Input: (b, 3, h, w) in -1..1, at least 24 pixels on a side. Output: (b, 1, rows, columns), near 1 where real.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        c = config.channels
        layers: list[nn.Module] = []
        for number, (channels, out) in enumerate([(3, c), (c, 2 * c), (2 * c, 4 * c)]):
            layers.append(nn.Conv2d(channels, out, 4, stride=1 if config.antialias else 2, padding=1))
            layers += [instance_norm(out)] if number else []
            layers.append(nn.LeakyReLU(0.2))
            layers += [_EvenBlurDown()] if config.antialias else []
        layers += [nn.Conv2d(4 * c, 8 * c, 4, padding=1), instance_norm(8 * c), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(8 * c, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.layers(image_b3hw)
        return out.float()


class _EvenBlurDown(BlurDown):
    """Of sides that are odd as well, which a 4 x 4 convolution leaves: the last row and column are repeated."""

    def forward(self, map_bchw: Tensor) -> Tensor:
        height, width = map_bchw.shape[-2:]
        return super().forward(nn.functional.pad(map_bchw, (0, width % 2, 0, height % 2), mode="replicate"))
