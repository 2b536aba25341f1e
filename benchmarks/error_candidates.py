"""Poses of an image, none refused, by a run and by the same run with a map that is bent: for `pretrain_errors.py`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from map_warp import Warp

from transpose.geometry.cameras import Camera
from transpose.localization import LocalizationOptions, Query, SceneCoordinateLocalizer
from transpose.localization.by_coordinates import by_coordinates
from transpose.localization.by_recognition import by_recognition
from transpose.localization.candidates import Candidate
from transpose.localization.encoded import Encoded
from transpose.localization.matching.localizer import MatchedImage, MatchingLocalizer
from transpose.localization.seeing import SeenImage

# Judged before they are refused: whatever a search finds.
OPTIONS = LocalizationOptions(min_landmarks=6, min_score=0.0)


class Image(Protocol):
    """An image after its only pass through a run's networks."""

    @property
    def seen(self) -> SeenImage:
        """At the learned scale."""
        ...


ImageT = TypeVar("ImageT", bound=Image)


class Finder(Protocol[ImageT]):
    """What finds poses in images of one place."""

    @property
    def camera(self) -> Camera:
        """Of the images that it learned from."""
        ...

    def points(self) -> np.ndarray:
        """Of the map (n, 3), relative to its origin."""
        ...

    def image(self, query: Query) -> ImageT:
        """One that is to be localized."""
        ...

    def found(self, image: ImageT, camera: Camera, warp: Warp | None) -> Iterator[tuple[str, Candidate]]:
        """Kinds and candidates, by a camera that is taken for the image's, and a map that is warped."""
        ...


@dataclass(frozen=True, eq=False)
class ByNetwork(Finder[Encoded]):
    """Poses by landmarks, recognition and coordinates of cells."""

    localizer: SceneCoordinateLocalizer

    @property
    def camera(self) -> Camera:
        """Of the training images."""
        return self.localizer.camera

    def points(self) -> np.ndarray:
        """The landmarks."""
        landmarks = self.localizer.checkpoint.landmarks
        assert landmarks is not None
        return np.asarray(landmarks["points"].double().numpy())

    def image(self, query: Query) -> Encoded:
        """See `Finder`."""
        return self.localizer.encode(query)

    def found(self, image: Encoded, camera: Camera, warp: Warp | None) -> Iterator[tuple[str, Candidate]]:
        """See `Finder`."""
        localizer, encoded = self.localizer, replace(image, seen=replace(image.seen, camera=camera))
        keypoints, origin_3 = encoded.content.keypoints, localizer.checkpoint.origin_3

        def moved(points_n3: torch.Tensor) -> torch.Tensor:
            return points_n3 if warp is None else warp.of_tensor(points_n3)

        recognized = encoded.content.recognized
        recognized = recognized._replace(points_n3=moved(recognized.points_n3))
        by_points = by_recognition(recognized, keypoints, origin_3, camera, OPTIONS)
        landmarks = localizer.by_landmarks(encoded)
        if landmarks is not None:
            landmarks = replace(
                landmarks,
                options=OPTIONS,
                landmarks=replace(landmarks.landmarks, points_n3=moved(landmarks.landmarks.points_n3)),
            )
            anywhere = landmarks.everywhere()
            yield "landmarks", anywhere
            if by_points.pose is not None:
                yield "landmarks", replace(landmarks.near(by_points.pose), anywhere=anywhere.unguided)
        yield "recognition", by_points
        predicted = replace(localizer.predict(encoded), camera=camera)
        if warp is not None:
            local_hw3 = predicted.points_hw3 - origin_3
            predicted = replace(
                predicted, points_hw3=predicted.points_hw3 + warp(local_hw3.reshape(-1, 3)).reshape(local_hw3.shape)
            )
        yield "coordinates", by_coordinates(predicted, OPTIONS)


@dataclass(frozen=True, eq=False)
class ByDatabase(Finder[MatchedImage]):
    """Poses by matches with the images of a database; its options are `OPTIONS`."""

    localizer: MatchingLocalizer

    @property
    def camera(self) -> Camera:
        """Of the database's images."""
        return self.localizer.camera

    def points(self) -> np.ndarray:
        """Of the database's keypoints."""
        return np.asarray(self.localizer.database.points_n3.double().numpy())

    def image(self, query: Query) -> MatchedImage:
        """See `Finder`."""
        return self.localizer.match(query)

    def found(self, image: MatchedImage, camera: Camera, warp: Warp | None) -> Iterator[tuple[str, Candidate]]:
        """See `Finder`."""
        image, localizer = replace(image, seen=replace(image.seen, camera=camera)), self.localizer
        if warp is not None:
            localizer = copy.copy(localizer)
            database = localizer.database
            localizer.database = replace(database, points_n3=warp.of_tensor(database.points_n3))
            image = localizer.matched(image.seen, image.keypoints, image.images_v, image.matches)
        for candidate in localizer.tried(image):
            yield "matches", candidate
