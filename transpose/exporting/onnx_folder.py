"""A run as a folder that `transpose.onnx` localizes from: the graph, and what is known of the place beside it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from transpose import runs
from transpose.errors import MissingPackageError, TransposeError
from transpose.exporting.conditional import computed_when_asked
from transpose.exporting.graph import IMAGE, KEYPOINTS, LocalizerGraph
from transpose.exporting.similarity import similarity_graph
from transpose.exporting.smaller import halve_weights, quantize
from transpose.localization.choice import WORTH_A_LOOK
from transpose.localization.error_model import shipped
from transpose.localization.landmarks import MIN_SIMILARITY, LandmarkMap
from transpose.localization.options import LocalizationOptions
from transpose.models.networks import build_network, load_network_state
from transpose.onnx.localizer import ASKED
from transpose.onnx.place import GRAPH_FILE, SIMILARITY_FILE, ExportedPlace, Settings, write_place
from transpose.runs import Checkpoint

log = logging.getLogger(__name__)
Precision = Literal["float32", "float16", "int8"]
OPSET = 18  # cubic GridSample came with 16, sums and norms in their present form with 18
_EXAMPLE = (228, 300)  # no multiple of 32, so that padding is part of the graph
# What a run of another kind rests on that is no network of one image.
_PARTS = {
    "matching": "its database of photos, among which a photo's neighbours are searched and matched",
    "retrieval": "its database of photos, which are compared as wholes",
    "pose_regression": "its network, which tells a pose and no points that a solver could test",
    "translation": "its network, which translates images and localizes none",
}


def check_exportable(checkpoint: Checkpoint, run: Path) -> None:
    """Refuses a run that has no counterpart in ONNX.

    Raises:
        TransposeError: says which part has none.
    """
    if checkpoint.kind != "scene_coordinates" or checkpoint.network is None:
        part = _PARTS.get(checkpoint.kind, "what it rests on")
        raise TransposeError(
            f"{run} is a run of kind {checkpoint.kind!r}: {part}, has no ONNX counterpart here; "
            "export one that predicts scene coordinates, such as of the preset fast"
        )


def export_onnx(run: Path, folder: Path, precision: Precision, images: Sequence[np.ndarray] = ()) -> Checkpoint:
    """Writes `model.onnx`, `similarity.onnx`, `place.json` and `landmarks.npz`; returns the run's checkpoint.

    Args:
        run: the run folder.
        folder: that exists.
        precision: "float32"; "float16": weights are kept so; "int8": the encoder computes so, and other weights are
            kept as float16.
        images: RGB uint8, for the ranges of int8.

    Raises:
        TransposeError: the run cannot be exported, or onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(f"onnx ({error})", "export", "to write ONNX") from None
    checkpoint = runs.load_model(run)
    check_exportable(checkpoint, run)
    path = folder / GRAPH_FILE
    graph = graph_of(checkpoint, LocalizationOptions().refining_keypoints)
    trace(graph, path)
    if precision == "int8":
        if not images:
            raise TransposeError("int8 needs images of the place, for the ranges of its numbers: --images FOLDER")
        quantize(path, images)
    model = onnx.load(path)
    if graph.encoder.has_keypoints:
        computed_when_asked(model, KEYPOINTS, [n for n in graph.output_names if n not in KEYPOINTS], ASKED)
    if precision != "float32":
        halve_weights(model)
    about = _about(checkpoint, precision)
    for name, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, str(value)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    onnx.save(similarity_graph(OPSET, model.ir_version), folder / SIMILARITY_FILE)
    _write_place(checkpoint, about, folder)
    return checkpoint


def graph_of(checkpoint: Checkpoint, most_keypoints: int) -> LocalizerGraph:
    """The networks of a run's checkpoint as one module."""
    assert checkpoint.network is not None
    network = build_network(checkpoint.network.name, checkpoint.network.config)
    try:
        load_network_state(network, checkpoint.network.weights)
    except RuntimeError as error:
        raise TransposeError(f"the model's weights do not fit its configuration ({error})") from None
    return LocalizerGraph(network.eval(), most_keypoints).eval()


def trace(graph: LocalizerGraph, path: Path) -> None:
    """Writes a module as an ONNX file for images of any size.

    By TorchScript: PyTorch's newer exporter does not follow shapes that depend on values, such as how many keypoints
    an image has.
    """
    names = graph.output_names
    axes: dict[str, dict[int, str]] = {name: {0: "keypoints"} for name in names}
    axes |= {IMAGE: {0: "height", 1: "width"}, "cells_hwk": {0: "rows", 1: "columns"}}
    noise = np.random.default_rng(0).integers(0, 255, (*_EXAMPLE, 3), dtype=np.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of shapes that become constants; tests run graphs on other sizes
        torch.onnx.export(
            graph,
            (torch.from_numpy(noise),),
            str(path),
            input_names=[IMAGE],
            output_names=list(names),
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes=axes,
        )


def _about(checkpoint: Checkpoint, precision: str) -> dict[str, Any]:
    provenance = checkpoint.provenance
    return {
        "preset": provenance.preset,
        "precision": precision,
        "opset": OPSET,
        "camera": asdict(checkpoint.camera.camera),
        "licence": provenance.licence,
        "code_version": provenance.code_version,
    }


def _write_place(checkpoint: Checkpoint, about: dict[str, Any], folder: Path) -> None:
    calibration, landmarks = checkpoint.calibration, checkpoint.landmarks
    packed_lc, points_l3, toward_l3 = np.zeros((0, 1), np.int8), np.zeros((0, 3), np.float32), np.zeros((0, 3))
    if landmarks is not None:
        packed_lc, points_l3 = landmarks["descriptors"].numpy(), landmarks["points"].float().numpy()
        known_n3 = LandmarkMap.from_state(landmarks, torch.device("cpu")).toward_n3
        toward_l3 = np.zeros_like(points_l3) if known_n3 is None else known_n3.numpy()
    if calibration.consistency != "none":
        log.warning("poses by coordinates are solved without the check against predicted depth that this run uses")
    confidence = {by: each["confidence"] for by, each in shipped().items() if "confidence" in each}
    place = ExportedPlace(
        checkpoint.camera.camera,
        checkpoint.height,
        checkpoint.origin_3,
        checkpoint.unit.name,
        checkpoint.unit.learned,
        _settings(checkpoint),
        confidence,
        calibration.confidence_offsets,
        about,
        points_l3,
        np.zeros((0, 1), np.float32),
        toward_l3,
        not checkpoint.camera.tells_of_photos,
    )
    write_place(place, packed_lc, folder)


def _settings(checkpoint: Checkpoint) -> Settings:
    calibration, options = checkpoint.calibration, LocalizationOptions()
    if not calibration.measured("landmarks"):
        options = options.doubting_landmarks()
    shared = {name: getattr(options, name) for name in Settings.__dataclass_fields__ if hasattr(options, name)}
    least = options.min_score if calibration.min_score is None else calibration.min_score
    return Settings(**shared, min_similarity=MIN_SIMILARITY, worth_a_look=WORTH_A_LOOK, least_score=least)


def landmark_points(checkpoint: Checkpoint) -> np.ndarray:
    """The landmarks (n, 3) of a run in the scene's frame and unit, float64; none where it has none."""
    if checkpoint.landmarks is None:
        return np.zeros((0, 3))
    points_n3 = LandmarkMap.from_state(checkpoint.landmarks, torch.device("cpu")).points_n3
    return (points_n3.double().numpy() + checkpoint.origin_3) * checkpoint.unit.learned
