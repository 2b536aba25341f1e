"""Classes of surfaces, and the ASPRS ids of LAS files that become them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# CrossLoc's six: sky, unclassified and ground, low vegetation, building, water, bridge.
CLASS_NAMES = ("sky", "ground", "vegetation", "building", "water", "bridge")
UNKNOWN_CLASS = 255
_ALSO = {"road": "ground"}
_OF_ASPRS = {
    1: (1, 2),  # unclassified, ground
    2: (3, 4, 5),  # low, medium and high vegetation
    3: (6, 15, 19),  # building, transmission tower, overhead structure
    4: (9, 41),  # water, water surface
    5: (17,),  # bridge deck
}


def table_of_asprs(otherwise: int) -> np.ndarray:
    """(256,) uint8: the index into `CLASS_NAMES` of each ASPRS class, `otherwise` for whatever is nothing else."""
    table = np.full(256, otherwise, np.uint8)
    for ours, theirs in _OF_ASPRS.items():
        table[list(theirs)] = ours
    return table


def table_of_names(names: Sequence[str]) -> np.ndarray:
    """(256,) uint8: the index into `CLASS_NAMES` of each class of a world that has names of its own.

    A road is ground; what is none of the six, such as a car, is unknown.
    """
    table = np.full(256, UNKNOWN_CLASS, np.uint8)
    for index, name in enumerate(names):
        name = _ALSO.get(name, name)
        if name in CLASS_NAMES:
            table[index] = CLASS_NAMES.index(name)
    return table


def classes_of_topo(ids_hw: np.ndarray) -> np.ndarray:
    """Classes (height, width) uint8 of what TOPO-DataGen stores: LAS ids, 0 for the sky, -1 where no point is near."""
    table = table_of_asprs(UNKNOWN_CLASS)
    table[0] = CLASS_NAMES.index("sky")
    inside_hw = (ids_hw >= 0) & (ids_hw < len(table))
    return table[np.where(inside_hw, ids_hw, UNKNOWN_CLASS).astype(np.int64)]
