"""Pose solvers: pixels and points in, a pose or the reason why there is none out."""

from transpose.solvers.dsac import DsacOptions, draw_hypotheses, dsac_loss, dsac_loss_rgbd, pose_loss
from transpose.solvers.epro import EproOptions, epro_pnp_loss, sample_poses
from transpose.solvers.implicit import ImplicitOptions, implicit_pnp
from transpose.solvers.options import PoseEstimate, RansacOptions, RigidOptions
from transpose.solvers.pnp import solve_pnp
from transpose.solvers.posterior import PosePosterior, PosteriorOptions, sample_posterior
from transpose.solvers.rigid import solve_rigid

__all__ = [
    "DsacOptions",
    "EproOptions",
    "ImplicitOptions",
    "PoseEstimate",
    "PosePosterior",
    "PosteriorOptions",
    "RansacOptions",
    "RigidOptions",
    "draw_hypotheses",
    "dsac_loss",
    "dsac_loss_rgbd",
    "epro_pnp_loss",
    "implicit_pnp",
    "pose_loss",
    "sample_poses",
    "sample_posterior",
    "solve_pnp",
    "solve_rigid",
]
