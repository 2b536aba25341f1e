"""An image that has passed a run's network: what poses are made of, each part found once, when it is asked for.

The same image is solved with several cameras where its focal length is not known; what it shows does not depend on
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from transpose.geometry.cameras import Camera
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.landmarks import LandmarkMap, Matches, match_everywhere
from transpose.localization.options import LocalizationOptions
from transpose.localization.scene_network import SceneNetwork
from transpose.localization.seeing import SeenImage
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.network import ImageMaps
from transpose.models.recognition import Recognized


class ImageContent:
    """What an image shows, whatever its camera.

    Args:
        network: of the run.
        seen: the image at the learned scale.
        landmarks: of the place; None where it has none.
        options: how many keypoints are used.
    """

    def __init__(
        self, network: SceneNetwork, seen: SeenImage, landmarks: LandmarkMap | None, options: LocalizationOptions
    ) -> None:
        self._network, self._seen, self._landmarks, self._options = network, seen, landmarks, options
        self.maps: ImageMaps = network.maps(seen.image_hw3)
        self.by_landmarks = dict[tuple[Camera, int], ByLandmarks]()  # by cameras and seeds of the search

    @cached_property
    def keypoints(self) -> Keypoints:
        """The strongest."""
        height, width = self._seen.image_hw3.shape[:2]
        return keypoints_of(self.maps, (height, width), self._options.refining_keypoints)

    @cached_property
    def matches(self) -> Matches | None:
        """Of the strongest keypoints with landmarks anywhere in the place; None where it has none."""
        if self._landmarks is None:
            return None
        return match_everywhere(self.keypoints.strongest(self._options.max_keypoints), self._landmarks)

    @cached_property
    def recognized(self) -> Recognized:
        """The map points that keypoints are taken for."""
        return self._network.recognized(self.maps, self.keypoints)

    @cached_property
    def coordinates(self) -> CoordinateMap:
        """World points of the cells, with the camera of the image as it was first seen."""
        return self._network.coordinates(self.maps, self._seen.camera)


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image, and what it shows."""

    seen: SeenImage
    content: ImageContent

    def with_camera(self, camera: Camera) -> Encoded:
        """By another camera of the image as it is seen."""
        return replace(self, seen=replace(self.seen, camera=camera))
