"""What a world looks like from a pose, as keypoints with the world points that they show."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform
from transpose.localization.refine_tracking import even_contrast
from transpose.models.keypoints import keypoints_of
from transpose.models.xfeat import XFeatEncoder
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World

_MAX_STEP = 0.1  # in relative depth within two pixels of a keypoint: beyond, it is an edge, whose point is not known
_REACH_PX = 2
_KEPT_VIEWS = 16


@dataclass(frozen=True, eq=False)
class RenderedView:
    """A render as its points are tracked into a photo.

    Attributes:
        px_n2: its keypoints, continuous pixels.
        points_n3: what they show, in the world's frame, metres.
        pose: from which it was rendered.
        grey_hw: its grey levels, as `even_contrast` gives them.
    """

    px_n2: np.ndarray
    points_n3: np.ndarray
    pose: Pose
    grey_hw: np.ndarray


class RenderedViews:
    """Renders a world and finds keypoints in renders; the views asked for last are kept.

    Args:
        world: is held in memory, with the tree of its triangles.
        device: where the network runs that finds keypoints.

    Raises:
        MissingPackageError: there is nothing to render with.
    """

    def __init__(self, world: World, device: torch.device) -> None:
        self.world = world
        self._renderer = Renderer(world)
        self._device = device
        self._network = XFeatEncoder().to(device)
        self._kept: OrderedDict[tuple[Camera, bytes, int], RenderedView] = OrderedDict()

    def view(self, camera: Camera, pose: Pose, most: int) -> RenderedView:
        """What the world looks like from a pose, with at most `most` keypoints; none where no surface is seen.

        Those at edges of depth and beside holes are left out.
        """
        key = camera, pose.T_wc.tobytes(), most
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        view = self._renderer.view(camera, pose)
        px_n2 = self._keypoints(view.rgb_hw3, most)
        depth_n = depth_at(view.depth_hw, px_n2)
        seen_n = np.isfinite(depth_n)
        points_m3 = transform(pose.T_wc, camera.unproject(px_n2[seen_n]) * depth_n[seen_n, None])
        rendered = self._kept[key] = RenderedView(px_n2[seen_n], points_m3, pose, even_contrast(view.rgb_hw3))
        if len(self._kept) > _KEPT_VIEWS:
            self._kept.popitem(last=False)
        return rendered

    def _keypoints(self, image_hw3: np.ndarray, most: int) -> np.ndarray:
        """Continuous pixels (n, 2) of the at most `most` best keypoints of an RGB uint8 image."""
        with torch.inference_mode():
            image_3hw = torch.from_numpy(np.ascontiguousarray(image_hw3)).permute(2, 0, 1)
            maps = self._network.maps(image_3hw[None].to(self._device).float())
            found = keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), most)
            return found.px_n2.cpu().double().numpy()


def depth_at(depth_hw: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    """Depth (n,) at continuous pixels (n, 2), metres along z; NaN at edges, beside holes and at the image's border.

    Inverse depth is linear in the image of a plane, so it is what is interpolated between pixel centres.
    """
    height, width = depth_hw.shape
    corner_n2 = np.floor(px_n2 - 0.5).astype(np.int64)
    x_n, y_n = corner_n2.T
    inside_n = (corner_n2 >= _REACH_PX - 1).all(1) & (x_n < width - _REACH_PX) & (y_n < height - _REACH_PX)
    depth_n = np.full(len(px_n2), np.nan)
    x_m, y_m = x_n[inside_n], y_n[inside_n]
    step_k = np.arange(1 - _REACH_PX, _REACH_PX + 1)
    around_mkk = depth_hw[y_m[:, None, None] + step_k[:, None], x_m[:, None, None] + step_k]
    flat_m = around_mkk.max((1, 2)) <= (1 + _MAX_STEP) * around_mkk.min((1, 2))  # NaN is never
    right_m, below_m = (px_n2[inside_n] - 0.5 - corner_n2[inside_n]).T
    middle = _REACH_PX - 1
    inverse_m22 = 1 / around_mkk[:, middle : middle + 2, middle : middle + 2].astype(np.float64)
    top_m, bottom_m = (inverse_m22[:, row, 0] * (1 - right_m) + inverse_m22[:, row, 1] * right_m for row in (0, 1))
    depth_n[inside_n] = np.where(flat_m, 1 / (top_m * (1 - below_m) + bottom_m * below_m), np.nan)
    return depth_n
