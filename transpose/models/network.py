"""What every network is: an encoder of images and a head that answers for each cell."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class ImageMaps(NamedTuple):
    """The outputs of one pass of an encoder over a batch of images.

    `features_bchw` (batch, c, rows, columns). Of an encoder with keypoints also `corners_bhw` (batch, 8 rows, 8
    columns), how much each pixel is a keypoint, 0..1, and `reliability_bhw` (batch, rows, columns), 0..1.
    """

    features_bchw: Tensor
    corners_bhw: Tensor | None = None
    reliability_bhw: Tensor | None = None


class Encoder(nn.Module):
    """From RGB float in 0..255, (b, 3, h, w) of any size, to features (b, c, ceil(h/8), ceil(w/8)).

    Attributes:
        has_keypoints: `maps` also holds a keypoint heat map; the first features are then their descriptors.
        bundled: weights whose names begin so come with the package, so that no checkpoint needs to keep them; "": all
            do, None: none.
    """

    has_keypoints: ClassVar[bool] = False
    bundled: ClassVar[str | None] = None

    def maps(self, image_b3hw: Tensor) -> ImageMaps:
        """All outputs of one pass."""
        return ImageMaps(self(image_b3hw))


class Network(nn.Module):
    """Input RGB float in 0..255, (b, 3, h, w) of any size; output (b, 3 + k, ceil(h/8), ceil(w/8)).

    The first three channels are scene coordinates relative to the run's origin, metres; the other k are raw outputs on
    their error (`transpose.losses.uncertainty`).

    Args:
        encoder: from images to features (b, c, rows, columns).
        head: from features to outputs.
        frozen: whether the encoder is used as it is.

    Attributes:
        recognition: of map points at keypoints (`transpose.models.recognition`), learned apart from the head; None: it
            recognizes none.
    """

    encoder: Encoder
    recognition: nn.Module | None

    def __init__(self, encoder: Encoder, head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.frozen = encoder, head, frozen
        self.recognition = None
        if frozen:
            encoder.requires_grad_(False)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features_bchw = self.encoder(image_b3hw)
        return self.head(features_bchw)
