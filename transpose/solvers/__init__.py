"""Pose solvers: pixels and points in, a pose or the reason why there is none out.

`robust/` searches for a pose among outliers and refines it; `differentiable/` lets losses on poses reach what the
poses came from, and gives its uncertainty. What both rest on stands beside them.
"""

from transpose.solvers.calibration import CalibratedCamera, CalibrationOptions, SeenPoints, calibrate_camera
from transpose.solvers.differentiable.dsac import DsacOptions, draw_hypotheses, dsac_loss, dsac_loss_rgbd, pose_loss
from transpose.solvers.differentiable.epro import EproOptions, epro_pnp_loss, epro_pnp_samples
from transpose.solvers.differentiable.implicit import ImplicitOptions, implicit_pnp
from transpose.solvers.differentiable.posterior import (
    PosePosterior,
    PosteriorMode,
    PosteriorOptions,
    sample_posterior,
)
from transpose.solvers.options import PoseAlternative, PoseEstimate, RansacOptions, RigidOptions, draws_to_find
from transpose.solvers.robust.pnp import solve_pnp, solve_pnp_batch
from transpose.solvers.robust.rigid import solve_rigid, solve_rigid_batch

__all__ = [
    "CalibratedCamera",
    "CalibrationOptions",
    "DsacOptions",
    "EproOptions",
    "ImplicitOptions",
    "PoseAlternative",
    "PoseEstimate",
    "PosePosterior",
    "PosteriorMode",
    "PosteriorOptions",
    "RansacOptions",
    "RigidOptions",
    "SeenPoints",
    "calibrate_camera",
    "draw_hypotheses",
    "draws_to_find",
    "dsac_loss",
    "dsac_loss_rgbd",
    "epro_pnp_loss",
    "epro_pnp_samples",
    "implicit_pnp",
    "pose_loss",
    "sample_posterior",
    "solve_pnp",
    "solve_pnp_batch",
    "solve_rigid",
    "solve_rigid_batch",
]
