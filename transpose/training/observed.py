"""The images of a place as matching learns them: their keypoints, and which world points these show."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.mapping.reconstruction import Reconstruction, reconstruct
from transpose.mapping.triangulation import TriangulationOptions
from transpose.mapping.views import MappedView
from transpose.models.keypoints import Keypoints
from transpose.models.local_features import LocalFeatures
from transpose.parallel import worker_count
from transpose.randomness import stream
from transpose.training.context import Progress
from transpose.training.triangulated import refuse_too_few
from transpose.training.views import TrainingFrame, in_order, one_thread_each, training_view

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ObservedImage:
    """An image with its keypoints.

    Attributes:
        name: SECTION/STEM.
        camera: of the image at the size in whose pixels the keypoints are.
        pose: in lengths as learned.
        keypoints: that show the scene and not a hole of a render, the best first, on the CPU.
        points_n3: what they show, world, float64, NaN where unknown.
        number_n: of the point in the map of photos, -1 where it comes from depth or is unknown.
    """

    name: str
    camera: Camera
    pose: Pose
    keypoints: Keypoints
    points_n3: np.ndarray
    number_n: np.ndarray


@dataclass(frozen=True, eq=False)
class ObservedPlace:
    """The images of a training, in the order of its frames, and the map of its photos.

    Attributes:
        images: of all frames.
        photos: numbers of those that were triangulated with one another.
        map: of these; None where there are none.
    """

    images: Sequence[ObservedImage]
    photos: Sequence[int]
    map: Reconstruction | None

    def without(self, left_out: Sequence[int]) -> list[ObservedImage]:
        """All images but some, with the map's points as the others alone see them."""
        out = set(left_out)
        kept = [image for i, image in enumerate(self.images) if i not in out]
        if self.map is None:
            return kept
        moved_p3 = self.map.without([view for view, i in enumerate(self.photos) if i in out])
        return [replace(each, points_n3=_moved(each, moved_p3)) for each in kept]


def observe(
    frames: Sequence[TrainingFrame],
    features: LocalFeatures,
    most: int,
    min_similarity: float,
    seed: int,
    progress: Progress,
) -> ObservedPlace:
    """Finds the keypoints of all frames, and the points they show: from depth, or of photos triangulated.

    A point that several photos show is surer than their depth, and is taken where both are known.

    Args:
        frames: of the training, in lengths as learned.
        features: by which keypoints are found.
        most: keypoints of an image.
        min_similarity: of descriptors (cosine) that photos are triangulated by.
        seed: of what fills the holes of renders.
        progress: wraps the frames as they are done.

    Raises:
        TransposeError: photos have neither depth nor points in common, or no keypoint shows a known point.
    """
    found: dict[int, ObservedImage] = {}

    def look(which: int) -> int:
        found[which] = _observed(frames, which, features, most, seed)
        return which

    with one_thread_each(), ThreadPoolExecutor(worker_count()) as pool:
        for _ in progress(in_order(pool, look, range(len(frames))), len(frames)):
            pass
    images = [found[i] for i in range(len(frames))]
    photos = [i for i, each in enumerate(frames) if not each.rendered]
    map_ = _mapped(frames, images, photos, min_similarity) if photos else None
    if not any(np.isfinite(each.points_n3).all(1).any() for each in images):
        raise TransposeError(
            f"no keypoint of {len(images)} images shows a known point; is the depth all unknown, or are they blank?"
        )
    return ObservedPlace(images, photos, map_)


def _observed(
    frames: Sequence[TrainingFrame], which: int, features: LocalFeatures, most: int, seed: int
) -> ObservedImage:
    each = frames[which]
    view = training_view(frames, which, stream(seed, "fillings", str(which)), None)
    found = features.keypoints(view.image_hw3, most)
    found = Keypoints(found.px_n2.cpu(), found.descriptors_nc.cpu())
    px_n2 = found.px_n2.double().numpy()
    shown = np.flatnonzero(view.visible(px_n2))
    found, px_n2 = Keypoints(found.px_n2[shown], found.descriptors_nc[shown]), px_n2[shown]
    points_n3 = view.points(px_n2) if view.depth_hw is not None else np.full((len(found), 3), np.nan)
    section = each.frame.paths["rgb"].parent.parent.name
    name = f"{section}/{each.frame.stem}"
    return ObservedImage(name, view.camera, view.pose, found, points_n3, np.full(len(found), -1))


def _mapped(
    frames: Sequence[TrainingFrame], images: list[ObservedImage], photos: Sequence[int], min_similarity: float
) -> Reconstruction:
    """Triangulates the photos, and gives their images (in place) the points that they show."""
    log.info("matching the keypoints of %d photos", len(photos))
    views = [MappedView(images[i].keypoints, images[i].camera, images[i].pose) for i in photos]
    map_ = reconstruct(views, TriangulationOptions(min_similarity=min_similarity))
    refuse_too_few(map_, frames, photos)
    log.info("%d map points triangulated from %d photos", len(map_.points), len(photos))
    for view, i in enumerate(photos):
        keypoint_k, number_k = map_.shown_in(view)
        points_n3, number_n = images[i].points_n3.copy(), images[i].number_n.copy()
        points_n3[keypoint_k], number_n[keypoint_k] = map_.world_p3[number_k], number_k
        images[i] = replace(images[i], points_n3=points_n3, number_n=number_n)
    return map_


def _moved(image: ObservedImage, moved_p3: np.ndarray) -> np.ndarray:
    """The points (n, 3) of an image with those of the map elsewhere."""
    mapped_n1 = image.number_n[:, None] >= 0
    if len(moved_p3) == 0:
        return image.points_n3
    return np.where(mapped_n1, moved_p3[image.number_n.clip(0)], image.points_n3)
