"""Localization by scene coordinates: the run folder's network predicts world points, the solver finds the pose.

Landmarks are tried first: met to a pixel, they give the better pose, and cost less than the coordinates of all cells.
Where too few are met, the cells' coordinates say where to look for more of them, and stand in where none are found.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.localization.coordinate_map import CoordinateMap, CoordinateNetwork
from transpose.localization.doubt import systematic_covariance
from transpose.localization.landmarks import LandmarkMap, Matches, match_everywhere, match_near
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.precision import autocast, fast_dtype
from transpose.models.xfeat import DESCRIPTOR_CHANNELS, XFeatEncoder
from transpose.scenes.labels import depth_at
from transpose.solvers import PoseEstimate, RansacOptions, RigidOptions, solve_pnp, solve_rigid

Use = Literal["auto", "landmarks", "coordinates"]
Means = Literal["landmarks", "coordinates"]
_MOST_KEYPOINTS = 1200
_LANDMARK_ERROR_PX = 6.0
_COORDINATE_ERROR_PX = 10.0  # DSAC*'s
_ENOUGH_LANDMARKS = 100  # with so many there is nothing to gain from the cells' coordinates
_FEWEST_LANDMARKS = 30
_CORRELATION_PX = 80.0  # errors of the model, of the lens and of the network are alike over some such distance
_SEARCH_RADIUS_PX = 60.0
_SAME_SCALE = 1.25  # training views are scaled so far at random
_MOST_PIXELS = 4.0  # times those of a training image, to which a wide lens may be enlarged
# Photos of the right place score 0.12 and more, images of other places 0.02 and less (measured on validation photos of
# the kitchen against village renders and Brighton photos), so the bound lies between them on a logarithmic scale.
MIN_SCORE = 0.045


class SceneCoordinateLocalizer:
    """Tells where an image was taken, from a run folder.

    Args:
        checkpoint: of `runs.load_model`.
        device: where the networks run.
        precision: "auto", "float32" or "bfloat16".
        use: "landmarks" or "coordinates" alone; "auto": both, as the module says.
    """

    def __init__(
        self,
        checkpoint: dict[str, Any],
        device: str | torch.device = "cpu",
        precision: str = "auto",
        use: Use = "auto",
    ) -> None:
        self.device = torch.device(device)
        self.facts = checkpoint
        self.camera = Camera(**checkpoint["camera"])
        self._dtype = fast_dtype(self.device, precision)
        self._network = CoordinateNetwork(checkpoint, self.device, self._dtype)
        self._origin_3 = self._network.origin_3
        no_landmarks = LandmarkMap(torch.zeros(0, 3), torch.zeros(0, DESCRIPTOR_CHANNELS))
        stored = no_landmarks.state() if use == "coordinates" else checkpoint.get("landmarks", no_landmarks.state())
        self._landmarks = LandmarkMap.from_state(stored, self.device)
        self._use = use
        if use == "landmarks" and len(self._landmarks) == 0:
            raise TransposeError("this run has no landmarks; localize by coordinates")
        self.error_correlation_px: float | None = checkpoint.get("error_correlation_px")
        self._covariance_scales: dict[Means, float] = checkpoint.get("covariance_scales", {})
        self._least_score: float = checkpoint.get("least_score", MIN_SCORE)
        self._exact = False

    @property
    def has_landmarks(self) -> bool:
        """Whether a pose may come from landmarks."""
        return len(self._landmarks) > 0

    def stating(self, covariance_scales: dict[Means, float], exact: bool) -> SceneCoordinateLocalizer:
        """The same localizer with other covariances.

        Args:
            covariance_scales: by which those that the scatter of the points leads to are multiplied, where landmarks
                gave the pose and where predicted coordinates did; 1 where nothing is said.
            exact: whether model and cameras are taken for exact, as they are where renders are localized.
        """
        other = copy(self)
        other._covariance_scales, other._exact = covariance_scales, exact
        return other

    @torch.no_grad()
    def coordinates(self, image_hw3: np.ndarray, camera: Camera | None = None) -> CoordinateMap:
        """World points of the cells of an RGB uint8 image, which is resized first where the run's network asks for it.

        `camera` is the image's; without one, see `localize`.
        """
        image_hw3, camera = self._as_seen(image_hw3, camera or self.camera_for(image_hw3.shape[1], image_hw3.shape[0]))
        with autocast(self.device, self._dtype):
            features_bchw = self._network.module.encoder(self._tensor(image_hw3))
        return self._network.coordinates(features_bchw, camera)

    def _tensor(self, image_hw3: np.ndarray) -> torch.Tensor:
        image = torch.from_numpy(np.ascontiguousarray(image_hw3)).to(self.device)
        return image.permute(2, 0, 1)[None].float()

    def _as_seen(self, image_hw3: np.ndarray, camera: Camera) -> tuple[np.ndarray, Camera]:
        """The image as the network knows such images: of its rows, or about as long a focal length in pixels.

        What is seen at another scale than any training view looks like nothing that was learned.
        """
        height = self._network.height
        if height is None:
            scale = self.camera.fx / camera.fx
            if 1 / _SAME_SCALE < scale < _SAME_SCALE:
                return image_hw3, camera
            most = _MOST_PIXELS * self.camera.width * self.camera.height / (camera.width * camera.height)
            height = max(8, round(camera.height * min(scale, most**0.5)))
        if height == camera.height:
            return image_hw3, camera
        seen = camera.resized(max(8, round(camera.width * height / camera.height)), height)
        how = cv2.INTER_AREA if height < camera.height else cv2.INTER_CUBIC
        return cv2.resize(image_hw3, (seen.width, seen.height), interpolation=how), seen

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> PoseEstimate:
        """The pose of an RGB uint8 image (height, width, 3).

        Args:
            image_hw3: the image, upright as its camera was held.
            camera: its intrinsics; or `focal_px` alone, with the principal point in the middle; or neither, for the
                camera of the training images scaled to this image's size.
            focal_px: see `camera`.
            seed: of the solver's search.

        Raises:
            TransposeError: neither is given and the image's shape differs from the training images'.
        """
        if image_hw3.ndim != 3 or image_hw3.shape[2] != 3 or image_hw3.dtype != np.uint8:
            raise TransposeError(f"need an RGB image (height, width, 3) uint8, got {image_hw3.shape} {image_hw3.dtype}")
        camera = camera or self.camera_for(image_hw3.shape[1], image_hw3.shape[0], focal_px)
        if len(self._landmarks) == 0 or not isinstance(self._network.module.encoder, XFeatEncoder):
            return self._supported(self.solve(self.coordinates(image_hw3, camera), camera, seed), self._least_score)
        image_hw3, camera = self._as_seen(image_hw3, camera)
        with torch.no_grad():
            with autocast(self.device, self._dtype):
                maps = self._network.module.encoder.maps(self._tensor(image_hw3))
            keypoints = keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), _MOST_KEYPOINTS)
            met = self._by_landmarks(keypoints, match_everywhere(keypoints, self._landmarks), camera, seed)
            if self._use == "landmarks":
                return self._enough(met)
            if met.pose is None or met.inliers < _ENOUGH_LANDMARKS:
                guess = self.solve(self._network.coordinates(maps.features_bchw, camera), camera, seed)
                met = self._best_of(met, guess, keypoints, camera, seed)
        return met

    def localize_rgbd(
        self,
        image_hw3: np.ndarray,
        depth_hw: np.ndarray,
        camera: Camera | None = None,
        focal_px: float | None = None,
        seed: int = 0,
    ) -> PoseEstimate:
        """The pose of an image whose depth was measured as well (DSAC*'s mode 2), by predicted coordinates alone.

        Args:
            image_hw3, camera, focal_px, seed: as of `localize`.
            depth_hw: metres along z at the pixels of the image, NaN where unknown.

        Raises:
            TransposeError: depth and image differ in size, or as `localize`.
        """
        if depth_hw.shape != image_hw3.shape[:2]:
            raise TransposeError(f"depth {depth_hw.shape} and image {image_hw3.shape[:2]} must have one size")
        camera = camera or self.camera_for(image_hw3.shape[1], image_hw3.shape[0], focal_px)
        predicted = self.coordinates(image_hw3, camera)
        points_n3, px_n2, keep_n = predicted.correspondences(camera)
        measured_n3 = camera.unproject(px_n2) * depth_at(depth_hw, px_n2)[:, None]
        weights_n = predicted.sigma_hw().reshape(-1)[keep_n] ** -2 if predicted.has_uncertainty else None
        estimate = self._supported(solve_rigid(measured_n3, points_n3, RigidOptions(seed=seed), weights_n))
        if estimate.covariance_66 is not None:
            # Points of one square err together and count as one witness, as `solve_pnp` counts them.
            agreeing_m2 = px_n2[estimate.inlier_mask_n]
            witnesses = len(np.unique(agreeing_m2 // _CORRELATION_PX, axis=0))
            estimate = replace(estimate, covariance_66=estimate.covariance_66 * (len(agreeing_m2) / witnesses))
        return self._stated(estimate, points_n3, camera, "coordinates")

    @staticmethod
    def _supported(estimate: PoseEstimate, least: float = MIN_SCORE) -> PoseEstimate:
        """Refused where too little agrees with it."""
        if estimate.pose is None or estimate.score >= least:
            return estimate
        return replace(estimate, pose=None, reason="low_score", covariance_66=None)

    @staticmethod
    def _enough(met: PoseEstimate) -> PoseEstimate:
        if met.pose is None or met.inliers >= _FEWEST_LANDMARKS:
            return met
        return replace(met, pose=None, reason="low_score", covariance_66=None)

    def _best_of(
        self, met: PoseEstimate, guess: PoseEstimate, keypoints: Keypoints, camera: Camera, seed: int
    ) -> PoseEstimate:
        """A pose from few landmarks, or one from coordinates, or from landmarks near that: the best supported."""
        if guess.pose is not None:
            local = Pose(compose(guess.pose.R_wc, guess.pose.center - self._origin_3))
            matches = match_near(keypoints, self._landmarks, local, camera, _SEARCH_RADIUS_PX)
            near = self._by_landmarks(keypoints, matches, camera, seed)
            met = max(met, near, key=lambda estimate: estimate.inliers)
        if met.pose is not None and met.inliers >= _FEWEST_LANDMARKS:
            return met
        return self._supported(guess, self._least_score)

    def _by_landmarks(self, keypoints: Keypoints, matches: Matches, camera: Camera, seed: int) -> PoseEstimate:
        px_m2 = keypoints.px_n2.double().cpu().numpy()[matches.keypoint_m]
        points_m3 = self._landmarks.points_n3.double().cpu().numpy()[matches.landmark_m] + self._origin_3
        options = RansacOptions(max_error_px=_LANDMARK_ERROR_PX, seed=seed, correlation_px=_CORRELATION_PX)
        return self._stated(solve_pnp(px_m2, points_m3, camera, options), points_m3, camera, "landmarks")

    def _stated(self, estimate: PoseEstimate, points_n3: np.ndarray, camera: Camera, by: Means) -> PoseEstimate:
        """The estimate with the covariance that users get."""
        if estimate.pose is None or estimate.covariance_66 is None:
            return estimate
        covariance_66 = self._covariance_scales.get(by, 1.0) * estimate.covariance_66
        if not self._exact:
            covariance_66 += systematic_covariance(points_n3[estimate.inlier_mask_n], camera, estimate.pose)
        return replace(estimate, covariance_66=covariance_66, by=by)

    def camera_for(self, width: int, height: int, focal_px: float | None = None) -> Camera:
        """Intrinsics of an image of which nothing but the size, and perhaps the focal length, is known."""
        if focal_px is not None:
            return Camera.from_focal(focal_px, width, height)
        if abs(width / height - self.camera.width / self.camera.height) > 0.01 * width / height:
            raise TransposeError(
                f"the image is {width} x {height}, the training images {self.camera.width} x {self.camera.height}: "
                "another shape, so its focal length is unknown; give --focal in pixels"
            )
        return self.camera.resized(width, height)

    def solve(self, predicted: CoordinateMap, camera: Camera, seed: int = 0) -> PoseEstimate:
        """The pose that a coordinate map stands for; `localize` may refuse it where validation advises against it.

        Args:
            predicted: of `coordinates`.
            camera: of the image as it was given; what the network saw may have been smaller.
            seed: of the search.
        """
        points_n3, px_n2, keep_n = predicted.correspondences(camera)
        # The network errs by pixels of the image that it saw.
        magnified = camera.height / predicted.camera.height
        options = RansacOptions(
            max_error_px=_COORDINATE_ERROR_PX * magnified, seed=seed, correlation_px=_CORRELATION_PX * magnified
        )

        def solved(R_wc_33: np.ndarray | None) -> PoseEstimate:
            covariances = None
            if predicted.has_uncertainty:
                covariances = predicted.covariances(R_wc_33).reshape(-1, 3, 3)[keep_n]
            return solve_pnp(px_n2, points_n3, camera, options, covariances)

        estimate = solved(None)
        if estimate.pose is not None and predicted.stated.of.kind == "diagonal":
            # What is stated along the rays is known in the world once the camera's rotation is.
            estimate = solved(estimate.pose.R_wc)
        return self._stated(self._supported(estimate), points_n3, camera, "coordinates")


def load(run: str | Path, device: str = "cpu", precision: str = "auto", use: Use = "auto") -> SceneCoordinateLocalizer:
    """Loads the localizer of a run folder; `use` as in `SceneCoordinateLocalizer`."""
    checkpoint = runs.load_model(Path(run))
    if checkpoint["kind"] != "scene_coordinates":
        raise TransposeError(f"{run} holds a model of kind {checkpoint['kind']!r}, which this version does not know")
    return SceneCoordinateLocalizer(checkpoint, device, precision, use)
