"""Keypoints: the few places of an image that are found again in other images of the same thing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.geometry.cameras import CELL_STRIDE
from transpose.models.network import ImageMaps
from transpose.models.xfeat import DESCRIPTOR_CHANNELS

WINDOW = 5  # a keypoint is the strongest pixel of this neighbourhood
BORDER_PX = 8  # nearer to the border, the network saw more padding than image
MIN_CORNER = 0.05


@dataclass(frozen=True)
class Keypoints:
    """Continuous pixels `px_n2`, unit `descriptors_nc`, both float32, the best first."""

    px_n2: Tensor
    descriptors_nc: Tensor

    def __len__(self) -> int:
        return len(self.px_n2)

    def to(self, device: torch.device) -> Keypoints:
        """The same on a device."""
        return Keypoints(self.px_n2.to(device), self.descriptors_nc.to(device))

    def strongest(self, most: int) -> Keypoints:
        """The first so many."""
        return Keypoints(self.px_n2[:most], self.descriptors_nc[:most])


def keypoints_of(maps: ImageMaps, size: tuple[int, int], most: int) -> Keypoints:
    """The at most `most` best keypoints of the only image of `maps`.

    Args:
        maps: of a batch of one.
        size: height and width of the image in pixels.
        most: how many are kept, by corner strength times reliability.

    Raises:
        ValueError: the encoder has no keypoints.
    """
    if maps.corners_bhw is None or maps.reliability_bhw is None:
        raise ValueError("these maps are of an encoder without keypoints")
    height, width = size
    corners_hw, reliability_hw = maps.corners_bhw[0, :height, :width], maps.reliability_bhw[0]
    found_hw = (corners_hw == _strongest_around(corners_hw)) & (corners_hw > MIN_CORNER)
    found_hw[:BORDER_PX] = found_hw[-BORDER_PX:] = False
    found_hw[:, :BORDER_PX] = found_hw[:, -BORDER_PX:] = False
    y_n, x_n = found_hw.nonzero(as_tuple=True)
    px_n2 = torch.stack([x_n, y_n], 1) + 0.5
    padded = 8 * torch.tensor([reliability_hw.shape[1], reliability_hw.shape[0]], device=px_n2.device)
    at_n2 = 2 * px_n2 / padded - 1
    reliability_n = _sampled(reliability_hw[None], at_n2, "bilinear")[:, 0]
    best_n = (corners_hw[y_n, x_n] * reliability_n).argsort(descending=True, stable=True)[:most]
    descriptors_nc = _sampled(maps.features_bchw[0, :DESCRIPTOR_CHANNELS].float(), at_n2[best_n], "bicubic")
    px_n2 = px_n2[best_n] + _within_pixel(corners_hw, x_n[best_n], y_n[best_n])
    return Keypoints(px_n2, F.normalize(descriptors_nc, dim=1))


def features_at(maps: ImageMaps, px_n2: Tensor) -> Tensor:
    """All features (n, c) float32 at pixels (n, 2) of the only image of `maps`, as descriptors are read there."""
    rows, columns = maps.features_bchw.shape[2:]
    size_2 = CELL_STRIDE * torch.tensor([columns, rows], device=px_n2.device)
    return _sampled(maps.features_bchw[0].float(), 2 * px_n2 / size_2 - 1, "bicubic")


def _within_pixel(corners_hw: Tensor, x_n: Tensor, y_n: Tensor) -> Tensor:
    """From the strongest pixel to the mean of its window (n, 2), each pixel weighed by its corner strength.

    Matches of photos then agree with the epipolar lines of known poses within 0.41 in place of 0.48 px in the median.
    """
    reach = WINDOW // 2
    shift_k = torch.arange(-reach, reach + 1, device=x_n.device)
    window_nkk = corners_hw[y_n[:, None, None] + shift_k[:, None], x_n[:, None, None] + shift_k]
    total_n = window_nkk.sum((1, 2))
    return (
        torch.stack([(window_nkk.sum(1) * shift_k).sum(1), (window_nkk.sum(2) * shift_k).sum(1)], 1) / total_n[:, None]
    )


def _strongest_around(values_hw: Tensor) -> Tensor:
    """The maximum of the window about each pixel; row by row and column by column, as no pooling on a CPU does it."""
    reach = WINDOW // 2
    padded = F.pad(values_hw[None], (reach, reach, reach, reach), value=-1.0)[0]
    height, width = values_hw.shape
    rows = padded[:, :width].clone()
    for shift in range(1, WINDOW):
        torch.maximum(rows, padded[:, shift : shift + width], out=rows)
    strongest = rows[:height].clone()
    for shift in range(1, WINDOW):
        torch.maximum(strongest, rows[shift : shift + height], out=strongest)
    return strongest


def _sampled(map_chw: Tensor, at_n2: Tensor, mode: str) -> Tensor:
    """Values (n, c) of a map at positions in -1..1 over its whole extent."""
    return F.grid_sample(map_chw[None], at_n2[None, None], mode=mode, align_corners=False)[0, :, 0].T
