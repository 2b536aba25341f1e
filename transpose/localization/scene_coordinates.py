"""Localization by scene coordinates: a network predicts world points, landmarks are recognized, the solver poses.

An image passes in one direction: seen at the learned scale (`seeing`), through the encoder (`scene_network`), to poses
by landmarks and by coordinates (`by_landmarks`; `by_recognition`, `by_coordinates`), of which one is chosen (`choice`),
held against other places that look alike (`alternatives`) and given its covariance (`covariance`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
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
from transpose.localization.contradiction import rival_support
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.encoded import Encoded, ImageContent
from transpose.localization.error_model import scale_of
from transpose.localization.image_input import ImageLike
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.localizer import Localizer
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.sampling import SampledPoses, sampled_from_covariance, sampled_from_map
from transpose.localization.scene_network import SceneNetwork
from transpose.localization.seeing import see
from transpose.localization.task_maps import TaskMaps
from transpose.localization.turning import Glance, at_any_turn
from transpose.models.precision import fast_dtype
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate, PosteriorOptions

Use = Literal["auto", "landmarks", "coordinates", "cells"]

_GLANCED = 0.2  # the probability that a pose of a turned image by landmarks is right, from which on all is looked at


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
        self._known_landmarks = None
        if self._network.has_keypoints and checkpoint.landmarks is not None:
            landmarks = LandmarkMap.from_state(checkpoint.landmarks, self.device)
            self._known_landmarks = landmarks if len(landmarks) > 0 else None
        self._landmarks = self._known_landmarks if use in ("auto", "landmarks") else None
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

        encoded = cache(self.encode)  # once, however often it is looked at

        def located(turned: Query) -> PoseEstimate:
            def sees(zoomed: Query) -> bool:
                return self._landmarks is not None and self._glanced(encoded(zoomed), seed)

            return at_found_scale(lambda seen: self._answer(encoded(seen), seed), turned, self.options, sees)

        if self._landmarks is None or query.depth_hw is not None:
            return at_any_turn(located, query)
        glance = Glance(
            lambda turned: self._glanced(encoded(turned), seed), lambda turned: self._strength(encoded(turned))
        )
        return at_any_turn(located, query, glance)

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
        return self._network.task_maps(encoded.content.maps, encoded.seen.camera)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `transpose.localization.localizer.MatchesPoints`."""
        encoded = self.encode(query)
        return matched(self._solver(encoded, seed), encoded.seen, scale_of(self.checkpoint.calibration), self.options)

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        """Several poses of an image; see `transpose.localization.sampling.sample_poses`.

        Maps are drawn for the image as it is and the camera that is known: where it was turned to be recognized, or its
        focal length was estimated with the pose, the covariance, which knows of both, is drawn from.
        """
        estimate = self.localize_query(query)
        if estimate.pose is None or estimate.covariance_66 is None:
            return estimate
        if estimate.by != "coordinates" or estimate.camera != query.camera:
            return sampled_from_covariance(estimate, options)
        encoded = self.encode(query)
        predicted, upright = self.predict(encoded), self._answer(encoded, 0)
        was_turned = upright.pose is None or not np.array_equal(upright.pose.T_wc, estimate.pose.T_wc)
        if was_turned or not predicted.has_uncertainty:
            return sampled_from_covariance(estimate, options)

        def solve(seed: int) -> PoseEstimate:
            return self._by_cells(encoded, predicted, seed).if_scored(self.options.min_score).estimate

        return sampled_from_map(estimate, predicted, solve, options)

    def encode(self, query: Query) -> Encoded:
        """An image at the learned scale, and the encoder's output."""
        seen = see(query, self.camera, self.checkpoint.height, self.options)
        return Encoded(seen, ImageContent(self._network, seen, self._landmarks, self.options))

    def predict(self, encoded: Encoded) -> CoordinateMap:
        """World points of the cells."""
        return replace(encoded.content.coordinates, camera=encoded.seen.camera)

    def by_landmarks(self, encoded: Encoded, seed: int = 0) -> ByLandmarks | None:
        """Poses of an image by the landmarks; None where the run has none."""
        if self._landmarks is None:
            return None
        content, camera, origin_3 = encoded.content, encoded.seen.camera, self.checkpoint.origin_3
        known = content.by_landmarks.get((camera, seed))
        return known or content.by_landmarks.setdefault(
            (camera, seed),
            ByLandmarks(
                self._landmarks, origin_3, content.keypoints, camera, self.options, seed, matches=content.matches
            ),
        )

    def by_recognition(self, encoded: Encoded, seed: int = 0) -> Candidate | None:
        """The pose of an image by map points that the network recognizes.

        None where it recognizes none, or cells alone are to have a say.
        """
        if not self._network.recognizes or self._use == "cells":
            return None
        content, camera, origin_3 = encoded.content, encoded.seen.camera, self.checkpoint.origin_3
        return self._in_sight(
            by_recognition(content.recognized, content.keypoints, origin_3, camera, self.options, seed)
        )

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

    def _glanced(self, encoded: Encoded, seed: int) -> bool:
        """Whether landmarks alone give a pose of an image that is worth the whole search."""
        by = self.by_landmarks(encoded, seed)
        return by is not None and (self._confidence(by.everywhere(), by.camera) or 0.0) >= _GLANCED

    def _strength(self, encoded: Encoded) -> float:
        matches = encoded.content.matches
        return 0.0 if matches is None else matches.strength

    def _answer(self, encoded: Encoded, seed: int) -> PoseEstimate:
        solve = self._solver(encoded, seed)
        scale = scale_of(self.checkpoint.calibration)

        def where(found: Candidate, camera: Camera) -> tuple[Place, ...]:
            return self.places(encoded.with_camera(camera), found, seed)

        def sure(found: Candidate, camera: Camera) -> float | None:
            return self._confidence(found, camera, lambda doubted: rival_support(doubted, camera, self.options, seed))

        options = self.options.at_risk(encoded.seen.query.risk)
        return answer(solve, encoded.seen, scale, options, sure, where)

    def _confidence(
        self, candidate: Candidate, camera: Camera, rival: Callable[[Candidate], float] | None = None
    ) -> float | None:
        return confidence(candidate, camera, self.checkpoint.calibration.confidence_offsets, rival)

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
            found = by_coordinates(predicted, self.options, seed)
        else:
            found = by_consistent_coordinates(predicted, self.tasks_of_encoded(encoded), self.options, how, seed)
        return self._in_sight(found)

    def _in_sight(self, found: Candidate) -> Candidate:
        """Points that are no landmarks are seen from where the nearest ones were."""
        if found.pose is None or self._known_landmarks is None:
            return found
        return found.in_sight(self._known_landmarks.toward_near(found.points_n3 - self.checkpoint.origin_3))
