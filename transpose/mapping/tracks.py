"""Tracks: keypoints of several views that may show one point, as descriptors say.

What is matched with what is matched is not taken for one track: over many views a few wrong matches join everything. A
track here is a keypoint with those that it is matched with directly, its star, and each point of a place has as many
stars as keypoints that show it; `strongest_of` leaves each keypoint to one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Stars:
    """Keypoints and what each is matched with, star after star.

    Attributes:
        center_s: the keypoint of each star.
        first_s, count_s: where its members begin, and how many they are.
        member_e: matched keypoints; of different views, since two views match a keypoint once.
    """

    center_s: Tensor
    first_s: Tensor
    count_s: Tensor
    member_e: Tensor

    @classmethod
    def of(cls, pairs_m2: Tensor) -> Stars:
        """The stars of matches, each match a pair of keypoint numbers that comes once."""
        both_e2 = torch.cat([pairs_m2, pairs_m2.flip(1)])
        both_e2 = both_e2[both_e2[:, 0].argsort(stable=True)]
        center_s, count_s = both_e2[:, 0].unique_consecutive(return_counts=True)
        return cls(center_s, count_s.cumsum(0) - count_s, count_s, both_e2[:, 1])

    def __len__(self) -> int:
        return len(self.center_s)

    def members(self, stars_k: Tensor) -> tuple[Tensor, Tensor]:
        """Members (e,) of some stars one after the other, and which of the given stars each belongs to (e,)."""
        count_k = self.count_s[stars_k]
        which_e = torch.arange(len(stars_k)).repeat_interleave(count_k)
        within_e = torch.arange(len(which_e)) - (count_k.cumsum(0) - count_k)[which_e]
        return self.member_e[self.first_s[stars_k][which_e] + within_e], which_e


def strongest_of(keypoint_o: Tensor, star_o: Tensor, weight_s: Tensor, keypoints: int) -> Tensor:
    """Which of the claims (o,) of stars on keypoints hold: each keypoint goes to its heaviest star.

    Args:
        keypoint_o, star_o: a star claims a keypoint.
        weight_s: of the stars.
        keypoints: how many there are.
    """
    rank_s = torch.empty(len(weight_s), dtype=torch.int64)
    rank_s[weight_s.argsort(stable=True)] = torch.arange(len(weight_s))
    best_n = torch.full((keypoints,), -1).scatter_reduce_(0, keypoint_o, rank_s[star_o], "amax")
    held_o: Tensor = rank_s[star_o] == best_n[keypoint_o]
    return held_o
