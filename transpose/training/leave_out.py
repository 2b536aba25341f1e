"""Leave-out validation of landmarks: photos too few to keep some out are localized by the landmarks of the others.

Landmarks are made in a second, so that they can be made again without some photos; a network cannot. Each photo is
localized once by what all photos but those of its block say, which tells how far the landmarks of new photos are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from transpose.localization.landmarks import LandmarkMap
from transpose.training.landmarks import SIMILAR, Observations, landmarks_from
from transpose.training.triangulated import Triangulated

_BLOCKS = 8


def blocks_of(photos: Sequence[Sequence[int]]) -> list[list[int]]:
    """Neighbouring frames that are left out together: photos next to each other show the same.

    Args:
        photos: the frames of each photo.
    """
    parts = np.array_split(np.arange(len(photos)), max(1, min(_BLOCKS, len(photos))))
    return [[frame for photo in part for frame in photos[photo]] for part in parts]


@dataclass(frozen=True, eq=False)
class LeaveOut:
    """Landmark maps without some of the training frames.

    Attributes:
        photos: which of the training frames are left out in turn, those of one photo together.
        observations: of all training frames.
        most: landmarks of a map.
        map: where observed points come from, where they were triangulated; else None.
        origin_3: of the run's coordinates.
        similar: see `landmarks_from`.
    """

    photos: Sequence[Sequence[int]]
    observations: Observations
    most: int
    map: Triangulated | None
    origin_3: np.ndarray
    similar: float = SIMILAR

    def blocks(self) -> list[list[int]]:
        """See `blocks_of`."""
        return blocks_of(self.photos)

    def landmarks(self, block: Sequence[int]) -> LandmarkMap:
        """The landmarks as frames outside the block alone see them."""
        kept = self.observations[~torch.isin(self.observations.frame_n, torch.tensor(block))]
        if self.map is None or self.map.map is None:
            return landmarks_from(kept, self.most, self.similar)
        points_p3 = torch.from_numpy((self.map.points_without(block) - self.origin_3).astype(np.float32))
        mapped_n = kept.number_n >= 0
        moved_n3 = kept.points_n3.clone()
        moved_n3[mapped_n] = points_p3[kept.number_n[mapped_n]]
        kept = replace(kept, points_n3=moved_n3)[moved_n3.isfinite().all(1)]
        return landmarks_from(kept, self.most, self.similar)
