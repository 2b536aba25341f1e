"""Where patches of an image are compared, and the projections by which they are (Park et al., CUT, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.translation.layers import initialize

WIDTH = 256


def patch_places(
    sizes: Sequence[tuple[int, int]], most: int, generator: torch.Generator, device: torch.device
) -> list[Tensor]:
    """Random places (p,), each once, in maps of some sizes, as indices of their flattened cells; at most `most`."""
    return [torch.randperm(rows * columns, generator=generator)[:most].to(device) for rows, columns in sizes]


class PatchProjections(nn.Module):
    """Unit vectors (b, p, 256) of places in maps (b, c, h, w): a perceptron of two layers for each map.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            [nn.Sequential(nn.Linear(c, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, WIDTH)) for c in channels]
        )
        initialize(self)

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """See the class."""
        return [
            F.normalize(project(map_bchw.flatten(2)[:, :, place_p].mT).float(), dim=2)
            for project, map_bchw, place_p in zip(self.projections, maps, places, strict=True)
        ]
