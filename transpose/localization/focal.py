"""The focal length of an image of which it is not known, from the very correspondences that give the pose.

A wrong focal length moves the camera along its axis, by as much of its distance as the focal length is off, and the
residuals hardly show it. So it is estimated together with the pose, with what is known beforehand as a prior; what is
left of its uncertainty goes into the covariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.systematic import focal_shift_by_center
from transpose.solvers import RansacOptions, draws_to_find, solve_pnp

POORLY_KNOWN = 0.04  # relative: a focal length that is less certain is estimated from the image
_FEWEST = 12  # correspondences
_ERROR_PX = 8.0  # of a correspondence that may take part; how much each counts, their residuals say
# Times the share of right correspondences that a pose is found with: each is tried with many focal lengths.
_WANTED = 1.5
_TURNS = 4  # of estimating the focal length and solving for the pose with it
_SETTLED = 0.003
_SUPPORTED = 0.9  # of the support of the pose before: a focal length with less is none


@dataclass(frozen=True)
class KnownFocal:
    """What is known of a focal length: log(f / f_0) is normal, or f_0 is exactly right.

    Attributes:
        log_factor: mean.
        sigma: standard deviation.
    """

    log_factor: float
    sigma: float


@dataclass(frozen=True, eq=False)
class Focused:
    """A pose with the focal length that goes with it.

    Attributes:
        candidate: as solved with `camera`.
        camera: of the image, its focal length as estimated.
        sigma: standard deviation of what is left unknown of it, relative.
    """

    candidate: Candidate
    camera: Camera
    sigma: float


def with_focal(
    solve: Callable[[Camera], Candidate],
    camera: Camera,
    sigma: float,
    right: float,
    scale: Callable[[str], float],
    correlation_px: float,
    center: float,
    tolerance: float = 0.0,
    *,
    least_share: float,
) -> Focused:
    """A pose and its focal length.

    Args:
        solve: the pose for a camera.
        camera: with the focal length that is thought most probable, f_0.
        sigma: standard deviation of its logarithm, should it be wrong.
        right: the probability, before the image is looked at, that f_0 is right: that it is the very camera of the
            training images, or that the photo's metadata tell the truth.
        scale: factor on variances that are estimated from residuals, by what gave the pose.
        correlation_px: see `LocalizationOptions`.
        center: standard deviation of the principal point, in focal lengths.
        tolerance: standard deviation of f_0, relative, where it is right.
        least_share: see `LocalizationOptions`; of fewer correspondences that agree, no focal length is believed.
    """
    found, factor, known = solve(camera), 1.0, KnownFocal(0.0, sigma)
    for _ in range(_TURNS):
        told = _told(found, camera, sigma, scale, correlation_px, center, least_share)
        if told is None:
            break
        settled = found.pose is not None and abs(told.log_factor - math.log(factor)) < _SETTLED
        known = told
        if settled:
            break
        again = solve(camera.zoomed(math.exp(told.log_factor)))
        if again.pose is None or again.support < _SUPPORTED * found.support:
            break
        factor, found = math.exp(told.log_factor), again
    if found.pose is None or found.support < _FEWEST:
        return Focused(found, camera if found.pose is None else camera.zoomed(factor), sigma)
    probability = _probability_of_right(right, known, sigma, tolerance)
    squared = probability * known.log_factor**2 + (1 - probability) * known.sigma**2
    if probability > 0.5:
        as_told = solve(camera)
        if as_told.pose is not None and as_told.support >= _SUPPORTED * found.support:
            squared = (1 - probability) * (known.sigma**2 + known.log_factor**2) + tolerance**2
            return Focused(as_told, camera, math.sqrt(squared))
    return Focused(found, camera.zoomed(factor), math.sqrt(squared + (known.log_factor - math.log(factor)) ** 2))


def _probability_of_right(before: float, known: KnownFocal, sigma: float, tolerance: float) -> float:
    """Of f_0 against any other focal length: odds before times the ratio of densities at f_0 (Savage and Dickey)."""
    if before <= 0:
        return 0.0
    within = math.hypot(known.sigma, tolerance)
    log_odds = math.log(before / (1 - before)) + math.log(sigma / within) - 0.5 * (known.log_factor / within) ** 2
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))


def _told(
    found: Candidate,
    camera: Camera,
    sigma: float,
    scale: Callable[[str], float],
    correlation_px: float,
    center: float,
    least_share: float,
) -> KnownFocal | None:
    """The focal length that a candidate's correspondences tell, whatever camera they were found with.

    Args:
        found: the candidate; all of its correspondences take part, also of one without a pose.
        camera: whose focal length is f_0.
        sigma: of the prior of log(f / f_0) about 0.
        scale: see `with_focal`.
        correlation_px: see `with_focal`.
        center: see `with_focal`.
        least_share: see `with_focal`.

    Returns:
        None where they give no pose with any focal length.
    """
    found = found.before or found
    draws = draws_to_find(min(1.0, _WANTED * least_share))
    options = RansacOptions(_ERROR_PX, draws, correlation_px=correlation_px, focal_log_sigma=sigma)
    weight_n = found.draw_weight_n
    estimate = solve_pnp(found.px_n2, found.points_n3, camera, options, estimate_focal=True, draw_weights_n=weight_n)
    if estimate.pose is None or estimate.focal_px is None or estimate.focal_sigma is None:
        return None
    agreeing_n = np.asarray(estimate.inlier_mask_n)
    if np.average(agreeing_n, weights=weight_n) < least_share:
        return None  # as many agree by chance
    agreeing_n3 = found.points_n3[agreeing_n]
    by_center = focal_shift_by_center(agreeing_n3, estimate.pose, center)
    log_factor = math.log(estimate.focal_px / camera.fx)
    # The solver's posterior is the image's word times the prior; what it did not know widens the first alone.
    variance = min(estimate.focal_sigma, (1 - 1e-6) * sigma) ** 2
    of_image = 1 / (1 / variance - 1 / sigma**2)
    wider = scale(found.estimate.by) * of_image + by_center**2
    posterior = 1 / (1 / wider + 1 / sigma**2)
    return KnownFocal(log_factor / variance * of_image / wider * posterior, math.sqrt(posterior))
