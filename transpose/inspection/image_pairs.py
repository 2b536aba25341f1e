"""Pairs of images that show the same, found by their keypoints alone: no label, and no pose, is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.matching import mutual_matches
from transpose.models.xfeat import XFeatEncoder
from transpose.scenes.layout import Frame
from transpose.selection import evenly_chosen

_LONGER_SIDE_PX = 640  # at which images are looked at
_KEYPOINTS = 1200
_MIN_SIMILARITY = 0.8
_FEW_FRAMES, _PLACES, _STEPS = 24, 8, (0, 1, 3, 8)
_CANDIDATES, _PARTNERS = 5, 3
_FEWEST = 30
_EPIPOLAR_PX = 1.5  # at that size
_LEAST_FRACTION = 0.35


@dataclass(frozen=True)
class ImagePair:
    """Two frames, by number, and pixels (m, 2) of each that show the same as those of the other."""

    first: int
    second: int
    first_px_m2: np.ndarray
    second_px_m2: np.ndarray


def find_pairs(
    frames: Sequence[Frame], progress: Callable[[Sequence[int]], Iterable[int]] = iter
) -> tuple[list[ImagePair], int]:
    """Pairs among some of the frames, and how many frames were looked at.

    Images are compared with each other whatever the poses say, which may be wrong. Matches are mutually nearest and lie
    on a common epipolar geometry of their own, which false ones rarely do.
    """
    chosen = _chosen(len(frames))
    encoder = XFeatEncoder()
    seen = {number: _keypoints(frames[number], encoder) for number in progress(chosen)}
    matches: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for place, first in enumerate(chosen):
        for second in chosen[place + 1 :]:
            first_kc, second_kc = (seen[each][0].descriptors_nc for each in (first, second))
            found = mutual_matches(first_kc, second_kc, _MIN_SIMILARITY)
            if len(found[0]) >= _FEWEST:
                matches[first, second] = found
    pairs: dict[tuple[int, int], ImagePair] = {}
    for number in chosen:
        alike = sorted((key for key in matches if number in key), key=lambda key: -len(matches[key][0]))
        verified = []
        for key in alike[:_CANDIDATES]:
            if key not in pairs and (pair := _verified(key, matches.pop(key), seen)) is not None:
                pairs[key] = pair
            verified += [key] if key in pairs else []
            if len(verified) >= _PARTNERS:
                break
    return list(pairs.values()), len(chosen)


def _chosen(count: int) -> list[int]:
    """All of few frames; of many some places along the section, and frames soon after, which may show the same."""
    if count <= _FEW_FRAMES:
        return list(range(count))
    starts = evenly_chosen(count - max(_STEPS), _PLACES)
    return sorted({start + step for start in starts for step in _STEPS})


def _keypoints(frame: Frame, encoder: XFeatEncoder) -> tuple[Keypoints, float]:
    """The keypoints of an image brought to the size at which it is looked at, and that scale."""
    image_hw3 = frame.image()
    height, width = image_hw3.shape[:2]
    scale = _LONGER_SIDE_PX / max(height, width)
    size = max(32, round(width * scale)), max(32, round(height * scale))
    seen_hw3 = cv2.resize(image_hw3, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    with torch.no_grad():
        maps = encoder.maps(torch.from_numpy(seen_hw3).permute(2, 0, 1)[None].float())
        return keypoints_of(maps, (size[1], size[0]), _KEYPOINTS), scale


def _verified(
    key: tuple[int, int], matches: tuple[Tensor, Tensor], seen: dict[int, tuple[Keypoints, float]]
) -> ImagePair | None:
    points = [seen[number][0].px_n2[index_m].numpy() for number, index_m in zip(key, matches, strict=True)]
    cv2.setRNGSeed(0)
    _, kept = cv2.findFundamentalMat(points[0], points[1], cv2.USAC_MAGSAC, _EPIPOLAR_PX, 0.999, 5000)
    if kept is None or kept.sum() < max(_FEWEST, _LEAST_FRACTION * len(kept)):
        return None
    first, second = (px_m2[kept[:, 0] > 0] / seen[number][1] for number, px_m2 in zip(key, points, strict=True))
    return ImagePair(*key, first.astype(np.float64), second.astype(np.float64))
