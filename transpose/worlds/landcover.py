"""Classes of surveyed worlds, and the ASPRS classes of LAS files that become them."""

from __future__ import annotations

import numpy as np

# CrossLoc's ids: sky, unclassified and ground, low vegetation, building, water, bridge.
CLASS_NAMES = ("sky", "ground", "vegetation", "building", "water", "bridge")
_GROUND = 1
_OF_ASPRS = {
    2: (3, 4, 5),  # low, medium and high vegetation
    3: (6, 15, 19),  # building, transmission tower, overhead structure
    4: (9, 41),  # water, water surface
    5: (17,),  # bridge deck
}


def class_table() -> np.ndarray:
    """(256,) uint8: the class of this module for each ASPRS class; whatever is nothing else is ground."""
    table = np.full(256, _GROUND, np.uint8)
    for ours, theirs in _OF_ASPRS.items():
        table[list(theirs)] = ours
    return table


def says_something(classes: frozenset[int]) -> bool:
    """Whether ASPRS classes tell surfaces apart: 0 and 1 only say that nobody has classified the points."""
    return bool(classes - {0, 1})
