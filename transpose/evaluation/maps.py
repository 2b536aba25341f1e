"""Coordinate maps of tested frames on disk: what was predicted, how sure, and what is true."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.evaluation.metrics import FrameResult
from transpose.localization import SceneCoordinateLocalizer
from transpose.localization.labelled_maps import true_coordinates
from transpose.scenes.layout import Frame
from transpose.storage import replacing_file

MAPS_FOLDER = "maps"
_KEYS = ("coordinates", "sigma", "truth", "pose", "pose_true")


@dataclass(frozen=True)
class SavedMap:
    """One frame of `maps/STEM.npz`.

    Attributes:
        stem: of the frame.
        coordinates_hw3: predicted world points, metres.
        sigma_hw: stated standard deviation along an axis, metres; infinite where nothing is stated.
        truth_hw3: world points by the labels, NaN where unknown.
        T_wc_44: the pose that was found, NaN where the frame was refused.
        T_wc_true_44: the true one.
    """

    stem: str
    coordinates_hw3: np.ndarray
    sigma_hw: np.ndarray
    truth_hw3: np.ndarray
    T_wc_44: np.ndarray
    T_wc_true_44: np.ndarray

    @property
    def error_hw(self) -> np.ndarray:
        """Distance between predicted and true points, metres; NaN where unknown."""
        return np.linalg.norm(self.coordinates_hw3 - self.truth_hw3, axis=-1)


def save_map(localizer: SceneCoordinateLocalizer, frame: Frame, result: FrameResult, folder: Path) -> Path:
    """Writes one frame's map; coordinates as float64, since they may lie far from zero."""
    predicted = localizer.coordinates(frame.image(), frame.camera)
    labelled = frame.has("depth") or frame.has("init")
    truth_hw3 = true_coordinates(predicted, frame) if labelled else np.full(predicted.points_hw3.shape, np.nan)
    pose = result.estimate.pose
    path = folder / f"{frame.stem}.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            coordinates=predicted.points_hw3,
            sigma=predicted.sigma_hw().astype(np.float32),
            truth=truth_hw3,
            pose=np.full((4, 4), np.nan) if pose is None else pose.T_wc,
            pose_true=frame.pose.T_wc,
        )
    return path


def read_saved_maps(folder: Path) -> Sequence[SavedMap]:
    """All maps of a folder, sorted by frame.

    Raises:
        TransposeError: a file is broken or something else.
    """
    maps = []
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                maps.append(SavedMap(path.stem, *(arrays[key] for key in _KEYS)))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise TransposeError(f"{path} is no saved coordinate map ({error}); test again with --save-map") from None
    return maps
