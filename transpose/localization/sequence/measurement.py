"""What a single frame contributes to a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose, project_to_rotation, rigid_defect
from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class PoseMeasurement:
    """The pose of a single frame with its covariance.

    Attributes:
        pose: camera to world, metres.
        L_66: Cholesky factor of the covariance L L^T over xi = (omega rad, t m) in the camera frame,
            T_true = T_measured exp(xi).
    """

    pose: Pose
    L_66: np.ndarray

    @classmethod
    def of(cls, estimate: PoseEstimate) -> PoseMeasurement | None:
        """The measurement of a frame's estimate; None without a pose or without a positive definite covariance.

        Raises:
            TransposeError: a pose that is not rigid.
        """
        if estimate.pose is None or estimate.covariance_66 is None:
            return None
        if defect := rigid_defect(estimate.pose.T_wc):
            raise TransposeError(f"a pose of the sequence is not rigid: {defect}")
        try:
            L_66 = np.linalg.cholesky(np.asarray(estimate.covariance_66, dtype=np.float64))
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(L_66).all():
            return None
        return cls(Pose(compose(project_to_rotation(estimate.pose.R_wc), estimate.pose.center)), L_66)

    @property
    def covariance_66(self) -> np.ndarray:
        """L L^T."""
        return self.L_66 @ self.L_66.T

    @property
    def sigma_rad(self) -> float:
        """Root mean square error about an axis."""
        return float(np.sqrt((self.L_66[:3] ** 2).sum() / 3))

    @property
    def sigma_m(self) -> float:
        """Root mean square error along an axis."""
        return float(np.sqrt((self.L_66[3:] ** 2).sum() / 3))
