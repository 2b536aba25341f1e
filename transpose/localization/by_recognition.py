"""Poses by map points that a network recognizes at keypoints."""

from __future__ import annotations

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.options import LocalizationOptions
from transpose.models.keypoints import Keypoints
from transpose.models.recognition import Recognized
from transpose.solvers import RansacOptions, solve_pnp


def by_recognition(
    recognized: Recognized,
    keypoints: Keypoints,
    origin_3: np.ndarray,
    camera: Camera,
    options: LocalizationOptions,
    seed: int = 0,
) -> Candidate:
    """The pose from which keypoints see the points that they are taken for; refused where too few agree.

    Args:
        recognized: by the network, of the keypoints.
        keypoints: of the image that it saw.
        origin_3: of the run's coordinates, metres.
        camera: of that image.
        options: of the search, and how likely a point and how many of them must be.
        seed: of the search.
    """
    likely_m = (recognized.probability_n >= options.min_recognized).cpu().numpy()
    points_m3 = recognized.points_n3.cpu().double().numpy()[likely_m] + origin_3
    px_m2 = keypoints.px_n2.cpu().double().numpy()[likely_m]
    weight_m = recognized.probability_n.cpu().double().numpy()[likely_m].clip(1e-6)
    ransac = RansacOptions(
        options.landmark_error_px, options.most_draws, seed=seed, correlation_px=options.correlation_px
    )
    estimate = solve_pnp(px_m2, points_m3, camera, ransac, draw_weights_n=weight_m)
    found = Candidate.by("recognition", estimate, points_m3, px_m2, weight_m)
    return found.if_supported(options.min_landmarks).if_scored(options.min_score)
