"""A run's networks as one graph that ONNX can say: from the pixels of an image to keypoints and world points.

It computes what `models.keypoints` and `localization.scene_network` compute, in operators whose shapes ONNX follows for
images of any size; tests hold it against these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.geometry.cameras import CELL_STRIDE
from transpose.models.keypoints import BORDER_PX, MIN_CORNER, WINDOW
from transpose.models.network import ImageMaps, Network
from transpose.models.recognition import Recognition
from transpose.models.xfeat import DESCRIPTOR_CHANNELS, XFeatEncoder

IMAGE = "image_hw3"
CELLS = ("cells_hwk",)
KEYPOINTS = ("keypoints_n2", "descriptors_nc")
RECOGNIZED = ("recognized_n3", "probability_n", "number_n")


class LocalizerGraph(nn.Module):
    """From RGB uint8 (height, width, 3) to the outputs that `output_names` lists.

    `cells_hwk` (rows, columns, 3 + k): world points relative to the run's origin, and raw outputs on their error. Of an
    encoder with keypoints also their pixels (n, 2), the best first, and unit descriptors (n, c); where the network
    recognizes map points, also those (n, 3) that the keypoints are taken for, how likely (n,) each is right, and which
    (n,) of all it is.

    Args:
        network: of the run, in evaluation mode.
        most_keypoints: that are kept.
    """

    def __init__(self, network: Network, most_keypoints: int) -> None:
        super().__init__()
        self.encoder, self.head = network.encoder, network.head
        if isinstance(self.encoder, XFeatEncoder):
            self.encoder.norm = _Normalisation(self.encoder.norm.eps)
        recognition = network.recognition
        self.recognition = recognition if isinstance(recognition, Recognition) else None
        self.most_keypoints = most_keypoints

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of what `forward` returns, in order."""
        if not self.encoder.has_keypoints:
            return CELLS
        return CELLS + KEYPOINTS + (RECOGNIZED if self.recognition is not None else ())

    def forward(self, image_hw3: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        maps = self.encoder.maps(image_hw3.permute(2, 0, 1)[None].float())
        outputs = [self.head(maps.features_bchw)[0].permute(1, 2, 0)]
        if not self.encoder.has_keypoints:
            return tuple(outputs)
        cells_n2, px_n2 = self._keypoints(maps, image_hw3)
        columns_rows_2 = _shape(maps.features_bchw)[[3, 2]]

        def features(map_chw: Tensor, at_n2: Tensor) -> Tensor:
            grid_n2 = 2 * at_n2 / (CELL_STRIDE * columns_rows_2) - 1
            return F.grid_sample(map_chw[None], grid_n2[None, None], mode="bicubic", align_corners=False)[0, :, 0].T

        outputs += [px_n2, F.normalize(features(maps.features_bchw[0, :DESCRIPTOR_CHANNELS], cells_n2), dim=1)]
        if self.recognition is not None:
            outputs += self._recognized(self.recognition, features(maps.features_bchw[0], px_n2))
        return tuple(outputs)

    def _keypoints(self, maps: ImageMaps, image_hw3: Tensor) -> tuple[Tensor, Tensor]:
        """Centres of the strongest pixels (n, 2) and the keypoints in them (n, 2); see `models.keypoints`."""
        assert maps.corners_bhw is not None and maps.reliability_bhw is not None
        height, width = image_hw3.shape[:2]
        corners_hw = maps.corners_bhw[0, :height, :width]
        reach = WINDOW // 2
        strongest_hw = F.max_pool2d(corners_hw[None, None], WINDOW, 1, reach)[0, 0]
        found_hw = (corners_hw == strongest_hw) & (corners_hw > MIN_CORNER) & _inside(corners_hw)
        y_n, x_n = found_hw.nonzero().unbind(1)
        center_n2 = torch.stack([x_n, y_n], 1) + 0.5
        grid_n2 = 2 * center_n2 / (CELL_STRIDE * _shape(maps.reliability_bhw)[[2, 1]]) - 1
        reliability_n = F.grid_sample(maps.reliability_bhw[None], grid_n2[None, None], align_corners=False)[0, 0, 0]
        order_n = (corners_hw[y_n, x_n] * reliability_n).argsort(descending=True)[: self.most_keypoints]
        center_n2, y_n, x_n = center_n2[order_n], y_n[order_n], x_n[order_n]
        shift_k = torch.arange(-reach, reach + 1)
        window_nkk = corners_hw[y_n[:, None, None] + shift_k[:, None], x_n[:, None, None] + shift_k]
        moments_n2 = torch.stack([(window_nkk.sum(axis) * shift_k).sum(1) for axis in (1, 2)], 1)
        return center_n2, center_n2 + moments_n2 / window_nkk.sum((1, 2))[:, None]

    @staticmethod
    def _recognized(recognition: Recognition, features_nc: Tensor) -> list[Tensor]:
        keys_kd = F.normalize(recognition.keys_kd, dim=1)
        logits_nk = recognition.log_sharpness.exp() * (recognition.adapter(features_nc) @ keys_kd.T)
        best_n, index_n = logits_nk.max(1)
        none_n1 = recognition.none + 0 * best_n[:, None]  # ONNX takes the shape of `expand` from the example
        all_n = torch.cat([logits_nk, none_n1], 1).logsumexp(1)
        return [recognition.points_k3[index_n], (best_n - all_n).exp(), index_n]


class _Normalisation(nn.Module):
    """Images (b, c, h, w) brought to mean 0 and variance 1, each of them.

    In float64: the sums of some runtimes lose digits over the pixels of an image, and keypoints move by them.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, image_bchw: Tensor) -> Tensor:
        """See the class."""
        exact_bchw = image_bchw.double()
        off_bchw = exact_bchw - exact_bchw.mean((2, 3), keepdim=True)
        return (off_bchw / ((off_bchw**2).mean((2, 3), keepdim=True) + self.eps).sqrt()).float()


def _shape(values: Tensor) -> Tensor:
    """The shape as a tensor, which a graph computes from its input; plain numbers would be those of the example."""
    return torch._shape_as_tensor(values)


def _inside(values_hw: Tensor) -> Tensor:
    """Which pixels (h, w) bool are not next to the border."""
    height_width_2 = _shape(values_hw)
    sides = [torch.ones_like(values_hw[:, 0]).cumsum(0) - 1, torch.ones_like(values_hw[0]).cumsum(0) - 1]
    y_h, x_w = ((at >= BORDER_PX) & (at < size - BORDER_PX) for at, size in zip(sides, height_width_2, strict=True))
    return y_h[:, None] & x_w
