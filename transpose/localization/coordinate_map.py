"""A network's output for an image: the scene coordinates of its cells with their predicted uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera, cell_points
from transpose.losses.uncertainty import PredictedUncertainty

_MAX_CORRESPONDENCES = 5000


@dataclass(frozen=True)
class CoordinateMap:
    """World points of the cells, and their covariances.

    Attributes:
        points_hw3: float64, metres.
        raw_hwk: the network's outputs on its error, float64.
        uncertainty: how they are read as covariances.
        camera: of the image that the network saw.
        variance_factor_hw: on the covariances of the cells; None: they are as predicted.
    """

    points_hw3: np.ndarray
    raw_hwk: np.ndarray
    uncertainty: PredictedUncertainty
    camera: Camera
    variance_factor_hw: np.ndarray | None = None

    @property
    def has_uncertainty(self) -> bool:
        """Whether the network predicts an uncertainty."""
        return self.raw_hwk.shape[2] > 0

    def cell_px(self) -> np.ndarray:
        """Continuous pixels (rows, columns, 2) of the cells, in the image that the network saw."""
        return cell_points(self.camera.width, self.camera.height)

    def sigma_hw(self) -> np.ndarray:
        """Standard deviation along an axis, root mean square over the axes, metres; infinite without."""
        rows, columns = self.raw_hwk.shape[:2]
        if not self.has_uncertainty:
            return np.full((rows, columns), np.inf)
        trace_n = self._covariances(None).diagonal(dim1=1, dim2=2).mean(1)
        return trace_n.sqrt().numpy().reshape(rows, columns)

    def covariances(self, R_wc_33: np.ndarray | None) -> np.ndarray:
        """Of the points, world axes, (rows, columns, 3, 3), metres squared.

        Args:
            R_wc_33: camera to world, which turns covariances along viewing rays into world axes. None: their mean
                over the axes, isotropic.
        """
        return self._covariances(R_wc_33).numpy().reshape(*self.raw_hwk.shape[:2], 3, 3)

    def correspondences(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World points (n, 3), their pixels (n, 2) in the image of `camera`, and which cells they are (n,).

        Those inside the image, and of too many the most certain.
        """
        px_n2 = self.cell_px().reshape(-1, 2)
        inside_n = np.flatnonzero((px_n2 < (self.camera.width, self.camera.height)).all(1))
        if self.has_uncertainty:
            sigma_n = self.sigma_hw().reshape(-1)[inside_n]
            keep_n = inside_n[np.argsort(sigma_n, kind="stable")[:_MAX_CORRESPONDENCES]]
        else:
            keep_n = inside_n[:: -(-len(inside_n) // _MAX_CORRESPONDENCES)]
        return self.points_hw3.reshape(-1, 3)[keep_n], px_n2[keep_n], keep_n

    def _covariances(self, R_wc_33: np.ndarray | None) -> Tensor:
        covariance_n33 = self._predicted_covariances(R_wc_33)
        if self.variance_factor_hw is None:
            return covariance_n33
        return covariance_n33 * torch.from_numpy(self.variance_factor_hw).flatten()[:, None, None]

    def _predicted_covariances(self, R_wc_33: np.ndarray | None) -> Tensor:
        raw_nk = torch.from_numpy(self.raw_hwk).flatten(0, 1)
        rays_n3 = torch.from_numpy(self.camera.unproject(self.cell_px().reshape(-1, 2)))
        if R_wc_33 is None and self.uncertainty.of.kind == "diagonal":
            return self.uncertainty.isotropic_covariance(raw_nk)
        R_33 = torch.eye(3, dtype=torch.float64) if R_wc_33 is None else torch.from_numpy(R_wc_33)
        return self.uncertainty.covariance(raw_nk, rays_n3, R_33.expand(len(raw_nk), 3, 3))
