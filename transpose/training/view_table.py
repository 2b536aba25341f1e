"""Poses and pinholes of training views, so that a cell need only name the view that saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.losses.cells import Cells


@dataclass(frozen=True)
class ViewTable:
    """Poses and pinholes of views, so that a cell need only name its view."""

    T_cw_v34: Tensor
    focal_v2: Tensor
    center_v2: Tensor

    @classmethod
    def empty(cls, views: int) -> ViewTable:
        """Room for so many."""
        return cls(torch.zeros(views, 3, 4), torch.ones(views, 2), torch.zeros(views, 2))

    def put(self, view: int, pose: Pose, camera: Camera, origin_3: np.ndarray) -> None:
        """Enters a view."""
        R_33 = pose.R_wc.T
        local = np.concatenate([R_33, -(R_33 @ (pose.center - origin_3))[:, None]], 1)
        self.T_cw_v34[view] = torch.from_numpy(local).float()
        self.focal_v2[view] = torch.tensor([camera.fx, camera.fy])
        self.center_v2[view] = torch.tensor([camera.cx, camera.cy])

    def cells(self, points_n3: Tensor, px_n2: Tensor, view_n: Tensor) -> Cells:
        """Cells of these views."""
        view_n = view_n.long()
        return Cells(points_n3, px_n2, self.T_cw_v34[view_n], self.focal_v2[view_n], self.center_v2[view_n])

    @property
    def tensors(self) -> Sequence[Tensor]:
        """One row a view each."""
        return self.T_cw_v34, self.focal_v2, self.center_v2


def pinhole_px(camera: Camera, px_n2: np.ndarray) -> np.ndarray:
    """Where the camera's pinhole alone would see what it sees at these pixels; NaN where its lens brings no ray."""
    if not (camera.k1 or camera.k2):
        return px_n2
    return camera.unproject(px_n2)[..., :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
