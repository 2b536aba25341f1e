"""Pose solvers: pixels and points in, a pose or the reason why there is none out."""

from transpose.solvers.options import PoseEstimate, RansacOptions, RigidOptions
from transpose.solvers.pnp import solve_pnp
from transpose.solvers.rigid import solve_rigid

__all__ = ["PoseEstimate", "RansacOptions", "RigidOptions", "solve_pnp", "solve_rigid"]
