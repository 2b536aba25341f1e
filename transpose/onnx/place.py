"""What lies beside the graph in an exported folder: the camera, the landmarks, and how poses are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.storage import read_json, write_json
from transpose.untrusted.arrays import load_arrays
from transpose.untrusted.values import BAD_VALUES

GRAPH_FILE, PLACE_FILE, LANDMARKS_FILE = "model.onnx", "place.json", "landmarks.npz"
SIMILARITY_FILE = "similarity.onnx"
FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """Of matching, search and refusal; see `transpose.localization.options.LocalizationOptions`.

    `worth_a_look` is the probability from which on landmarks are looked for near a pose by coordinates; `least_score`
    what such a pose needs in the end.
    """

    max_keypoints: int
    refinement_radius_px: float
    refinement_error_px: float
    landmark_error_px: float
    coordinate_error_px: float
    enough_landmarks: int
    min_recognized: float
    risk: float
    min_landmarks: int
    search_radius_px: float
    min_score: float
    same_scale: float
    max_enlargement: float
    min_similarity: float
    worth_a_look: float
    least_score: float


@dataclass(frozen=True, eq=False)
class ExportedPlace:
    """A place as a runtime needs it.

    Attributes:
        camera: of the images that were learned from.
        height: rows to which those were resized; None: the focal length decides.
        origin_3: world point, in learned lengths, to which the graph's points are relative, float64.
        unit: of the scene, by name; poses are in it.
        unit_length: so many of it are one learned length.
        settings: of matching, search and refusal.
        confidence: weights of the logit that a pose is right (`transpose.localization.confidence`), by kind of pose and
            "anywhere" or "guided".
        offsets: of the run's own logits, by kind.
        about: for people: preset, precision, opset, licence of the data.
        points_l3, descriptors_lc: landmarks relative to the origin, float32, and their unit descriptors; empty of
            places without.
        toward_l3: of each the mean of the unit vectors to the cameras that saw it; 0 where nobody knows.
        camera_assumed: nobody says that photos come from the camera of the images that were learned from.
    """

    camera: Camera
    height: int | None
    origin_3: np.ndarray
    unit: str
    unit_length: float
    settings: Settings
    confidence: Mapping[str, Mapping[str, Mapping[str, float]]]
    offsets: Mapping[str, float]
    about: Mapping[str, Any]
    points_l3: np.ndarray
    descriptors_lc: np.ndarray
    toward_l3: np.ndarray
    camera_assumed: bool = False


def write_place(place: ExportedPlace, packed_lc: np.ndarray, folder: Path) -> None:
    """Writes `place.json` and `landmarks.npz`.

    Args:
        place: to be written.
        packed_lc: its descriptors, a byte a channel.
        folder: that exists.
    """
    content = {
        "format": FORMAT,
        "camera": asdict(place.camera),
        "camera_assumed": place.camera_assumed,
        "height": place.height,
        "origin": place.origin_3.tolist(),
        "unit": place.unit,
        "unit_length": place.unit_length,
        "settings": {name: _plain(value) for name, value in asdict(place.settings).items()},
        "confidence": place.confidence,
        "confidence_offsets": dict(place.offsets),
        "about": place.about,
    }
    write_json(folder / PLACE_FILE, content)
    toward_l3 = place.toward_l3.astype(np.float32)
    np.savez(folder / LANDMARKS_FILE, points=place.points_l3, descriptors=packed_lc, toward=toward_l3)


def read_place(folder: Path) -> ExportedPlace:
    """Reads what `write_place` wrote.

    Raises:
        TransposeError: it is missing, broken or of a newer version.
    """
    content = read_json(folder / PLACE_FILE)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TransposeError(f"{folder / PLACE_FILE} is not of format {FORMAT}; export the run again")
    try:
        arrays = load_arrays(folder / LANDMARKS_FILE)
        settings: dict[str, Any] = {
            name: np.inf if value is None else value for name, value in content["settings"].items()
        }
        packed_lc, points_l3 = arrays["descriptors"].astype(np.float32), arrays["points"].astype(np.float32)
        toward_l3 = arrays.get("toward", np.zeros_like(points_l3)).astype(np.float32)
        if not points_l3.shape == toward_l3.shape == (len(packed_lc), 3):
            raise ValueError(f"{len(packed_lc)} descriptors of {points_l3.shape} points seen from {toward_l3.shape}")
        lengths_l1 = np.linalg.norm(packed_lc, axis=1, keepdims=True)
        return ExportedPlace(
            Camera(**content["camera"]),
            content["height"],
            np.array(content["origin"], np.float64).reshape(3),
            str(content["unit"]),
            float(content["unit_length"]),
            Settings(**settings),
            content["confidence"],
            content["confidence_offsets"],
            content["about"],
            points_l3,
            packed_lc / np.maximum(lengths_l1, 1e-12),
            toward_l3,
            content.get("camera_assumed") is True,
        )
    except FileNotFoundError:
        raise TransposeError(f"{folder / LANDMARKS_FILE} does not exist; export the run again") from None
    except (*BAD_VALUES, OSError) as error:
        raise TransposeError(f"{folder} is a damaged export ({error!r:.200}); export the run again") from None


def _plain(value: float) -> float | None:
    return None if value == np.inf else value  # JSON knows no infinity
