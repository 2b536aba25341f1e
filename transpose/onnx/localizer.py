"""The localizer of an exported run: a graph, landmarks, and the choice of a pose or of none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry.cameras import Camera, cell_points
from transpose.geometry.poses import Pose, invert, transform
from transpose.onnx.candidate import Candidate, confidence
from transpose.onnx.matching import Pairs, Similar, match_everywhere, match_near
from transpose.onnx.place import GRAPH_FILE, SIMILARITY_FILE, ExportedPlace, read_place
from transpose.onnx.seeing import seen
from transpose.onnx.similar import MostSimilar
from transpose.onnx.solver import solve

_MOST_CELLS = 5000
ASKED = "with_points"  # the graph's input that says whether world points are wanted


@dataclass(frozen=True, eq=False)
class OnnxEstimate:
    """Where an image was taken.

    Attributes:
        pose: camera to world, in the scene's unit; None where it is not known, for which `reason` says why.
        reason: "ok", "low_score" (a pose was found, and is not sure enough) or "no_consensus".
        confidence: the probability that the pose is right, or that the refused one would have been.
        inliers: correspondences that agree with it.
        by: what it rests on: "landmarks", "recognition" or "coordinates".
        camera: that was taken for the image.
    """

    pose: Pose | None
    reason: str
    confidence: float
    inliers: int
    by: str
    camera: Camera


class OnnxLocalizer:
    """Tells where an image was taken; see `load`.

    Unlike `transpose.load`, it needs to know the focal length of images that the camera of the training images did not
    take, tries no image turned, looks for no place that looks alike and for no other pose of a picture that is put
    together, does not ask from which side cells see the place, and states no covariance.
    """

    def __init__(self, place: ExportedPlace, session: Any, most_similar: Similar | None = None) -> None:
        self.place, self._session, self.most_similar = place, session, most_similar
        self.camera = place.camera
        self._inputs = {each.name for each in session.get_inputs()}
        self._outputs = [each.name for each in session.get_outputs()]

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> OnnxEstimate:
        """The pose of an image.

        Args:
            image_hw3: RGB uint8 (height, width, 3), upright as its camera was held.
            camera: its intrinsics; or `focal_px` alone, with the principal point in the middle; or neither, of images
                of the shape of the training images, whose camera is then taken, unless it was merely assumed.
            focal_px: see `camera`.
            seed: of the search.

        Raises:
            TransposeError: no RGB uint8 image, a camera of another size, or none where that of the training images says
                nothing: of another shape, or assumed.
        """
        camera = self._camera(image_hw3, camera, focal_px)
        image_hw3, seen_camera = seen(image_hw3, camera, self.place)
        best = _Search(self, image_hw3, seen_camera, seed).chosen()
        if best is None or best.found.T_cw is None:
            return OnnxEstimate(None, "no_consensus", 0.0, 0, "", camera)
        chance = confidence(best, seen_camera, self.place)
        if chance < 1 - self.place.settings.risk:
            return OnnxEstimate(None, "low_score", chance, best.support, best.by, camera)
        T_wc = invert(best.found.T_cw)
        T_wc[:3, 3] += self.place.origin_3
        pose = Pose(T_wc).scaled(self.place.unit_length)
        return OnnxEstimate(pose, "ok", chance, best.support, best.by, camera)

    def run(self, image_hw3: np.ndarray, with_points: bool = True) -> dict[str, np.ndarray]:
        """The graph's outputs for an image at the learned scale; those on world points are empty unless asked for."""
        given = {"image_hw3": np.ascontiguousarray(image_hw3)}
        if ASKED in self._inputs:
            given[ASKED] = np.array(with_points)
        return dict(zip(self._outputs, self._session.run(None, given), strict=True))

    def _camera(self, image_hw3: np.ndarray, camera: Camera | None, focal_px: float | None) -> Camera:
        if image_hw3.ndim != 3 or image_hw3.shape[2] != 3 or image_hw3.dtype != np.uint8 or min(image_hw3.shape) == 0:
            raise TransposeError(f"need an RGB image (height, width, 3) uint8, got {image_hw3.shape} {image_hw3.dtype}")
        height, width = image_hw3.shape[:2]
        if camera is not None:
            if (camera.width, camera.height) != (width, height):
                raise TransposeError(
                    f"the image is {width} x {height} pixels, its camera {camera.width} x {camera.height}; "
                    "give the camera of this image (Camera.resized)"
                )
            return camera
        if focal_px is not None:
            if not 1 < focal_px < 1e6:
                raise TransposeError(f"a focal length is a number of pixels, not {focal_px}")
            return Camera.from_focal(focal_px, width, height)
        if not self.camera.has_shape_of(width, height):
            raise TransposeError(
                f"the image is {width} x {height}, another shape than the training images' "
                f"{self.camera.width} x {self.camera.height}; say its focal length in pixels"
            )
        if self.place.camera_assumed:
            raise TransposeError(
                f"the focal length of the views that were learned from ({self.camera.fx:g} px) was assumed and says "
                "nothing of this image's; say it, in pixels"
            )
        return self.camera.resized(width, height)


