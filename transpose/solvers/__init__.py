"""Pose solvers: pixels and points in, a pose or the reason why there is none out."""

from transpose.solvers.pnp import PoseEstimate, RansacOptions, solve_pnp

__all__ = ["PoseEstimate", "RansacOptions", "solve_pnp"]
