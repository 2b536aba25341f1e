"""Images that a generator made a while ago, so that a discriminator does not forget them (Shrivastava et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SIZE = 50


class Pool(nn.Module):
    """The last images, as bytes; part of a training's state.

    Args:
        side: of the square images.
        size: how many are kept.
    """

    kept_n3hw: Tensor
    filled: Tensor

    def __init__(self, side: int, size: int = _SIZE) -> None:
        super().__init__()
        self.register_buffer("kept_n3hw", torch.zeros(size, 3, side, side, dtype=torch.uint8))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def forward(self, image_b3hw: Tensor, draw: torch.Generator) -> Tensor:
        """For each image in -1..1 either itself or, half of the time once the pool is full, one whose place it takes.

        Args:
            image_b3hw: just made, detached.
            draw: of the choice.
        """
        bytes_b3hw = ((image_b3hw.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        out = []
        for image_3hw, bytes_3hw in zip(image_b3hw, bytes_b3hw, strict=True):
            filled = int(self.filled)
            if filled < len(self.kept_n3hw):
                self.kept_n3hw[filled] = bytes_3hw
                self.filled += 1
            elif torch.rand((), generator=draw).item() < 0.5:
                place = int(torch.randint(filled, (), generator=draw))
                image_3hw = self.kept_n3hw[place].to(image_3hw) / 127.5 - 1
                self.kept_n3hw[place] = bytes_3hw
            out.append(image_3hw)
        return torch.stack(out)
