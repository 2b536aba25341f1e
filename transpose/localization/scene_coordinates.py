"""Localization by scene coordinates: a network predicts world points, landmarks are recognized, the solver poses.

An image passes in one direction: seen at the learned scale (`seeing`), through the encoder (`scene_network`), to poses
by landmarks and by coordinates (`by_landmarks`; `by_recognition`, `by_coordinates`), of which one is chosen (`choice`),
held against other places that look alike (`alternatives`) and given its covariance (`covariance`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.alternatives import Place, places
from transpose.localization.answer import answer, at_found_scale, matched
from transpose.localization.by_coordinates import by_coordinates, by_coordinates_and_depth
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.by_recognition import by_recognition
from transpose.localization.candidates import Candidate
from transpose.localization.choice import choose
from transpose.localization.confidence import confidence
from transpose.localization.consistency import by_consistent_coordinates
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.error_model import scale_of
from transpose.localization.image_input import ImageLike
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.localizer import Localizer, Query
from transpose.localization.options import LocalizationOptions
from transpose.localization.sampling import SampledPoses, sampled_from_covariance, sampled_from_map
from transpose.localization.scene_network import SceneNetwork
from transpose.localization.seeing import SeenImage, see
from transpose.localization.task_maps import TaskMaps
from transpose.localization.turning import at_any_turn
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.network import ImageMaps
from transpose.models.precision import fast_dtype
from transpose.models.recognition import Recognized
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate, PosteriorOptions

Use = Literal["auto", "landmarks", "coordinates", "cells"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image that has passed the encoder: all that poses are made of."""

    seen: SeenImage
    maps: ImageMaps

    def with_camera(self, camera: Camera) -> Encoded:
        """By another camera of the image as it is seen."""
        return replace(self, seen=replace(self.seen, camera=camera))


