"""Images that no single camera took: what disagrees with the pose of a picture agrees with another.

Correspondences that disagree with a right pose are chance, and agree with nothing. Of a picture that was put together
of photos of the place (a mosaic, a poster that hangs somewhere else), each part has a pose of its own, with about as
much support. So what agrees is taken away and the rest searched again, however small a share of it agrees
(`alternatives` does so for places that look alike, where many must).
"""

from __future__ import annotations

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT
from transpose.localization.options import LocalizationOptions
from transpose.solvers import RansacOptions, solve_pnp

_DRAWS = 8192  # a part that 6 % of the rest agree with is found with four in five, one of 5 % with two in three
_ROUNDS = 2  # what is left of the first pose may come before another
_FEWEST = 10  # by chance a dozen agree


def rival_support(found: Candidate, camera: Camera, options: LocalizationOptions, seed: int = 0) -> float:
    """How many correspondences agree with another pose, for each that agrees with the one that was found, 0..1.

    Args:
        found: with a pose.
        camera: of the image in which it was found.
        options: of the search.
        seed: of the search.
    """
    assert found.pose is not None
    among = found.unguided
    left_n = ~among.agreeing(found.pose, camera, options.landmark_error_px)
    agreeing = len(left_n) - int(left_n.sum())
    search = RansacOptions(
        options.landmark_error_px,
        max_iterations=_DRAWS,
        min_inliers=_FEWEST,
        seed=seed,
        correlation_px=options.correlation_px,
    )
    for _ in range(_ROUNDS):
        rest = among.only(left_n)
        if len(rest.px_n2) < _FEWEST:
            return 0.0
        estimate = solve_pnp(rest.px_n2, rest.points_n3, camera, search, draw_weights_n=rest.draw_weight_n)
        if estimate.pose is None:
            return 0.0
        if found.shift(estimate.pose, camera) > RIGHT:
            return min(1.0, estimate.inliers / max(1, agreeing))
        left_n[np.flatnonzero(left_n)[np.asarray(estimate.inlier_mask_n)]] = False
    return 0.0
