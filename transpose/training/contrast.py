"""A contrastive loss beside that of a whole network: what is one place is to look alike to the encoder.

Cells of different views are one place where their world points say so, under whatever augmentation each view has. The
projection between the encoder and the loss (Chen et al., SimCLR, ICML 2020) is used in training alone, so that the
encoder need not forget what tells views of a place apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.losses.cells import Cells
from transpose.losses.contrastive import TEMPERATURE, Relations, contrastive, mean_of
from transpose.models.network import Network
from transpose.randomness import apart, torch_stream
from transpose.training.plan import Objective
from transpose.training.sources import OverImages

_HIDDEN, _CHANNELS = 256, 64
_MOST_CELLS = 1024  # of a batch that are compared
_POSITIVE_PX = 4.0  # half a cell: what a cell of another view shows of the same place is no nearer than that
_NEGATIVE_PX = 16.0


class ProjectedImages(OverImages):
    """A network on images whose outputs (n, 3 + k) are followed by unit projections (n, 64) of its features."""

    def __init__(self, network: Network, projection: nn.Module) -> None:
        super().__init__(network)
        self.projection = projection

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        assert isinstance(self.network, Network)
        features_bchw = self.network.encoder(image_b3hw)
        projected_bchw = F.normalize(self.projection(features_bchw).float(), dim=1)
        out_bchw = torch.cat([self.network.head(features_bchw), projected_bchw], 1)
        return out_bchw.permute(0, 2, 3, 1).flatten(0, 2)


def projection_of(network: Network, seed: int) -> nn.Module:
    """A projection head of random weights, which depend on the seed alone, for the network's encoder."""
    device = next(network.parameters()).device
    with torch.no_grad():
        channels = network.encoder(torch.zeros(1, 3, 64, 64, device=device)).shape[1]
    with apart(seed):
        layers = nn.Conv2d(channels, _HIDDEN, 1), nn.ReLU(), nn.Conv2d(_HIDDEN, _CHANNELS, 1)
        return nn.Sequential(*layers).to(device)


@dataclass(frozen=True)
class WithContrast:
    """A network's own objective plus the contrastive loss of its projected features, for `ProjectedImages`.

    Attributes:
        own: of the outputs.
        weight: of the contrastive loss, which is a number of nats, beside the mean of the own one.
        seed: of the draws of cells.
        temperature: of the similarities.
    """

    own: Objective
    weight: float
    seed: int
    temperature: float = TEMPERATURE

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        loss_n, facts = self.own(raw_nk[:, :-_CHANNELS], cells, step)
        some = self._some(cells, step)
        relations = relations_between(cells, some)
        projected_md = raw_nk[some, -_CHANNELS:]
        each_m = contrastive(projected_md, projected_md, relations, self.temperature)
        contrast = mean_of(each_m, relations)
        return loss_n + self.weight * contrast, {**facts, "contrast": contrast.detach()}

    def _some(self, cells: Cells, step: int) -> Tensor:
        """Random cells, those whose point is known first."""
        uniform_n = torch.rand(len(cells), generator=torch_stream(self.seed, "contrast", str(step)))
        order_n = uniform_n.to(cells.points_n3.device) + cells.known_n
        return order_n.topk(min(_MOST_CELLS, len(cells))).indices


def relations_between(cells: Cells, some: Tensor) -> Relations:
    """Which of some cells (m,) of whole images are of one place; unknown ones, and near ones of one image, say nothing.

    Within an image cells are of different places, and those far enough apart are the hardest negatives there are.
    """
    points_m3, known_m = cells.points_n3[some], cells.known_n[some]
    T_cw_m34 = cells.T_cw_n34[some]
    z_m = torch.einsum("mj,mj->m", T_cw_m34[:, 2, :3], points_m3) + T_cw_m34[:, 2, 3]
    gsd = torch.where(known_m, z_m / cells.focal_n2[some, 0], torch.nan).nanmedian().nan_to_num(1.0)
    points_m3 = points_m3.nan_to_num(0.0) / gsd
    near = Relations.by_distance(points_m3, points_m3, _POSITIVE_PX, _NEGATIVE_PX)
    image_m = some // (len(cells) // max(1, cells.images))
    same_image_mm = image_m[:, None] == image_m
    known_mm = known_m[:, None] & known_m
    near_mm = near.ignored_nm | (near.weights_nm > 0)
    weights_mm = near.weights_nm.masked_fill(same_image_mm | ~known_mm, 0.0)
    return Relations(weights_mm, (near_mm & (weights_mm == 0)) | ~known_mm)