class SceneCoordinateLocalizer(Localizer):
    """Tells where an image was taken, from a run's checkpoint.

    Args:
        checkpoint: on disk or in memory.
        device: where the networks run.
        precision: "auto", "float32" or "bfloat16".
        use: "landmarks" alone; "coordinates": what the network says alone, recognized map points and the coordinates of
            cells, "cells": these alone; "auto": all, as `choice` says.
        options: of matching, search and refusal.

    Raises:
        TransposeError: the checkpoint has no network, or no landmarks where they alone are wanted.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        use: Use = "auto",
        options: LocalizationOptions | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.checkpoint = checkpoint
        self.camera = checkpoint.camera.camera
        self.options = options or LocalizationOptions()
        if not checkpoint.calibration.measured("landmarks"):
            self.options = self.options.doubting_landmarks()
        self._use = use
        self._network = SceneNetwork(checkpoint, self.device, fast_dtype(self.device, precision))
        self._landmarks = None
        if use in ("auto", "landmarks") and self._network.has_keypoints and checkpoint.landmarks is not None:
            landmarks = LandmarkMap.from_state(checkpoint.landmarks, self.device)
            self._landmarks = landmarks if len(landmarks) > 0 else None
        if use == "landmarks" and self._landmarks is None:
            raise TransposeError("this run has no landmarks; localize by coordinates")

    @property
    def has_landmarks(self) -> bool:
        """Whether a pose may come from landmarks."""
        return self._landmarks is not None

    @property
    def min_score(self) -> float:
        """That a pose by coordinates must have: what validation asks for, or the general bound."""
        measured = self.checkpoint.calibration.min_score
        return self.options.min_score if measured is None else measured

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """The pose of an image of which more is known; with measured depth by predicted coordinates alone."""

        def located(turned: Query) -> PoseEstimate:
            return at_found_scale(lambda seen: self._answer(self.encode(seen), seed), turned, self.options)

        return at_any_turn(located, query)

    def coordinates(self, image_hw3: ImageLike, camera: Camera | None = None) -> CoordinateMap:
        """World points of the cells of an image, at the scale that the network saw; see `localize`."""
        return self.predict(self.encode(Query.of(self.camera, image_hw3, camera)))

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `transpose.localization.localizer.PredictsTasks`."""
        return self._network.tasks

    def task_maps(self, image_hw3: ImageLike, camera: Camera | None = None) -> TaskMaps:
        """See `transpose.localization.localizer.PredictsTasks`; at the scale that the network saw."""
        return self.tasks_of_encoded(self.encode(Query.of(self.camera, image_hw3, camera)))

    def tasks_of_encoded(self, encoded: Encoded) -> TaskMaps:
        """Depth, normals and classes of the cells, of what was learned."""
        return self._network.task_maps(encoded.maps, encoded.seen.camera)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `transpose.localization.localizer.MatchesPoints`."""
        encoded = self.encode(query)
        return matched(self._solver(encoded, seed), encoded.seen, scale_of(self.checkpoint.calibration), self.options)

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        """Several poses of an image; see `transpose.localization.sampling.sample_poses`."""
        encoded = self.encode(query)
        estimate = self._answer(encoded, 0)
        if estimate.pose is None or estimate.covariance_66 is None:
            return estimate
        predicted = self.predict(encoded)
        if estimate.by != "coordinates" or not predicted.has_uncertainty:
            return sampled_from_covariance(estimate, options)

        def solve(seed: int) -> PoseEstimate:
            return self._by_cells(encoded, predicted, seed).if_scored(self.options.min_score).estimate

        return sampled_from_map(estimate, predicted, solve, options)

    def encode(self, query: Query) -> Encoded:
        """An image at the learned scale, and the encoder's output."""
        seen = see(query, self.camera, self.checkpoint.height, self.options)
        return Encoded(seen, self._network.maps(seen.image_hw3))

    def predict(self, encoded: Encoded) -> CoordinateMap:
        """World points of the cells."""
        return self._network.coordinates(encoded.maps, encoded.seen.camera)

    def by_landmarks(self, encoded: Encoded, seed: int = 0) -> ByLandmarks | None:
        """Poses of an image by the landmarks; None where the run has none."""
        if self._landmarks is None:
            return None
        keypoints, camera = self.keypoints(encoded), encoded.seen.camera
        return ByLandmarks(self._landmarks, self.checkpoint.origin_3, keypoints, camera, self.options, seed)

    def by_recognition(self, encoded: Encoded, seed: int = 0) -> Candidate | None:
        """The pose of an image by map points that the network recognizes.

        None where it recognizes none, or cells alone are to have a say.
        """
        if not self._network.recognizes or self._use == "cells":
            return None
        keypoints = self.keypoints(encoded)
        points = self.recognized(encoded, keypoints)
        return by_recognition(points, keypoints, self.checkpoint.origin_3, encoded.seen.camera, self.options, seed)

    def recognized(self, encoded: Encoded, keypoints: Keypoints) -> Recognized:
        """The map points that keypoints of an image are taken for; none where the network recognizes none."""
        return self._network.recognized(encoded.maps, keypoints)

    def places(self, encoded: Encoded, found: Candidate, seed: int = 0) -> tuple[Place, ...]:
        """Where an image may have been taken of which a pose was found; by measured depth that place alone."""
        query, camera = encoded.seen.query, encoded.seen.camera
        if query.depth_hw is not None:
            return (Place(found),)
        return places(
            found,
            camera,
            lambda candidate: self._confidence(candidate, camera) or 0.0,
            lambda: self.by_landmarks(encoded, seed),
            self.options,
            seed,
            query.prior,
        )

    def keypoints(self, encoded: Encoded) -> Keypoints:
        """Of an image, the strongest."""
        seen = encoded.seen
        size = seen.image_hw3.shape[0], seen.image_hw3.shape[1]
        return keypoints_of(encoded.maps, size, self.options.refining_keypoints)

    def _answer(self, encoded: Encoded, seed: int) -> PoseEstimate:
        solve = self._solver(encoded, seed)
        scale = scale_of(self.checkpoint.calibration)

        def where(found: Candidate, camera: Camera) -> tuple[Place, ...]:
            return self.places(encoded.with_camera(camera), found, seed)

        options = self.options.at_risk(encoded.seen.query.risk)
        return answer(solve, encoded.seen, scale, options, self._confidence, where)

    def _confidence(self, candidate: Candidate, camera: Camera) -> float | None:
        return confidence(candidate, camera, self.checkpoint.calibration.confidence_offsets)

    def _solver(self, encoded: Encoded, seed: int) -> Callable[[Camera], Candidate]:
        """The chosen pose of an image by a camera of it as it is seen."""
        return lambda camera: self._chosen(encoded.with_camera(camera), seed)

    def _chosen(self, encoded: Encoded, seed: int) -> Candidate:
        query = encoded.seen.query
        if query.depth_hw is not None:
            predicted = self.predict(encoded)
            found = by_coordinates_and_depth(predicted, encoded.seen, query.depth_hw, self.options, seed)
            return found.if_scored(max(self.options.min_score, self.min_score))
        return choose(
            self.by_landmarks(encoded, seed),
            None if self._use == "landmarks" else lambda: self._by_coordinates(encoded, seed),
            query.prior,
            self.options.at_risk(query.risk),
            lambda candidate: self._confidence(candidate, encoded.seen.camera) or 0.0,
            self.min_score,
        )

    def _by_coordinates(self, encoded: Encoded, seed: int) -> Candidate:
        """The pose by what the network says: by recognized map points, else by the coordinates of cells."""
        recognized = self.by_recognition(encoded, seed)
        if recognized is not None and recognized.pose is not None:
            return recognized
        return self._by_cells(encoded, self.predict(encoded), seed)

    def _by_cells(self, encoded: Encoded, predicted: CoordinateMap, seed: int) -> Candidate:
        """The pose by predicted coordinates, by cells that agree with what else is known of them where that helps."""
        how = self.checkpoint.calibration.consistency
        if how == "none":
            return by_coordinates(predicted, self.options, seed)
        return by_consistent_coordinates(predicted, self.tasks_of_encoded(encoded), self.options, how, seed)
