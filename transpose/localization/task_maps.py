"""What a network knows of an image's cells beside their coordinates: depth, normals and classes, with what it states
of its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from transpose.geometry.cameras import Camera, cell_points
from transpose.losses.tasks import concentration, depth_scale, expected_angle, unit_normals


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of cells along z (rows, columns), metres, and the mean of the relative error that is expected of it."""

    depth_hw: np.ndarray
    expected_hw: np.ndarray


@dataclass(frozen=True, eq=False)
class NormalMap:
    """Unit normals of cells (rows, columns, 3) in the camera's frame, and the mean angle, radians, expected between
    them and the true ones."""

    normals_hw3: np.ndarray
    expected_hw: np.ndarray


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Probabilities of the classes of cells (rows, columns, classes), see `scenes.classes`."""

    probabilities_hwc: np.ndarray

    @property
    def classes_hw(self) -> np.ndarray:
        """The most probable class of each."""
        classes_hw: np.ndarray = self.probabilities_hwc.argmax(-1)
        return classes_hw


@dataclass(frozen=True, eq=False)
class TaskMaps:
    """The maps of an image; None of tasks that were not learned.

    Attributes:
        camera: of the image that the network saw.
    """

    camera: Camera
    depth: DepthMap | None = None
    normal: NormalMap | None = None
    semantics: ClassMap | None = None

    @classmethod
    def of(cls, outputs: Mapping[str, Tensor], camera: Camera) -> TaskMaps:
        """Reads a network's outputs (channels, rows, columns) of one image."""
        maps = cls(camera)
        by_cell = {task: out.detach().cpu().double().permute(1, 2, 0) for task, out in outputs.items()}
        if (out_hwk := by_cell.get("depth")) is not None:
            focal_px = float(np.sqrt(camera.fx * camera.fy))
            depth_hw = focal_px * out_hwk[..., 0].exp().numpy()
            maps = replace(maps, depth=DepthMap(depth_hw, depth_scale(out_hwk[..., 1]).numpy()))
        if (out_hwk := by_cell.get("normal")) is not None:
            normals_hw3 = unit_normals(out_hwk[..., :3].flatten(0, 1)).view(*out_hwk.shape[:2], 3).numpy()
            maps = replace(maps, normal=NormalMap(normals_hw3, expected_angle(concentration(out_hwk[..., 3])).numpy()))
        if (out_hwk := by_cell.get("semantics")) is not None:
            maps = replace(maps, semantics=ClassMap(out_hwk.softmax(-1).numpy()))
        return maps

    def cell_px(self) -> np.ndarray:
        """Continuous pixels (rows, columns, 2) of the cells, in the image that the network saw."""
        return cell_points(self.camera.width, self.camera.height)

    def scaled(self, factor: float) -> TaskMaps:
        """The same in lengths of which one is 1 / `factor` of these."""
        depth = None if self.depth is None else replace(self.depth, depth_hw=factor * self.depth.depth_hw)
        return replace(self, depth=depth)
