"""An adapter on frozen local features: descriptors of one place that stay alike under another look, or turned.

XFeat's descriptors were learned on pairs of photos. The adapter reads all features of a cell, the descriptor among
them, and moves the descriptor to where those of the same place are (`transpose.losses.contrastive`); the rest of the
features stays as it is. A residual perceptron, as adapters of frozen networks are (Houlsby et al., ICML 2019), that
begins as the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.network import Encoder, ImageMaps

# Adapted descriptors spread further than XFeat's: those of one thing seen from similar directions are at least so
# similar (cosine). Chosen between this and XFeat's 0.75 by keypoints of photos of RedKitchen's `train`.
ADAPTED_SIMILAR = 0.5


@dataclass(frozen=True)
class AdapterConfig:
    """Shape of an `Adapter`.

    Attributes:
        channels: of the features, of which the first `descriptor_channels` are the descriptor.
        descriptor_channels: of the descriptor before and after.
        width: of the hidden layers.
    """

    channels: int = 256
    descriptor_channels: int = 64
    width: int = 256

    def __post_init__(self) -> None:
        if min(self.descriptor_channels, self.width) < 1 or self.channels < self.descriptor_channels:
            raise ValueError(f"an adapter's sizes are positive and its descriptor a part of the features, got {self}")


class Adapter(nn.Module):
    """Of features (n, channels), or of maps (b, channels, rows, columns) with `maps`, unit descriptors."""

    LAYERS: ClassVar[tuple[str, ...]] = ("first", "second", "last")

    # Registered as buffers, so that a checkpoint restores them.
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(config.channels, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.last = nn.Linear(config.width, config.descriptor_channels)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("feature_mean", torch.zeros(config.channels))
        self.register_buffer("feature_std", torch.ones(config.channels))

    def fit_statistics(self, features_nc: Tensor) -> None:
        """Takes the normalisation of features from samples."""
        self.feature_mean.copy_(features_nc.float().mean(0))
        self.feature_std.copy_(features_nc.float().std(0) + 1e-3)

    def forward(self, features_nc: Tensor) -> Tensor:
        """Unit descriptors (n, descriptor_channels)."""
        hidden_nw = F.relu(self.first((features_nc - self.feature_mean) / self.feature_std))
        hidden_nw = hidden_nw + F.relu(self.second(hidden_nw))
        before_nd = F.normalize(features_nc[:, : self.config.descriptor_channels], dim=1)
        return F.normalize(before_nd + self.last(hidden_nw), dim=1)

    def maps(self, features_bchw: Tensor) -> Tensor:
        """The same maps (b, channels, rows, columns) with adapted descriptors in place of those that came."""
        b, c, rows, columns = features_bchw.shape
        descriptors_nd = self(features_bchw.permute(0, 2, 3, 1).reshape(-1, c))
        descriptors_bdhw = descriptors_nd.view(b, rows, columns, -1).permute(0, 3, 1, 2)
        return torch.cat([descriptors_bdhw, features_bchw[:, self.config.descriptor_channels :]], 1)


class AdaptedEncoder(Encoder):
    """An encoder with keypoints whose descriptors are adapted; else as `base`, whose weights come with the package.

    Args:
        base: frozen.
        adapter: of its features.
    """

    bundled: ClassVar[str | None] = "base."
    has_keypoints: ClassVar[bool] = True

    def __init__(self, base: Encoder, adapter: Adapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See `Encoder`."""
        return self.adapter.maps(self.base(image_b3hw))

    def maps(self, image_b3hw: Tensor) -> ImageMaps:
        """See `Encoder`."""
        maps = self.base.maps(image_b3hw)
        return maps._replace(features_bchw=self.adapter.maps(maps.features_bchw))
