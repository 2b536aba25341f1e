"""Coordinate maps of tested frames on disk: what was predicted, with which uncertainty, and what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.evaluation.metrics import FrameResult
from transpose.geometry.poses import Pose
from transpose.localization import PredictsCoordinates
from transpose.localization.labelled_maps import true_coordinates
from transpose.scenes.layout import Frame, Section
from transpose.scenes.truth_error import TruthError
from transpose.scenes.unit import METRE, SceneUnit
from transpose.solvers import PoseEstimate
from transpose.storage import replacing_file, replacing_folder
from transpose.untrusted.arrays import load_arrays
from transpose.untrusted.values import BAD_VALUES

MAPS_FOLDER = "maps"
# Under the loss of the training, sigma is a third of the mean distance to the truth.
MEAN_DISTANCE_PER_SIGMA = 1.5
Pairs = Sequence[tuple[Frame, FrameResult]]


@dataclass(frozen=True)
class FrameMaps:
    """What is predicted of a frame's cells.

    Attributes:
        points_hw3: world points, in the scene's unit.
        expected_hw: distance that the network expects to be off by, as it is told: metres, or per cent of the cameras'
            extent where the scene is not in metres; None: it predicts no uncertainty.
        error_hw: distance to the labels, told alike, NaN where unknown; None: the frame has none.
    """

    points_hw3: np.ndarray
    expected_hw: np.ndarray | None
    error_hw: np.ndarray | None

    @classmethod
    def of(cls, localizer: PredictsCoordinates, frame: Frame) -> FrameMaps:
        """What a localizer predicts of a frame, beside its labels."""
        predicted, per_unit = localizer.coordinates(frame.image(), frame.camera), localizer.checkpoint.unit.told(1.0)
        expected_hw = per_unit * MEAN_DISTANCE_PER_SIGMA * predicted.sigma_hw() if predicted.has_uncertainty else None
        error_hw = None
        if frame.has("depth") or frame.has("init"):
            error_hw = per_unit * np.linalg.norm(
                predicted.points_hw3 - true_coordinates(predicted.camera, frame), axis=-1
            )
        return cls(predicted.points_hw3, expected_hw, error_hw)


@dataclass(frozen=True)
class SavedMap:
    """One frame of `maps/STEM.npz`.

    Attributes:
        coordinates_hw3: predicted world points, in the scene's unit.
        sigma_hw: predicted standard deviation along an axis, in that unit; infinite without.
        truth_hw3: world points by the labels, NaN where unknown.
        result: what came of localizing the frame.
        image: the frame's image; it may be gone by now.
    """

    coordinates_hw3: np.ndarray
    sigma_hw: np.ndarray
    truth_hw3: np.ndarray
    result: FrameResult
    image: Path

    @property
    def stem(self) -> str:
        """Of the frame."""
        return self.result.stem

    @property
    def error_hw(self) -> np.ndarray:
        """Distance between predicted and true points, as it is told (`FrameMaps`); NaN where unknown."""
        error_hw: np.ndarray = np.linalg.norm(self.coordinates_hw3 - self.truth_hw3, axis=-1)
        return self.result.unit.told(1.0) * error_hw

    @property
    def expected_hw(self) -> np.ndarray:
        """Distance that the network expects, told alike; infinite where it predicts no uncertainty."""
        return self.result.unit.told(1.0) * MEAN_DISTANCE_PER_SIGMA * self.sigma_hw

    def as_drawn(self) -> FrameMaps:
        """What a gallery needs of it; None where nothing is known."""
        error_hw, expected_hw = self.error_hw, self.expected_hw
        return FrameMaps(
            self.coordinates_hw3,
            expected_hw if np.isfinite(expected_hw).any() else None,
            error_hw if np.isfinite(error_hw).any() else None,
        )


def save_maps(
    localizer: PredictsCoordinates,
    section: Section,
    results: Sequence[FrameResult],
    folder: Path,
    progress: Callable[[Pairs], Iterable[tuple[Frame, FrameResult]]] = iter,
) -> None:
    """Writes the maps of a section's frames into `folder`, in the place of those that were there, in one step.

    Frames that raised when they were localized are left out.

    Args:
        localizer: predicts the coordinates.
        section: that was localized, with the labels that errors are measured against.
        results: of its frames, in their order.
        folder: `maps` of a test's folder.
        progress: wraps the frames with their results.
    """
    with replacing_folder(folder) as temporary:
        pairs = [(f, result) for f, result in zip(section.frames, results, strict=True) if not result.raised]
        for frame, result in progress(pairs):
            save_map(localizer, frame, result, temporary)


def save_map(localizer: PredictsCoordinates, frame: Frame, result: FrameResult, folder: Path) -> Path:
    """Writes one frame's map as `folder/STEM.npz`.

    Arrays: `coordinates` (rows, columns, 3) and `truth` (the same, NaN where unknown) in the world, float64, since they
    may lie far from zero; `sigma` (rows, columns), infinite without an uncertainty; `pose` and `pose_true` (4, 4)
    camera to world, the first NaN where the frame was refused; `covariance` (6, 6) of the pose, NaN where there is
    none; `inlier_mask`, `score`, `iterations`, `reason` and `seconds` of the estimate; `image`, its file; `metric`,
    whether all lengths are metres, and `extent`, the cameras', in the unit of the others, NaN where it is not known;
    `truth_error` (2,), metres and degrees by which true poses are off (`TruthError`), NaN where nobody says.
    """
    predicted = localizer.coordinates(frame.image(), frame.camera)
    labelled = frame.has("depth") or frame.has("init")
    estimate = result.estimate
    path = folder / f"{frame.stem}.npz"
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            coordinates=predicted.points_hw3,
            sigma=predicted.sigma_hw().astype(np.float32),
            truth=true_coordinates(predicted.camera, frame)
            if labelled
            else np.full(predicted.points_hw3.shape, np.nan),
            pose=np.full((4, 4), np.nan) if estimate.pose is None else estimate.pose.T_wc,
            pose_true=result.truth.T_wc,
            covariance=np.full((6, 6), np.nan) if estimate.covariance_66 is None else estimate.covariance_66,
            inlier_mask=np.asarray(estimate.inlier_mask_n),
            score=estimate.score,
            iterations=estimate.iterations,
            reason=estimate.reason,
            seconds=result.seconds,
            image=str(frame.paths["rgb"].resolve()),
            metric=result.unit.metric,
            extent=np.nan if result.unit.extent is None else result.unit.extent,
            truth_error=(np.nan, np.nan) if (off := result.truth_error) is None else (off.metres, off.degrees),
        )
    return path


def read_saved_map(path: Path) -> SavedMap:
    """One saved map.

    Raises:
        TransposeError: the file is broken or something else.
    """
    try:
        arrays = load_arrays(path)
        T_wc_44, covariance_66 = arrays["pose"], arrays["covariance"]
        estimate = PoseEstimate(
            Pose(T_wc_44) if np.isfinite(T_wc_44).all() else None,
            str(arrays["reason"]),
            arrays["inlier_mask"],
            float(arrays["score"]),
            int(arrays["iterations"]),
            covariance_66 if np.isfinite(covariance_66).all() else None,
        )
        truth, seconds = Pose(arrays["pose_true"]), float(arrays["seconds"])
        result = FrameResult(path.stem, truth, estimate, seconds, _unit_of(arrays), _truth_error_of(arrays))
        image = Path(str(arrays["image"]))
        return SavedMap(arrays["coordinates"], arrays["sigma"], arrays["truth"], result, image)
    except (OSError, SystemError, *BAD_VALUES) as error:  # the second of texts with letters that there are not
        raise TransposeError(f"{path} is no saved coordinate map ({error}); test again with --save-map") from None


def _unit_of(arrays: Mapping[str, np.ndarray]) -> SceneUnit:
    """Maps of older versions are in metres."""
    if "metric" not in arrays:
        return METRE
    extent = float(arrays["extent"])
    return SceneUnit(bool(arrays["metric"]), extent if np.isfinite(extent) else None)


def _truth_error_of(arrays: Mapping[str, np.ndarray]) -> TruthError | None:
    """Maps of older versions say nothing of it."""
    metres, degrees = arrays.get("truth_error", np.full(2, np.nan)).tolist()
    return TruthError(metres, degrees) if np.isfinite(metres) else None


def map_files(folder: Path) -> list[Path]:
    """The saved maps of a test's folder, sorted by frame; none where none were saved."""
    return sorted(path for path in (folder / MAPS_FOLDER).glob("*.npz") if not path.name.startswith("."))
