"""From which side a point is seen: a surface that was seen from above is not seen from below."""

from __future__ import annotations

import numpy as np

# What is seen from all around, a post, has a mean direction near 0 and no side from behind which it cannot be seen.
_BEHIND = -0.2


def agreeing_in_sight(
    agreeing_n: np.ndarray, points_n3: np.ndarray, toward_n3: np.ndarray, center_3: np.ndarray
) -> np.ndarray | None:
    """Which points (n,) bool agree with a pose that does not see them from behind; None where it sees most so.

    Args:
        agreeing_n: which do by where they are seen, bool.
        points_n3, toward_n3, center_3: see `seen_from_behind`.
    """
    kept_n = agreeing_n & ~seen_from_behind(points_n3, toward_n3, center_3)
    return kept_n if 2 * kept_n.sum() > agreeing_n.sum() else None


def seen_from_behind(points_n3: np.ndarray, toward_n3: np.ndarray, center_3: np.ndarray) -> np.ndarray:
    """Which points (n,) bool a camera sees from the side from which nobody ever saw them.

    Args:
        points_n3: the points, in any frame.
        toward_n3: of each the mean of the unit vectors to the cameras that saw it; 0 where nobody knows.
        center_3: of the camera, in the same frame.
    """
    ray_n3 = center_3 - points_n3
    along_n = np.einsum("ni,ni->n", ray_n3, toward_n3)
    return np.asarray(along_n < _BEHIND * np.linalg.norm(ray_n3, axis=1))
