"""World points of photos with known poses: triangulated from their own keypoints.

Photos without depth have no other. Of photos with depth the landmarks gain: a depth image is as coarse as its sensor
and as its registration to the colour, a point seen from many sides is not (held-out photos of RedKitchen, model and
photos: 6.5 mm by depth, 4.8 mm by map points).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from transpose.errors import TransposeError
from transpose.geometry.interpolation import InterpolatedDepth
from transpose.geometry.poses import transform
from transpose.mapping.reconstruction import Reconstruction, reconstruct
from transpose.mapping.views import MappedView
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.network import Encoder
from transpose.parallel import in_order, one_thread_each, worker_count
from transpose.scenes.labels import given_points
from transpose.scenes.resizing import resized_to_height
from transpose.training.buffer import encode
from transpose.training.views import ShownPoints, TrainingFrame

Progress = Callable[[Iterable[int], int], Iterable[int]]
log = logging.getLogger(__name__)
_KEYPOINTS, _FEWEST_KEYPOINTS = 4000, 500  # of a photo
_MOST_KEYPOINTS = 2_000_000  # of all photos
_FEWEST_POINTS = 50  # of a place; fewer say nothing about it
_NEIGHBOURS = 6
_SAME_SURFACE = 1.25  # ratio of depths
_FEWEST_ALIKE = 2


@dataclass(frozen=True, eq=False)
class Triangulated:
    """Frames with the map points that they show.

    Attributes:
        frames: all that were given, in their order.
        which: of these were triangulated.
        map: of those; None where there are none.
        only_source: it is all that is known of the points of some frames, which have no depth.
    """

    frames: list[TrainingFrame]
    which: list[int]
    map: Reconstruction | None
    only_source: bool

    def points_without(self, frames: Sequence[int]) -> np.ndarray:
        """The map points (p, 3) as the other frames alone see them, NaN where they do not."""
        if self.map is None:
            return np.zeros((0, 3))
        return self.map.without([view for view, frame in enumerate(self.which) if frame in set(frames)])


def triangulated(
    frames: Sequence[TrainingFrame],
    which: Sequence[int],
    encoder: Encoder,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
) -> Triangulated:
    """Gives map points to some frames.

    Args:
        frames: of the training.
        which: of them see one another's points; at least one.
        encoder: of keypoints.
        device, dtype: where and how it runs.
        progress: wraps the photos as their keypoints are found.

    Raises:
        TransposeError: frames have neither depth nor points in common with others, so there is nothing to learn.
    """
    views: dict[int, MappedView] = {}
    most = min(_KEYPOINTS, max(_FEWEST_KEYPOINTS, _MOST_KEYPOINTS // len(which)))

    def look(view: int) -> int:
        views[view] = _view(frames[which[view]], encoder, device, dtype, most)
        return view

    with one_thread_each(), ThreadPoolExecutor(worker_count()) as pool:
        for _ in progress(in_order(pool, look, range(len(which))), len(which)):
            pass
    ordered = [views[view] for view in range(len(which))]
    log.info("matching the keypoints of %d photos", len(which))
    map_ = reconstruct(ordered)
    without_depth = not all(each.frame.has("depth") for each in frames)
    refuse_too_few(map_, frames, which)
    log.info("%d map points triangulated from %d photos", len(map_.points), len(which))
    out = list(frames)
    for view, i in enumerate(which):
        out[i] = replace(frames[i], shows=_shown(frames[i], ordered[view], map_, view))
    return Triangulated(out, list(which), map_, without_depth)


def refuse_too_few(map_: Reconstruction, frames: Sequence[TrainingFrame], which: Sequence[int]) -> None:
    """Raises where the map of some frames says nothing, and no other frame says more.

    Args:
        map_: of those frames.
        frames: of the training.
        which: of them were triangulated.

    Raises:
        TransposeError: frames have neither depth nor points in common with others, so there is nothing to learn.
    """
    labelled = any(each.frame.has("depth") or each.frame.has("init") for each in frames)
    if len(map_.points) < _FEWEST_POINTS and not labelled:
        raise TransposeError(
            f"{frames[which[0]].frame.paths['rgb'].parent.parent} has no depth, and only {len(map_.points)} points "
            f"could be triangulated from its photos ({len(which)}): it needs more photos of the same things from "
            "different places, or their poses are wrong (transpose info SCENE --check)"
        )


@torch.inference_mode()
def _view(each: TrainingFrame, encoder: Encoder, device: torch.device, dtype: torch.dtype, most: int) -> MappedView:
    image_hw3, camera = each.frame.image(), each.frame.camera
    if each.height is not None:
        image_hw3, camera = resized_to_height(image_hw3, camera, each.height)
    maps = encode(encoder, image_hw3, device, dtype)
    found = keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), most)
    return MappedView(Keypoints(found.px_n2.cpu(), found.descriptors_nc.cpu()), camera, each.frame.pose)


def _shown(each: TrainingFrame, view: MappedView, map_: Reconstruction, number: int) -> ShownPoints:
    """What a frame shows: its keypoints that are mapped, and depth between these and the points that it came with.

    Where depth was measured, none is needed between them.
    """
    frame = each.frame
    keypoint_k, point_k = map_.shown_in(number)
    file_px = frame.camera.width / view.camera.width, frame.camera.height / view.camera.height
    px_k2 = view.keypoints.px_n2.double().numpy()[keypoint_k] * file_px
    points_k3 = map_.world_p3[point_k]
    if frame.has("depth"):
        return ShownPoints(px_k2, points_k3, point_k, None)
    known_m3 = np.concatenate([points_k3, given_points(frame)])
    camera_m3 = transform(frame.pose.T_cw, known_m3)
    px_m2 = np.concatenate([px_k2, frame.camera.project(camera_m3[len(px_k2) :])])
    good_m = np.isfinite(px_m2).all(1) & (camera_m3[:, 2] > 0)
    px_m2, depth_m = px_m2[good_m], camera_m3[good_m, 2]
    alike_m = _alike(px_m2, depth_m)
    return ShownPoints(px_k2, points_k3, point_k, InterpolatedDepth(px_m2[alike_m], depth_m[alike_m]))


def _alike(px_m2: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """Which points (m,) have some neighbours in the image at about their depth; a lonely one is a wrong match."""
    if len(px_m2) <= _NEIGHBOURS:
        return np.ones(len(px_m2), bool)
    _, near_mk = cKDTree(px_m2).query(px_m2, _NEIGHBOURS + 1)
    ratio_mk = depth_m[near_mk[:, 1:]] / depth_m[:, None]
    alike_m: np.ndarray = (np.abs(np.log(ratio_mk)) < np.log(_SAME_SURFACE)).sum(1) >= _FEWEST_ALIKE
    return alike_m
