"""Whether an image that was changed still shows everything where it was: by keypoints matched with the original's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.matching import mutual_matches
from transpose.models.xfeat import XFeatEncoder

_KEYPOINTS = 2048
_MIN_SIMILARITY = 0.82  # XFeat's own threshold for matches of two images
_LARGEST_PX = 1024
_NEAR_PX = 1.0


@dataclass(frozen=True)
class Displacement:
    """How far keypoints of images lie from their matches in the changed images.

    Attributes:
        images: that were looked at.
        matches: of all of them.
        median_px: distance; NaN without matches.
        within_1px: share of the matches.
        shift_px: median of their differences along x and y, changed minus original: what all have in common.
    """

    images: int
    matches: int
    median_px: float
    within_1px: float
    shift_px: tuple[float, float]

    @property
    def moved(self) -> bool:
        """Whether what the images show is not where it was, or nobody can tell."""
        return not self.median_px <= _NEAR_PX


def displacement(pairs: Iterable[tuple[np.ndarray, np.ndarray]], device: torch.device | None = None) -> Displacement:
    """Matches keypoints (XFeat) of images with those of the changed ones, mutually most similar, wherever they lie.

    Of large images the middle is looked at, at full resolution.

    Args:
        pairs: original and changed image, (h, w, 3) uint8 of one size.
        device: where the encoder runs.
    """
    encoder = XFeatEncoder().to(device or torch.device("cpu"))
    moved = [_differences(encoder, *pair) for pair in pairs]
    all_m2 = np.concatenate([np.zeros((0, 2)), *moved])
    if len(all_m2) == 0:
        return Displacement(len(moved), 0, math.nan, 0.0, (math.nan, math.nan))
    distance_m = np.linalg.norm(all_m2, axis=1)
    shift_x, shift_y = np.median(all_m2, axis=0).tolist()
    within = float((distance_m <= _NEAR_PX).mean())
    return Displacement(len(moved), len(all_m2), float(np.median(distance_m)), within, (shift_x, shift_y))


def _differences(encoder: XFeatEncoder, before_hw3: np.ndarray, after_hw3: np.ndarray) -> np.ndarray:
    """Of all matches (m, 2), pixels."""
    before, after = (_keypoints(encoder, _middle(each)) for each in (before_hw3, after_hw3))
    of_before_m, of_after_m = mutual_matches(before.descriptors_nc, after.descriptors_nc, _MIN_SIMILARITY)
    return (after.px_n2[of_after_m] - before.px_n2[of_before_m]).double().cpu().numpy()


def _middle(image_hw3: np.ndarray) -> np.ndarray:
    rows, columns = (slice(max(0, (size - _LARGEST_PX) // 2), None) for size in image_hw3.shape[:2])
    return image_hw3[rows, columns][:_LARGEST_PX, :_LARGEST_PX]


@torch.no_grad()
def _keypoints(encoder: XFeatEncoder, image_hw3: np.ndarray) -> Keypoints:
    device = next(encoder.parameters()).device
    image_b3hw = torch.from_numpy(np.ascontiguousarray(image_hw3)).to(device).permute(2, 0, 1)[None].float()
    return keypoints_of(encoder.maps(image_b3hw), image_hw3.shape[:2], _KEYPOINTS)
