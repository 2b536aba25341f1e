"""AtLoc (Wang et al., AAAI 2020): a network that states the pose of an image outright.

ResNet-34 (He et al., CVPR 2016), whose layers are named as torchvision names them, so that its ImageNet weights load;
attention over the features; two linear layers for position and rotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.errors import TransposeError, first_few
from transpose.randomness import derived_seed

_BLOCKS = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)
_IMAGENET_CLASSES = "fc."
# Of ImageNet's images in 0..1, which its published weights were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class AtLocConfig:
    """Shape of an `AtLoc`, and what its outputs mean.

    Attributes:
        side: of the square images that it sees, pixels.
        features: of an image, before attention.
        dropout: chance of a feature to be left out while training.
        mean, std: of the training positions relative to the run's origin, which are predicted standardized.
        rotation: rows of the mean rotation of the training images, camera to world: rotations are predicted relative to
            it, so that the seam at half a turn, where the sign of a quaternion changes, lies far from all of them.
    """

    side: int = 256
    features: int = 2048
    dropout: float = 0.5
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    rotation: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        if self.side < 32 or self.features < 8 or not 0 <= self.dropout < 1:
            raise ValueError(f"need a side of 32 pixels, 8 features and dropout in [0, 1), got {self}")
        if np.shape(self.mean) != (3,) or np.shape(self.std) != (3,) or np.shape(self.rotation) != (3, 3):
            raise ValueError("mean and std have three numbers, the rotation three rows of three")


class AtLoc(nn.Module):
    """RGB float in 0..255 (b, 3, side, side) to standardized positions and logarithms of quaternions (b, 6).

    Args:
        config: its shape.
        seed: of the dropout.

    Attributes:
        log_scales_4: logarithms b and g of the mean errors of position and rotation, which the loss learns, and the
            same of the steps between images.
    """

    mean_3: Tensor
    std_3: Tensor

    def __init__(self, config: AtLocConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet34(config.features)
        self.attention = SelfAttention(config.features)
        self.dropout = SeededDropout(config.dropout, seed)
        self.position = nn.Linear(config.features, 3)
        self.rotation = nn.Linear(config.features, 3)
        self.log_scales_4 = nn.Parameter(torch.tensor([0.0, -3.0, 0.0, -3.0]))
        self.register_buffer("mean_3", 255 * torch.tensor(_MEAN), persistent=False)
        self.register_buffer("std_3", 255 * torch.tensor(_STD), persistent=False)

    def features(self, image_b3hw: Tensor) -> Tensor:
        """What the pose is read off, (b, features)."""
        normal_b3hw = (image_b3hw - self.mean_3[:, None, None]) / self.std_3[:, None, None]
        return self.attention(F.relu(self.backbone(normal_b3hw)))

    def regressed(self, features_bc: Tensor) -> Tensor:
        """Poses (b, 6) of features."""
        return torch.cat([self.position(features_bc), self.rotation(features_bc)], 1)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        return self.regressed(self.dropout(self.features(image_b3hw)))

    def sampled(self, features_1c: Tensor, count: int, seed: int) -> Tensor:
        """Poses (count, 6) of one image with so many draws of the dropout (Gal and Ghahramani, ICML 2016)."""
        return self.regressed(dropped(features_1c.expand(count, -1), self.config.dropout, seed))


class SelfAttention(nn.Module):
    """A residual of features (b, c) of which each compares with each: softmax(phi theta^T) g in an eighth of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.theta, self.phi, self.g = (nn.Linear(channels, inner) for _ in range(3))
        self.out = nn.Linear(inner, channels)
        nn.init.zeros_(self.out.weight)  # in the beginning it changes nothing
        nn.init.zeros_(self.out.bias)

    def forward(self, x_bc: Tensor) -> Tensor:
        """See the class."""
        share_bii = (self.phi(x_bc)[:, :, None] * self.theta(x_bc)[:, None]).softmax(2)
        return x_bc + self.out((share_bii @ self.g(x_bc)[..., None])[..., 0])


class SeededDropout(nn.Module):
    """Dropout whose draws depend on its seed and on how many there were, which is saved: a training resumes exactly."""

    drawn: Tensor

    def __init__(self, chance: float, seed: int) -> None:
        super().__init__()
        self.chance, self.seed = chance, seed
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def forward(self, x_bc: Tensor) -> Tensor:
        """The input as it is, but for training."""
        if not self.training or self.chance == 0:
            return x_bc
        out_bc = dropped(x_bc, self.chance, derived_seed(self.seed, "dropout", str(int(self.drawn))))
        self.drawn += 1
        return out_bc


def dropped(x_bc: Tensor, chance: float, seed: int) -> Tensor:
    """The input with numbers left out at random, the others larger, so that the mean stays."""
    generator = torch.Generator(x_bc.device)
    generator.manual_seed(seed)
    kept_bc = torch.rand(x_bc.shape, generator=generator, device=x_bc.device) >= chance
    return x_bc * kept_bc / (1 - chance)


class ResNet34(nn.Module):
    """Images (b, 3, h, w) to (b, outputs), with torchvision's names; its last layer has other outputs than there."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = (64, *_WIDTHS)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(inputs[i], _WIDTHS[i], _BLOCKS[i], 1 if i == 0 else 2) for i in range(4)
        )
        self.fc = nn.Linear(_WIDTHS[-1], outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image_b3hw))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))

    def load_imagenet(self, state: Mapping[str, Any]) -> None:
        """Takes torchvision's weights by name, all but those of the classes, which have no part in a pose.

        Raises:
            TransposeError: it is not the state of a ResNet-34: a name is missing, left over, or of another shape.
        """
        wanted = {name: value for name, value in self.state_dict().items() if not name.startswith(_IMAGENET_CLASSES)}
        given = {name: value for name, value in state.items() if not name.startswith(_IMAGENET_CLASSES)}
        # Files of 2016 do not count batches.
        missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
        other = [n for n in given if n not in wanted or getattr(given[n], "shape", None) != wanted[n].shape]
        if missing or other:
            raise TransposeError(
                "these are not the weights of torchvision's resnet34: "
                + (f"{first_few(missing)} missing" if missing else f"{first_few(other)} do not belong there")
            )
        if not all(value.isfinite().all() for value in given.values()):
            raise TransposeError("these weights hold NaN or infinite numbers")
        self.load_state_dict({**self.state_dict(), **given})


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input passes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        passed = x if self.downsample is None else self.downsample(x)
        return F.relu(passed + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


def _layer(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, width, stride), *(BasicBlock(width, width, 1) for _ in range(blocks - 1)))
