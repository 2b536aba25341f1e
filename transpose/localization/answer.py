"""From poses that correspondences give to the estimate that users get: its focal length, and its calibrated covariance.

What every method shares whose poses come from correspondences, whatever those are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from transpose.geometry.cameras import Camera
from transpose.localization.alternatives import Place
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.localization.error_model import residual_scale
from transpose.localization.focal import POORLY_KNOWN, Focused, with_focal
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import GUESSED_FOCAL, UNKNOWN_FOCAL, Query
from transpose.localization.seeing import SeenImage
from transpose.solvers import PoseAlternative, PoseEstimate

Judge = Callable[[Candidate, Camera], float | None]
Where = Callable[[Candidate, Camera], tuple[Place, ...]]
# That a focal length is right of which the photo's metadata, or nothing but the training images' camera, tells; and
# that the camera is that of the training images where the metadata agree with it.
_RIGHT: dict[str, float] = {"exif": 0.98, "training": 0.5}
_RIGHT_AS_EXIF_SAYS = 0.8
_OTHER_ZOOMS = (1.25, 0.8, 1.6, 0.64)  # of an image of whose focal length nothing is known


def one_place(candidate: Candidate, camera: Camera) -> tuple[Place, ...]:
    """Of a method that looks for no other place that looks alike."""
    return (Place(candidate),)


def unjudged(candidate: Candidate, camera: Camera) -> float | None:
    """Of a method that does not say how sure it is."""
    return None


def answer(
    solve: Callable[[Camera], Candidate],
    seen: SeenImage,
    scale: Callable[[str], float],
    options: LocalizationOptions,
    judge: Judge = unjudged,
    where: Where = one_place,
) -> PoseEstimate:
    """The estimate for an image, with the camera of the image as it was given.

    A focal length of which little is known is estimated with the pose; measured depth tells the scale without it.

    Args:
        solve: the chosen pose of the seen image for a camera of it.
        seen: the image at the learned scale.
        scale: factor on the covariance by correspondences, by what gave the pose.
        options: of the localizer.
        judge: the probability that a candidate, found with a camera, is right; None where nothing tells.
        where: the places at which an image may have been taken of which a candidate was found with a camera.
    """
    query, errors = seen.query, options.systematic
    found = _focused(solve, seen, scale, options)
    query = replace(query, focal_sigma=found.sigma)
    off = CameraErrors.of(query, errors, found.candidate.estimate.by)
    likely = where(found.candidate, found.camera)
    candidate, weight = likely[0].candidate, likely[0].weight
    estimates = [calibrated(each.candidate, found.camera, scale, off) for each in likely]
    chance = judge(candidate, found.camera)
    estimate = replace(
        estimates[0],
        camera=query.camera.zoomed(found.camera.fx / seen.camera.fx),
        focal_sigma=off.focal,
        confidence=None if chance is None else weight * chance,
        distance=candidate.distance,
    )
    if chance is not None and chance < 1 - options.risk:
        return refused(estimate)
    if len(likely) > 1:
        estimate = replace(estimate, alternatives=_alternatives(estimates, likely))
    return estimate if chance is None or weight * chance >= 1 - options.risk else refused(estimate, "ambiguous")


def refused(estimate: PoseEstimate, reason: str = "low_score") -> PoseEstimate:
    """An estimate without its pose, which is not sure enough; with the reason that it had without one, if it had."""
    reason = reason if estimate.pose is not None else estimate.reason
    return replace(estimate, pose=None, reason=reason, covariance_66=None, by="", refused=estimate.pose)


def _alternatives(estimates: Sequence[PoseEstimate], likely: Sequence[Place]) -> tuple[PoseAlternative, ...]:
    return tuple(
        PoseAlternative(estimate.pose, estimate.covariance_66, place.weight)
        for estimate, place in zip(estimates, likely, strict=True)
        if estimate.pose is not None
    )


def at_found_scale(
    localize: Callable[[Query], PoseEstimate],
    query: Query,
    options: LocalizationOptions,
    sees: Callable[[Query], bool] | None = None,
) -> PoseEstimate:
    """The estimate of an image that is seen anew where the focal length turns out to be quite another.

    By the focal length that is thought right, an image is brought to the scale that was learned (`see`). Where nothing
    is known of it and the image is refused, longer and shorter ones are thought right in turn.

    Args:
        localize: the estimate of a query.
        query: the image.
        options: how far the scale may differ.
        sees: whether little work tells that a query shows the place; None: no other focal length is tried.
    """
    first = localize(query)
    if first.pose is None and sees is not None and query.focal_sigma >= UNKNOWN_FOCAL:
        zoomed = (replace(query, camera=query.camera.zoomed(zoom)) for zoom in _OTHER_ZOOMS)
        for other in filter(sees, zoomed):
            found = localize(other)
            if found.pose is not None:
                query, first = other, found
                break
    factor = 1.0 if first.pose is None or first.camera is None else first.camera.fx / query.camera.fx
    if first.camera is None or 1 / options.same_scale < factor < options.same_scale:
        return first
    again = localize(replace(query, camera=first.camera, source="estimated", focal_sigma=UNKNOWN_FOCAL))
    return first if again.pose is None else again


def matched(
    solve: Callable[[Camera], Candidate],
    seen: SeenImage,
    scale: Callable[[str], float],
    options: LocalizationOptions,
) -> Candidate:
    """All correspondences of an image, in its own pixels, and the pose that they support; see `answer`.

    They are those that no pose has chosen. The estimate's camera is that of the image as it was given, its covariance
    as the solver gave it.
    """
    found = _focused(solve, seen, scale, options)
    candidate = found.candidate.before or found.candidate
    camera = seen.query.camera.zoomed(found.camera.fx / seen.camera.fx)
    estimate = replace(candidate.estimate, pose=found.candidate.pose, camera=camera, focal_sigma=found.sigma)
    return replace(candidate, estimate=estimate, px_n2=seen.given_px(candidate.px_n2))


def _focused(
    solve: Callable[[Camera], Candidate],
    seen: SeenImage,
    scale: Callable[[str], float],
    options: LocalizationOptions,
) -> Focused:
    query, errors = seen.query, options.systematic
    by_exif = query.source == "exif"
    as_exif_says = query.source == "training" and 0 < query.focal_sigma <= POORLY_KNOWN
    told = by_exif or as_exif_says
    if query.depth_hw is not None or (query.focal_sigma <= POORLY_KNOWN and not told):
        return Focused(solve(seen.camera), seen.camera, query.focal_sigma)
    said = as_exif_says or query.source == "estimated"
    guessed = query.focal_sigma if said else max(query.focal_sigma, GUESSED_FOCAL)
    return with_focal(
        solve,
        seen.camera,
        UNKNOWN_FOCAL if by_exif else guessed,  # should it be wrong
        right=_RIGHT_AS_EXIF_SAYS if as_exif_says else _RIGHT.get(query.source, 0.0),
        scale=residual_scale(scale),
        correlation_px=options.correlation_px,
        center=errors.uncalibrated_center,
        tolerance=query.focal_sigma if by_exif else 0.0,
        least_share=options.least_share,
    )
