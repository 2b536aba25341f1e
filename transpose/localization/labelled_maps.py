"""Predicted coordinates beside a frame's labels: errors and their predicted uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera, cell_points
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.localizer import PredictsCoordinates
from transpose.losses.calibration import whitened
from transpose.losses.correlation import ErrorCorrelation, error_correlation
from transpose.scenes.labels import coordinates_at, interpolated_coordinates_at
from transpose.scenes.layout import Frame


@dataclass(frozen=True)
class LabelledMap:
    """One frame's coordinates as predicted and as they are.

    Attributes:
        predicted: by the network.
        truth_hw3: world points, metres; NaN where unknown.
        covariances_hw33: predicted, in world axes by the frame's true rotation, metres squared; None where none are.
    """

    predicted: CoordinateMap
    truth_hw3: np.ndarray
    covariances_hw33: np.ndarray | None

    @property
    def error_hw3(self) -> np.ndarray:
        """Predicted minus true, metres; NaN where unknown."""
        return self.predicted.points_hw3 - self.truth_hw3

    def flat(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Errors (n, 3) of the cells whose point is known, and their covariances (n, 3, 3)."""
        known_hw = np.isfinite(self.truth_hw3).all(-1)
        covariances = None if self.covariances_hw33 is None else self.covariances_hw33[known_hw]
        return self.error_hw3[known_hw], covariances


def labelled_map(localizer: PredictsCoordinates, frame: Frame) -> LabelledMap:
    """A localizer's prediction for a frame with depth or `init`, and the labels."""
    return labelled(localizer.coordinates(frame.image(), frame.camera), frame)


def labelled(predicted: CoordinateMap, frame: Frame) -> LabelledMap:
    """A prediction of a frame with depth or `init` beside what is true."""
    return LabelledMap(
        predicted,
        true_coordinates(predicted.camera, frame),
        predicted.covariances(frame.pose.R_wc) if predicted.has_uncertainty else None,
    )


def true_coordinates(camera: Camera, frame: Frame) -> np.ndarray:
    """World points (rows, columns, 3) of the cells of a frame by its labels; NaN where there is none.

    Args:
        camera: of the frame's image as the network saw it, perhaps at another scale.
        frame: with depth or `init`.
    """
    px_hw2 = frame_px(camera, frame)
    sparse = frame.has("init") and not frame.has("depth")
    labels_at = interpolated_coordinates_at if sparse else coordinates_at
    return labels_at(frame, px_hw2.reshape(-1, 2)).reshape(*px_hw2.shape[:2], 3)


def frame_px(camera: Camera, frame: Frame) -> np.ndarray:
    """Pixels (rows, columns, 2) of the cells of an image in the frame's file, which may be of another scale."""
    scale_2 = frame.camera.width / camera.width, frame.camera.height / camera.height
    px_hw2: np.ndarray = cell_points(camera.width, camera.height) * scale_2
    return px_hw2


def correlation_of(maps: Sequence[LabelledMap]) -> ErrorCorrelation | None:
    """Correlation length over the image of errors in units of their covariances; None where unknown.

    Maps of another size than the first are left out.
    """
    white = []
    for each in maps:
        if each.covariances_hw33 is None or each.truth_hw3.shape != maps[0].truth_hw3.shape:
            continue
        flat_n3 = whitened(each.error_hw3.reshape(-1, 3), each.covariances_hw33.reshape(-1, 3, 3))
        white.append(flat_n3.reshape(each.truth_hw3.shape))
    known = bool(white) and any(np.isfinite(each).all(-1).any() for each in white)
    return error_correlation(np.stack(white)) if known else None
