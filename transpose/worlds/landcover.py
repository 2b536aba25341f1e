"""Classes of surveyed worlds, from the ASPRS classes of LAS files."""

from __future__ import annotations

import numpy as np

from transpose.scenes.classes import CLASS_NAMES, table_of_asprs


def class_table() -> np.ndarray:
    """(256,) uint8: the index into `CLASS_NAMES` of each ASPRS class; whatever is nothing else is ground."""
    return table_of_asprs(CLASS_NAMES.index("ground"))


def says_something(classes: frozenset[int]) -> bool:
    """Whether ASPRS classes tell surfaces apart: 0 and 1 only say that nobody has classified the points."""
    return bool(classes - {0, 1})
