"""Files whose height is along another axis than z."""

from __future__ import annotations

import numpy as np

from transpose.errors import TransposeError

UP_AXES = ("x", "y", "z", "-x", "-y", "-z")
_TO_Z_UP = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
}


def to_z_up(up: str) -> np.ndarray:
    """The rotation (3, 3) that turns an axis of a file, one of `UP_AXES`, to z.

    Raises:
        TransposeError: it is no axis.
    """
    if up not in UP_AXES:
        raise TransposeError(f"the axis that points up is one of {', '.join(UP_AXES)}, not {up}")
    rotation_33 = _TO_Z_UP[up[-1]].copy()
    return np.diag([1.0, -1.0, -1.0]) @ rotation_33 if up.startswith("-") else rotation_33
