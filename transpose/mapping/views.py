"""Photos with known poses, as triangulation needs them: their keypoints as viewing rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.models.keypoints import Keypoints


@dataclass(frozen=True, eq=False)
class MappedView:
    """A photo's keypoints, with the camera in whose pixels they are and its pose."""

    keypoints: Keypoints
    camera: Camera
    pose: Pose


@dataclass(frozen=True, eq=False)
class Rays:
    """The keypoints of all views one after the other, and the views' poses; float64 on the CPU.

    Attributes:
        view_n: the view of each keypoint.
        xy_n2: its viewing ray (x, y, 1) in the camera's frame; NaN where the lens brings none.
        focal_n: pixels of the view's image at unit distance in that plane.
        R_cw_v33, t_cw_v3: world to camera, the world relative to `origin_3`.
        first_v: number of the first keypoint of each view.
        origin_3: float64, so that coordinates keep their digits.
    """

    view_n: Tensor
    xy_n2: Tensor
    focal_n: Tensor
    R_cw_v33: Tensor
    t_cw_v3: Tensor
    first_v: Tensor
    origin_3: np.ndarray

    @classmethod
    def of(cls, views: Sequence[MappedView]) -> Rays:
        """The rays of some views; at least one view."""
        origin_3 = np.mean([each.pose.center for each in views], axis=0)
        px = [each.keypoints.px_n2.double().cpu().numpy() for each in views]
        xy = [each.camera.unproject(px_k2)[:, :2] for each, px_k2 in zip(views, px, strict=True)]
        focal_v = torch.tensor([0.5 * (each.camera.fx + each.camera.fy) for each in views], dtype=torch.float64)
        count_v = torch.tensor([len(px_k2) for px_k2 in px])
        view_n = torch.arange(len(views)).repeat_interleave(count_v)
        R_cw_v33 = torch.from_numpy(np.stack([each.pose.R_wc.T for each in views]))
        center_v3 = torch.from_numpy(np.stack([each.pose.center for each in views]) - origin_3)
        t_cw_v3 = -torch.einsum("vij,vj->vi", R_cw_v33, center_v3)
        first_v = count_v.cumsum(0) - count_v
        return cls(view_n, torch.from_numpy(np.concatenate(xy)), focal_v[view_n], R_cw_v33, t_cw_v3, first_v, origin_3)

    def __len__(self) -> int:
        return len(self.view_n)

    @property
    def center_v3(self) -> Tensor:
        """Where the views were taken, relative to the origin."""
        return -torch.einsum("vji,vj->vi", self.R_cw_v33, self.t_cw_v3)

    def directions(self, of_m: Tensor) -> Tensor:
        """Unit vectors (m, 3) in the world along the rays of some keypoints."""
        ray_m3 = torch.cat([self.xy_n2[of_m], torch.ones(len(of_m), 1, dtype=torch.float64)], 1)
        world_m3 = torch.einsum("mji,mj->mi", self.R_cw_v33[self.view_n[of_m]], ray_m3)
        return world_m3 / world_m3.norm(dim=1, keepdim=True)

    def in_camera(self, points_m3: Tensor, of_m: Tensor) -> Tensor:
        """Points (m, 3), relative to the origin, in the frames of the views of some keypoints."""
        view_m = self.view_n[of_m]
        return torch.einsum("mij,mj->mi", self.R_cw_v33[view_m], points_m3) + self.t_cw_v3[view_m]

    def errors_px(self, points_m3: Tensor, of_m: Tensor) -> Tensor:
        """How far points (m, 3) are seen from some keypoints (m,), pixels; infinite behind the camera."""
        camera_m3 = self.in_camera(points_m3, of_m)
        offset_m2 = camera_m3[:, :2] / camera_m3[:, 2:] - self.xy_n2[of_m]
        error_m = offset_m2.norm(dim=1) * self.focal_n[of_m]
        return torch.where((camera_m3[:, 2] > 0) & error_m.isfinite(), error_m, torch.inf)
