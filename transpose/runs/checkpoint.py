"""What `model.pt` holds, as types: a localizer, what it knows of its own errors, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.scenes.unit import METRE, SceneUnit

UNMEASURED_SCALE = 100.0  # errors ten times as large as the residuals tell: the most that was seen on real places
Consistency = Literal["none", "depth", "depth+normal"]  # that points of cells must have with other predictions
CameraOrigin = Literal["rendered", "assumed", "calibration", "given", "unknown"]


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network as it lies on disk.

    Attributes:
        name: of its kind, in `transpose.models.networks`.
        config: fields of that kind's configuration.
        weights: tensors by name; some in half precision.
        uncertainty: how its outputs are read as covariances: the state of a `PredictedUncertainty` without
            temperature.
    """

    name: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    uncertainty: dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """How a localizer's uncertainty was calibrated on frames kept out of training; the defaults are neutral.

    Attributes:
        temperature: factor on the network's predicted covariances.
        min_score: that a pose by coordinates, or one without correspondences (retrieval, regression), must reach;
            infinite: none was right; None: not measured.
        covariance_scales: factor on the covariances that a method states (`localization.covariance`), by what gave the
            pose ("landmarks", "recognition", "coordinates", "matches", "retrieval", "regression"); without
            those that could not be measured.
        correlation_px: over which the errors of neighbouring cells are correlated; None: not measured.
        consistency: of cells with their predicted depth and normals, which makes poses by coordinates better.
        confidence_offsets: of the logits of poses' probabilities to be right, by kind (`localization.confidence`).
    """

    temperature: float = 1.0
    min_score: float | None = None
    covariance_scales: Mapping[str, float] = field(default_factory=dict)
    correlation_px: float | None = None
    consistency: Consistency = "none"
    confidence_offsets: Mapping[str, float] = field(default_factory=dict)

    def scale(self, by: str) -> float:
        """The factor for poses by "landmarks", "retrieval" ...; `UNMEASURED_SCALE` where no frames could tell it."""
        return self.covariance_scales.get(by, UNMEASURED_SCALE)

    def measured(self, by: str) -> bool:
        """Whether frames kept out of training have told the factor."""
        return by in self.covariance_scales


@dataclass(frozen=True)
class LearnedCamera:
    """The camera of the training images, and how it is known.

    Attributes:
        camera: of the first training frame.
        origin: "rendered": chosen by who rendered, exact; "assumed": likewise, but nobody says that photos come from
            such a camera, or the training images have several; "calibration": read from the files of a section of
            photos; "given": a person gave it, who converted a checkpoint; "unknown": an older run, which does not say.
    """

    camera: Camera
    origin: CameraOrigin = "unknown"

    @property
    def tells_of_photos(self) -> bool:
        """Whether a photo of the same shape, of which nothing else is known, likely comes from such a camera."""
        return self.origin != "assumed"


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from. None and empty: not known, or it does not apply.

    Attributes:
        preset: that trained it, or whose checkpoint was converted.
        config: all fields of the preset.
        scene: the scene folder.
        sections: of it that were learned from.
        validation: the section that was validated on; None: a part kept out of the last one.
        digests: of those sections, by name (`transpose.scenes.digest.section_digest`).
        licence: of the data.
        worlds: names of those that its sections were rendered from.
        world: folder of the world of the scene, by which poses may be refined.
        frames: how many were learned from.
        source: the run that this one goes on from.
        converted_from, converted_encoder: files of another program.
        code_version: of TransPose.
    """

    preset: str = "unknown"
    config: Mapping[str, Any] = field(default_factory=dict)
    scene: str | None = None
    sections: tuple[str, ...] = ()
    validation: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    worlds: tuple[str, ...] = ()
    world: str | None = None
    frames: int | None = None
    source: str | None = None
    converted_from: str | None = None
    converted_encoder: str | None = None
    code_version: str = "unknown"

    @property
    def roles(self) -> dict[str, Any]:
        """What is learned from, in its order, what is validated on, and the run that is gone on from."""
        source = None if self.source is None else str(Path(self.source).resolve())
        return {"sections": list(self.sections), "validation": self.validation, "source": source}


@dataclass(frozen=True)
class Progress:
    """How far the training went. A run that is not complete was cut off and may be resumed."""

    steps_done: int | None = None
    complete: bool = True
    train_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A localizer on disk.

    Attributes:
        kind: of the method, in `transpose.localization.methods`.
        network: None where the method needs none.
        origin_3: float64; the network's coordinates and the landmarks are relative to it.
        camera: of the training images.
        height: rows to which images are resized before the network sees them; None: the learned focal length decides.
        calibration: of its uncertainty, on validation frames.
        landmarks: the state of a `LandmarkMap`; None where the method has none.
        provenance: where it comes from.
        progress: of its training.
        database: what a method that recognizes images keeps of those it learned from, as tensors and plain values; None
            where the method keeps none.
        unit: of the scene. Network, landmarks and origin are in learned lengths, of which one is `unit.learned` of the
            scene's, so that they are metres where the scene's are.
    """

    kind: str
    network: StoredNetwork | None
    origin_3: np.ndarray
    camera: LearnedCamera
    height: int | None = None
    calibration: Calibration = field(default_factory=Calibration)
    landmarks: dict[str, Tensor] | None = None
    provenance: Provenance = field(default_factory=Provenance)
    progress: Progress = field(default_factory=Progress)
    unit: SceneUnit = METRE
    database: dict[str, Any] | None = None
