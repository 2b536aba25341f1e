"""The pose by which the points of one render lie where a photo shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import transform
from transpose.localization.candidates import Candidate, CorrespondenceKind
from transpose.localization.refine_options import RefineOptions
from transpose.localization.refine_tracking import tracked
from transpose.localization.refine_views import RenderedView
from transpose.solvers import RansacOptions, solve_pnp

BY: CorrespondenceKind = "renders"  # what a refined pose rests on


@dataclass(frozen=True, eq=False)
class Refinement:
    """A pose that is better than the one that was rendered, and by how many pixels its points moved in the median."""

    candidate: Candidate
    moved_px: float


def refined_by(
    view: RenderedView, grey_hw: np.ndarray, camera: Camera, options: RefineOptions, seed: int
) -> Refinement | None:
    """The pose of a photo by a render at nearly its pose; None where the photo does not bear out that it is better.

    Args:
        view: the render.
        grey_hw: the photo at the render's size, as `even_contrast` gives it.
        camera: of both.
        options: of the search, and of what is borne out.
        seed: of the search.
    """
    px_n2 = tracked(view.grey_hw, grey_hw, view.px_n2)
    known_m = np.isfinite(px_n2).all(1)
    px_m2, points_m3 = px_n2[known_m], view.points_n3[known_m]
    ransac = RansacOptions(max_error_px=options.max_error_px, seed=seed, correlation_px=options.correlation_px)
    found = Candidate.by(BY, solve_pnp(px_m2, points_m3, camera, ransac), points_m3, px_m2)
    if found.pose is None or found.support < max(options.min_points, options.min_share * len(px_m2)):
        return None
    errors_nm = [
        np.linalg.norm(camera.project(transform(pose.T_cw, points_m3)) - px_m2, axis=1)
        for pose in (found.pose, view.pose)
    ]
    now, before = (_agreement(error_m, options.max_error_px) for error_m in errors_nm)
    return Refinement(found, float(np.nanmedian(errors_nm[1]))) if now > before else None


def _agreement(error_m: np.ndarray, max_error_px: float) -> float:
    """How well tracks agree with a pose: each within the bound counts by 1 - (error / bound)^2.

    The score of MSAC (Torr and Zisserman, MLESAC, CVIU 2000): a bare count does not see a pose get better once all
    that is right lies within the bound.
    """
    return float(np.nansum(np.clip(1 - np.square(error_m / max_error_px), 0, None)))
