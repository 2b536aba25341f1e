"""Which frames each stage of a training draws, and which renders show what photos show: by geometry, not by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import cell_points
from transpose.randomness import stream
from transpose.scenes.labels import coordinates_at, given_points
from transpose.selection import evenly_chosen
from transpose.training.stages import Stage
from transpose.training.views import TrainingFrame

FramePools = Mapping[Stage, Sequence[Sequence[int]]]
_RENDERS_A_PHOTO = 8
_POINTS = 48  # of a photo that are looked for in renders
_LEAST_SIMILARITY = 0.1


def frame_pools(frames: Sequence[TrainingFrame]) -> FramePools:
    """Which frames each stage draws: renders first; then photos and their renders; then photos and all renders.

    Without photos, or without renders, every stage draws of all. Renders that no photo pairs with are drawn in the
    last stage all the same: what the photos do not show is not to be forgotten.
    """
    renders = [i for i, each in enumerate(frames) if each.rendered]
    photos = [i for i, each in enumerate(frames) if not each.rendered]
    if not renders or not photos:
        everything = [range(len(frames))]
        return {"pretrain": everything, "fine_tune": everything, "fuse": everything}
    paired = paired_renders(frames, _RENDERS_A_PHOTO) or renders
    return {"pretrain": [renders], "fine_tune": [photos, paired], "fuse": [photos, renders]}


def paired_renders(frames: Sequence[TrainingFrame], each: int) -> list[int]:
    """The renders, by number, that show best what some photo shows; of each photo up to so many.

    A render is as similar to a photo as the mean, over points that the photo shows, of: 0 where the render does not
    have the point before it and in its image; else the cosine of the angle under which the two see it, times the ratio
    of the smaller to the larger scale. Occlusion is not looked at.

    Args:
        frames: of a training, some of them photos and some renders; none of either: there are no pairs.
        each: renders for a photo.
    """
    numbers = [i for i, frame in enumerate(frames) if frame.rendered]
    if not numbers:
        return []
    renders = _Renders.of([frames[i] for i in numbers])
    found: set[int] = set()
    for photo in (frame for frame in frames if not frame.rendered):
        points_k3 = _some_points(photo)
        if len(points_k3) == 0:
            continue
        similarity_r = renders.similarities(photo, points_k3)
        best_m = np.argsort(-similarity_r, kind="stable")[:each]
        found |= {numbers[i] for i in best_m if similarity_r[i] >= _LEAST_SIMILARITY}
    return sorted(found)


@dataclass(frozen=True)
class _Renders:
    """Poses and pinholes of renders."""

    T_cw_r44: np.ndarray
    center_r3: np.ndarray
    focal_r2: np.ndarray
    principal_r2: np.ndarray
    size_r2: np.ndarray

    @classmethod
    def of(cls, frames: Sequence[TrainingFrame]) -> _Renders:
        cameras, poses = [each.frame.camera for each in frames], [each.frame.pose for each in frames]
        return cls(
            np.stack([pose.T_cw for pose in poses]),
            np.stack([pose.center for pose in poses]),
            np.array([(each.fx, each.fy) for each in cameras]),
            np.array([(each.cx, each.cy) for each in cameras]),
            np.array([(each.width, each.height) for each in cameras]),
        )

    def similarities(self, photo: TrainingFrame, points_k3: np.ndarray) -> np.ndarray:
        """Of each render (r,) to a photo that shows the points; see `paired_renders`."""
        camera_rk3 = np.einsum("rij,kj->rki", self.T_cw_r44[:, :3, :3], points_k3) + self.T_cw_r44[:, None, :3, 3]
        depth_rk = camera_rk3[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            px_rk2 = camera_rk3[..., :2] / depth_rk[..., None] * self.focal_r2[:, None] + self.principal_r2[:, None]
            seen_rk = (depth_rk > 0) & ((px_rk2 >= 0) & (px_rk2 < self.size_r2[:, None])).all(-1)
        to_photo_k3 = photo.frame.pose.center - points_k3
        to_render_rk3 = self.center_r3[:, None] - points_k3
        length_k, length_rk = np.linalg.norm(to_photo_k3, axis=-1), np.linalg.norm(to_render_rk3, axis=-1)
        cosine_rk = np.einsum("ki,rki->rk", to_photo_k3, to_render_rk3) / np.maximum(length_k * length_rk, 1e-12)
        scale_rk = (length_rk / self.focal_r2[:, :1]) / (length_k / photo.frame.camera.fx)  # metres a pixel, of both
        ratio_rk = np.minimum(scale_rk, 1 / np.maximum(scale_rk, 1e-12))
        similarity_r: np.ndarray = np.where(seen_rk, cosine_rk.clip(0) * ratio_rk, 0.0).mean(1)
        return similarity_r


def _some_points(each: TrainingFrame) -> np.ndarray:
    """World points (k, 3) that a frame is known to show, spread over it."""
    frame = each.frame
    if frame.has("depth"):
        px_n2 = cell_points(frame.camera.width, frame.camera.height).reshape(-1, 2)
        chosen = stream(0, "pairs", frame.stem).permutation(len(px_n2))[: 4 * _POINTS]
        points_n3 = coordinates_at(frame, px_n2[chosen])
    elif each.shows is not None:
        points_n3 = each.shows.points_k3
    else:
        points_n3 = given_points(frame)
    points_n3 = points_n3[np.isfinite(points_n3).all(1)]
    return points_n3[evenly_chosen(len(points_n3), _POINTS)]
