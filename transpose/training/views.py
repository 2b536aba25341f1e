"""Training views: a frame as a network sees it, augmented, with its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.spatial import cKDTree

from transpose.geometry.cameras import Camera, cell_points
from transpose.geometry.interpolation import InterpolatedDepth
from transpose.geometry.poses import Pose, transform
from transpose.scenes.augment import AugmentOptions, augment, fill_holes, warp
from transpose.scenes.classes import UNKNOWN_CLASS
from transpose.scenes.labels import classes_at, coordinates_at, normals_at
from transpose.scenes.layout import Frame
from transpose.scenes.resizing import resized_to_height

_FILLINGS = 32
_SAME_KEYPOINT_PX = 1.5  # pixels of the network's image within which a keypoint is found again in an augmented view


@dataclass(frozen=True, eq=False)
class ShownPoints:
    """Map points that a photo shows, and what lies between them.

    Attributes:
        px_k2: keypoints of the photo, pixels of its file.
        points_k3: the map points that they show, world, float64.
        number_k: of these points in their map.
        depth: along z between these and other points known to be seen in the photo; None where it was measured.
    """

    px_k2: np.ndarray
    points_k3: np.ndarray
    number_k: np.ndarray
    depth: InterpolatedDepth | None

    def nearest(self, px_n2: np.ndarray, radius_px: float) -> np.ndarray:
        """Which of the keypoints (n,) is nearest to each pixel (n, 2); -1 where none is within the radius."""
        if len(self.px_k2) == 0:
            return np.full(len(px_n2), -1)
        distance_n, nearest_n = self._tree.query(px_n2)
        return np.where(distance_n <= radius_px, nearest_n, -1)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.px_k2)


@dataclass(frozen=True)
class TrainingFrame:
    """A frame to learn from, or to validate on.

    Attributes:
        frame: as it lies in its section.
        rendered: it is a render, whose holes show nothing that is real.
        height: rows to which its image is resized; None: as it is.
        shows: map points in it, where it is a photo that was triangulated with others.
        camera_assumed: its camera says nothing of those that photos will come from.
    """

    frame: Frame
    rendered: bool
    height: int | None = None
    shows: ShownPoints | None = None
    camera_assumed: bool = False

    @property
    def labelled(self) -> bool:
        """Whether its world points are known anywhere."""
        return self.shows is not None or self.frame.has("depth") or self.frame.has("init")


@dataclass(frozen=True)
class TrainingView:
    """A frame as the network sees it, with the camera and pose that it now has, and its labels.

    `source_px` maps pixels of the image to those of the file.
    """

    image_hw3: np.ndarray
    camera: Camera
    pose: Pose
    of: TrainingFrame
    depth_hw: np.ndarray | None
    source_px: Callable[[np.ndarray], np.ndarray]

    def points(self, px_n2: np.ndarray) -> np.ndarray:
        """World points (n, 3) float64 that pixels (n, 2) of the image show, NaN where unknown."""
        if not self.of.labelled:
            return np.full((len(px_n2), 3), np.nan)
        frame, shows = self.of.frame, self.of.shows
        if shows is None or shows.depth is None:
            return coordinates_at(frame, self.source_px(px_n2), self.depth_hw)
        source_n2 = self.source_px(px_n2)
        return transform(frame.pose.T_wc, frame.camera.unproject(source_n2) * shows.depth.at(source_n2)[:, None])

    def map_points(self, px_n2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The map points (n, 3) that keypoints (n, 2) of the image show, NaN for none, and their numbers (n,), -1.

        The keypoint of the photo itself that is nearest, within `_SAME_KEYPOINT_PX`, says which.
        """
        shows = self.of.shows
        points_n3, number_n = np.full((len(px_n2), 3), np.nan), np.full(len(px_n2), -1)
        if shows is not None:
            file_px = self.of.frame.camera.height / self.camera.height
            nearest_n = shows.nearest(self.source_px(px_n2), _SAME_KEYPOINT_PX * file_px)
            known_n = nearest_n >= 0
            points_n3[known_n], number_n[known_n] = (
                shows.points_k3[nearest_n[known_n]],
                shows.number_k[nearest_n[known_n]],
            )
        return points_n3, number_n

    def surface(self, px_n2: np.ndarray) -> np.ndarray:
        """Of what pixels (n, 2) of the image show: unit normal in this view's camera, and class, (n, 4) float32.

        NaN where unknown, and where the image does not show the scene.
        """
        frame, source_n2 = self.of.frame, self.source_px(px_n2)
        normals_n3 = normals_at(frame, source_n2) @ (self.pose.R_wc.T @ frame.pose.R_wc).T
        classes_n = classes_at(frame, source_n2).astype(np.float32)
        classes_n[classes_n == UNKNOWN_CLASS] = np.nan
        surface_n4 = np.concatenate([normals_n3, classes_n[:, None]], 1, dtype=np.float32)
        surface_n4[~self.visible(px_n2)] = np.nan
        return surface_n4

    def cell_px(self) -> np.ndarray:
        """The pixels (n, 2) that the map's cells stand for, row by row."""
        return cell_points(self.camera.width, self.camera.height).reshape(-1, 2)

    def visible(self, px_n2: np.ndarray) -> np.ndarray:
        """Which pixels (n,) show the scene, and not the mirrored border or the filling of a render's hole."""
        source_n2 = self.source_px(px_n2)
        width, height = self.of.frame.camera.width, self.of.frame.camera.height
        inside_n = np.all((source_n2 >= 0) & (source_n2 <= (width, height)), axis=1)
        if not self.of.rendered or self.depth_hw is None:
            return inside_n
        column_n, row_n = (source_n2[:, i].astype(np.int64).clip(0, size - 1) for i, size in enumerate((width, height)))
        shown_n: np.ndarray = inside_n & np.isfinite(self.depth_hw[row_n, column_n])
        return shown_n


def training_view(
    frames: Sequence[TrainingFrame],
    which: int,
    rng: np.random.Generator,
    options: AugmentOptions | None,
) -> TrainingView:
    """One frame with the holes of renders filled, augmented unless `options` is None.

    Args:
        frames: of the training; fillings come from the first of them.
        which: index of the frame.
        rng: of the augmentation.
        options: of the augmentation.
    """
    each = frames[which]
    frame, image_hw3 = each.frame, each.frame.image()
    camera = frame.camera
    depth_hw = frame.depth() if frame.has("depth") else None
    if each.rendered and depth_hw is not None:
        filling_hw3 = _filling(frames[int(rng.integers(min(_FILLINGS, len(frames))))].frame)
        image_hw3 = fill_holes(image_hw3, ~np.isfinite(depth_hw), filling_hw3)
    if each.height is not None:
        image_hw3, camera = resized_to_height(image_hw3, camera, each.height)
    view = (
        warp(image_hw3, camera, frame.pose, 0.0, 1.0)
        if options is None
        else augment(image_hw3, camera, frame.pose, rng, options)
    )
    ratio_2 = np.array([frame.camera.width / camera.width, frame.camera.height / camera.height])
    return TrainingView(
        view.image_hw3, view.camera, view.pose, each, depth_hw, lambda px_n2: view.source_px(px_n2) * ratio_2
    )


@lru_cache(maxsize=_FILLINGS)
def _filling(frame: Frame) -> np.ndarray:
    """What is put into the holes of renders: a frame of the same place, mirrored, so that no cell shows its label."""
    return np.ascontiguousarray(frame.image()[:, ::-1])