@dataclass(eq=False)
class _Search:
    """The search for the pose of one image, as `transpose.localization.choice` makes it."""

    localizer: OnnxLocalizer
    image_hw3: np.ndarray
    camera: Camera
    seed: int

    def __post_init__(self) -> None:
        self.place, self.settings = self.localizer.place, self.localizer.place.settings
        self.output = self.localizer.run(self.image_hw3, with_points=False)
        self.px_n2 = self.output.get("keypoints_n2", np.zeros((0, 2))).astype(np.float64)

    def chosen(self) -> Candidate | None:
        """The candidate that is surest; None where there is none."""
        settings, found = self.settings, None
        if len(self.place.points_l3):
            found = self._refined(self._by(self._anywhere(), settings.landmark_error_px))
            if found.unguided_support >= settings.enough_landmarks:
                return found
        guess = self._by_points()
        if guess is not None:
            guess = guess.if_scored(settings.min_score)
        last = None if guess is None else guess.if_scored(settings.least_score)
        if found is None:
            return last
        near = found
        if guess is not None and self._judge(guess) >= settings.worth_a_look:
            pairs = self._near(guess, settings.max_keypoints, settings.search_radius_px)
            near = self._refined(replace(self._by(pairs, settings.landmark_error_px), guided=True))
        best = max(found, near, key=self._judge)
        if self._judge(best) >= 1 - settings.risk or last is None:
            return best
        return max(best, last, key=self._judge)

    def _judge(self, candidate: Candidate) -> float:
        return confidence(candidate, self.camera, self.place)

    def _anywhere(self) -> Pairs:
        descriptors_nc = self.output["descriptors_nc"][: self.settings.max_keypoints]
        least, similar = self.settings.min_similarity, self.localizer.most_similar
        return match_everywhere(descriptors_nc, self.place.descriptors_lc, least, similar)

    def _near(self, candidate: Candidate, most: int, radius_px: float) -> Pairs:
        assert candidate.found.T_cw is not None
        px_l2 = self.camera.project(transform(candidate.found.T_cw, self.place.points_l3.astype(np.float64)))
        descriptors_nc = self.output["descriptors_nc"][:most]
        least = self.settings.min_similarity
        return match_near(self.px_n2[:most], descriptors_nc, px_l2, self.place.descriptors_lc, radius_px, least)

    def _by(self, pairs: Pairs, max_error_px: float) -> Candidate:
        keypoint_m, landmark_m = pairs
        px_m2, points_m3 = self.px_n2[keypoint_m], self.place.points_l3[landmark_m].astype(np.float64)
        found = solve(px_m2, points_m3, self.camera, max_error_px, self.seed)
        return Candidate("landmarks", found.not_from_behind(points_m3, self.place.toward_l3[landmark_m]), px_m2)

    def _refined(self, found: Candidate) -> Candidate:
        """By all keypoints that lie where the pose puts a landmark."""
        if found.support < self.settings.min_landmarks:
            return found
        pairs = self._near(found, len(self.px_n2), self.settings.refinement_radius_px)
        refined = self._by(pairs, self.settings.refinement_error_px)
        if refined.support < max(self.settings.min_landmarks, found.support // 2):
            return found
        return replace(refined, before=found, guided=found.guided)

    def _by_points(self) -> Candidate | None:
        """By the world points that the network tells: of keypoints that it recognizes, else of cells."""
        settings, output = self.settings, self.localizer.run(self.image_hw3, with_points=True)
        if "recognized_n3" in output:
            likely_m = output["probability_n"] >= settings.min_recognized
            px_m2, points_m3 = self.px_n2[likely_m], output["recognized_n3"][likely_m].astype(np.float64)
            found = solve(px_m2, points_m3, self.camera, settings.landmark_error_px, self.seed)
            number_m = output["number_n"][likely_m] if "number_n" in output else None  # of earlier exports
            if number_m is not None and number_m.max(initial=0) < len(self.place.toward_l3):
                found = found.not_from_behind(points_m3, self.place.toward_l3[number_m])
            by = Candidate("recognition", found, px_m2)
            if by.support >= settings.min_landmarks and by.if_scored(settings.min_score) is not None:
                return by
        cells_hwk = output["cells_hwk"]
        px_n2 = cell_points(self.camera.width, self.camera.height).reshape(-1, 2)
        inside_n = np.flatnonzero((px_n2 < (self.camera.width, self.camera.height)).all(1))
        inside_n = inside_n[:: -(-len(inside_n) // _MOST_CELLS)]
        points_n3 = cells_hwk.reshape(-1, cells_hwk.shape[2])[inside_n, :3].astype(np.float64)
        found = solve(px_n2[inside_n], points_n3, self.camera, settings.coordinate_error_px, self.seed)
        return Candidate("coordinates", found, px_n2[inside_n])


def load(folder: str | Path, threads: int | None = None) -> OnnxLocalizer:
    """The localizer of a folder that `transpose export RUN --to onnx` wrote.

    Args:
        folder: with `model.onnx`, `place.json` and `landmarks.npz`.
        threads: of onnxruntime; None: all cores.

    Raises:
        TransposeError: onnxruntime is not installed, or the folder is no such one, or broken.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(f"onnxruntime ({error})", "export", "to run exported models") from None
    folder = Path(folder)
    place, graph = read_place(folder), folder / GRAPH_FILE
    if not graph.is_file():
        raise TransposeError(f"{graph} does not exist; export the run again")
    similarity = folder / SIMILARITY_FILE  # which exports of earlier versions lack
    similar = MostSimilar(_session(onnxruntime, similarity, threads)) if similarity.is_file() else None
    return OnnxLocalizer(place, _session(onnxruntime, graph, threads), similar)


def _session(onnxruntime: Any, graph: Path, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait leave cores to others
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, each derived from Exception alone
        raise TransposeError(f"{graph} does not load ({' '.join(str(error).split())[:200]}); export it again") from None
