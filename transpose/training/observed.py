"""The images of a place as matching learns them: their keypoints, and which world points these show."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.matching.from_files import NumberedKeypoints
from transpose.mapping.reconstruction import Reconstruction, reconstruct
from transpose.mapping.triangulation import TriangulationOptions
from transpose.mapping.views import MappedView
from transpose.models.keypoints import Keypoints
from transpose.models.local_features import LocalFeatures
from transpose.parallel import in_order, one_thread_each, worker_count
from transpose.randomness import stream
from transpose.scenes.layout import Frame
from transpose.training.context import Progress
from transpose.training.triangulated import refuse_too_few
from transpose.training.views import TrainingFrame, training_view

log = logging.getLogger(__name__)
# Points whose rays meet at a smaller angle lie too far or too near by more than a pixel tells, and a pose from another
# place bends to them (RedKitchen without depth, learned from frames 0..219, tested on 300..699: 3.3 cm at 1.5 degrees,
# 2.5 at 4, 1.1 at 6). They are kept where surer ones are few.
_SURE_ANGLE_DEG = 6.0
_SURE_KEYPOINTS = 150  # of a photo, on average


# From an image's name, the image and its camera to its keypoints.
Finder = Callable[[str, np.ndarray, Camera], NumberedKeypoints]


@dataclass(frozen=True, eq=False)
class ObservedImage:
    """An image with its keypoints.

    Attributes:
        name: its file's path in the scene folder.
        size: width and height of the file.
        camera: of the image at the size in whose pixels the keypoints are.
        pose: in lengths as learned.
        found: its keypoints that show the scene and not a hole of a render, the best first, on the CPU.
        points_n3: what they show, world, float64, NaN where unknown.
        mapped_n: number of the point in the map of photos, -1 where it comes from depth or is unknown.
    """

    name: str
    size: tuple[int, int]
    camera: Camera
    pose: Pose
    found: NumberedKeypoints
    points_n3: np.ndarray
    mapped_n: np.ndarray


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
        if not left_out:
            return list(self.images)
        out = set(left_out)
        kept = [image for i, image in enumerate(self.images) if i not in out]
        if self.map is None:
            return kept
        moved_p3 = self.map.without([view for view, i in enumerate(self.photos) if i in out])
        return [replace(each, points_n3=_moved(each, moved_p3)) for each in kept]

    def covariances(self, left_out: Sequence[int] = ()) -> np.ndarray | None:
        """Of the map's points (p, 3, 3) as all photos but some tell, see `Reconstruction`; None without a map."""
        out = set(left_out)
        views = [view for view, i in enumerate(self.photos) if i in out]
        return None if self.map is None else self.map.covariances(views)


def observe(
    frames: Sequence[TrainingFrame],
    find: Finder,
    min_similarity: float,
    seed: int,
    progress: Progress,
) -> ObservedPlace:
    """Finds the keypoints of all frames, and the points they show: from depth, or of photos triangulated.

    A point that several photos show is surer than their depth, and is taken where both are known.

    Args:
        frames: of the training, in lengths as learned.
        find: finds the keypoints of an image.
        min_similarity: of descriptors (cosine) that photos are triangulated by.
        seed: of what fills the holes of renders.
        progress: wraps the frames as they are done.

    Raises:
        TransposeError: photos have neither depth nor points in common, or no keypoint shows a known point.
    """
    found: dict[int, ObservedImage] = {}

    def look(which: int) -> int:
        found[which] = _observed(frames, which, find, seed)
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


def finding(features: LocalFeatures, most: int) -> Finder:
    """Keypoints by local features of our own.

    Args:
        features: the kind.
        most: of an image.
    """

    def find(name: str, image_hw3: np.ndarray, camera: Camera) -> NumberedKeypoints:
        keypoints = features.keypoints(image_hw3, most)
        return NumberedKeypoints(keypoints, np.arange(len(keypoints)))

    return find


def name_of(frame: Frame) -> str:
    """The path of a frame's image in its scene folder, with slashes."""
    path = frame.paths["rgb"]
    return path.relative_to(path.parents[2]).as_posix()


def _observed(frames: Sequence[TrainingFrame], which: int, find: Finder, seed: int) -> ObservedImage:
    each = frames[which]
    view = training_view(frames, which, stream(seed, "fillings", str(which)), None)
    name = name_of(each.frame)
    found = find(name, view.image_hw3, view.camera)
    px_n2 = found.keypoints.px_n2.double().cpu().numpy()
    shown = np.flatnonzero(view.visible(px_n2))
    keypoints = Keypoints(found.keypoints.px_n2.cpu()[shown], found.keypoints.descriptors_nc.cpu()[shown])
    unknown_n3 = np.full((len(shown), 3), np.nan)
    points_n3 = view.points(px_n2[shown]) if view.depth_hw is not None else unknown_n3
    return ObservedImage(
        name,
        (each.frame.camera.width, each.frame.camera.height),
        view.camera,
        view.pose,
        NumberedKeypoints(keypoints, found.number_n[shown]),
        points_n3,
        np.full(len(shown), -1),
    )


def _mapped(
    frames: Sequence[TrainingFrame], images: list[ObservedImage], photos: Sequence[int], min_similarity: float
) -> Reconstruction:
    """Triangulates the photos, and gives their images (in place) the points that they show."""
    log.info("matching the keypoints of %d photos", len(photos))
    views = [MappedView(images[i].found.keypoints, images[i].camera, images[i].pose) for i in photos]
    map_ = reconstruct(views, TriangulationOptions(min_similarity=min_similarity))
    refuse_too_few(map_, frames, photos)
    sure = map_.accepted_by(replace(map_.options, min_angle_deg=_SURE_ANGLE_DEG))
    map_ = sure if len(sure.points.keypoint_o) >= _SURE_KEYPOINTS * len(photos) else map_
    log.info("%d map points triangulated from %d photos", len(map_.points), len(photos))
    for view, i in enumerate(photos):
        keypoint_k, number_k = map_.shown_in(view)
        points_n3, mapped_n = images[i].points_n3.copy(), images[i].mapped_n.copy()
        points_n3[keypoint_k], mapped_n[keypoint_k] = map_.world_p3[number_k], number_k
        images[i] = replace(images[i], points_n3=points_n3, mapped_n=mapped_n)
    return map_


def _moved(image: ObservedImage, moved_p3: np.ndarray) -> np.ndarray:
    """The points (n, 3) of an image with those of the map elsewhere."""
    if len(moved_p3) == 0:
        return image.points_n3
    return np.where(image.mapped_n[:, None] >= 0, moved_p3[image.mapped_n.clip(0)], image.points_n3)
