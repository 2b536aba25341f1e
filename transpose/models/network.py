"""What every network is: an encoder of images and a head that answers for each cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Input RGB float in 0..255, (b, 3, h, w) of any size; output (b, 3 + k, ceil(h/8), ceil(w/8)).

    The first three channels are scene coordinates relative to the run's origin, metres; the other k are raw outputs on
    their error (`transpose.losses.uncertainty`).

    Args:
        encoder: from images to features (b, c, rows, columns).
        head: from features to outputs.
        frozen: whether the encoder is used as it is.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.frozen = encoder, head, frozen
        if frozen:
            encoder.requires_grad_(False)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features_bchw = self.encoder(image_b3hw)
        return self.head(features_bchw)
