"""Checkpoints as plain dictionaries of tensors and values, the form in which they are saved, and back.

Format 3 mirrors `Checkpoint`, one dictionary a dataclass. Formats 1 (flat) and 2 are read, and never written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.runs.checkpoint import Calibration, Checkpoint, LearnedCamera, Progress, Provenance, StoredNetwork
from transpose.scenes.unit import METRE, SceneUnit

FORMAT = 3
_HARMLESS = 4096  # a layer from so many channels to so many takes 64 MB


def to_plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is saved: `weights_only` loading understands all of it."""
    network = checkpoint.network
    return {
        "format": FORMAT,
        "kind": checkpoint.kind,
        "network": None if network is None else _fields(network),
        "origin": [float(value) for value in checkpoint.origin_3],
        "camera": {**dataclasses.asdict(checkpoint.camera.camera), "origin": checkpoint.camera.origin},
        "height": checkpoint.height,
        "calibration": _plain_calibration(checkpoint.calibration),
        "landmarks": checkpoint.landmarks,
        "provenance": _plain_provenance(checkpoint.provenance),
        "progress": _fields(checkpoint.progress),
        "unit": _fields(checkpoint.unit),
        "database": checkpoint.database,
    }


def from_plain(content: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a saved dictionary of any format that was ever written.

    Raises:
        KeyError, TypeError, ValueError: it is none, or of a format that a later version writes.
    """
    return _READERS[content["format"]](content)


def is_ours(content: object) -> bool:
    """Whether what a file holds says that TransPose wrote it, in a format that this version knows."""
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        return False
    return content["format"] in _READERS and isinstance(content.get("kind"), str)


def _read_3(content: Mapping[str, Any]) -> Checkpoint:
    camera = dict(content["camera"])
    origin = camera.pop("origin")
    provenance = dict(content["provenance"])
    provenance |= {name: tuple(provenance[name]) for name in ("sections", "worlds")}
    return Checkpoint(
        content["kind"],
        None if content["network"] is None else _bounded(StoredNetwork(**content["network"])),
        np.array(content["origin"], dtype=np.float64),
        LearnedCamera(Camera(**camera), origin),
        content["height"],
        Calibration(**content["calibration"]),
        content["landmarks"],
        Provenance(**provenance),
        Progress(**content["progress"]),
        SceneUnit(**_numbers(content["unit"])) if "unit" in content else METRE,  # older runs knew metres alone
        content.get("database"),  # and none of these
    )


def _read_2(content: Mapping[str, Any]) -> Checkpoint:
    """Format 2: as format 3, with scales of older covariances."""
    found = _read_3(content)
    scales = _rescaled(found.calibration.covariance_scales)
    return dataclasses.replace(found, calibration=dataclasses.replace(found.calibration, covariance_scales=scales))


def _rescaled(scales: Mapping[str, float]) -> dict[str, float]:
    """Factors of a time when no error model stated the covariances; of a kind that has one now, that is trusted."""
    return {by: 1.0 if by in ("landmarks", "recognition", "coordinates") else scale for by, scale in scales.items()}


def _read_1(content: Mapping[str, Any]) -> Checkpoint:
    """Format 1: one flat dictionary, whose keys were missing where they did not apply."""
    network = StoredNetwork(content["network"], content["network_config"], content["weights"], content["uncertainty"])
    _bounded(network)
    calibration = Calibration(
        content.get("temperature", 1.0),
        content.get("least_score"),
        _rescaled(content.get("covariance_scales", {})),
        content.get("error_correlation_px"),
    )
    provenance = Provenance(
        content.get("preset", "unknown"),
        content.get("config", {}),
        content.get("scene"),
        tuple(content.get("sections") or ()),
        content.get("validation"),
        licence=content.get("world"),  # which was written under this name
        frames=content.get("frames"),
        source=content.get("source"),
        converted_from=content.get("converted_from"),
        converted_encoder=content.get("converted_encoder"),
        code_version=content.get("code_version", "unknown"),
    )
    progress = Progress(content.get("steps_done"), content.get("complete", True), content.get("train_seconds"))
    return Checkpoint(
        content["kind"],
        network,
        np.array(content["origin"], dtype=np.float64),
        LearnedCamera(Camera(**content["camera"])),
        content.get("height"),
        calibration,
        content.get("landmarks"),
        provenance,
        progress,
    )


_READERS: dict[int, Callable[[Mapping[str, Any]], Checkpoint]] = {1: _read_1, 2: _read_2, 3: _read_3}


def _bounded(network: StoredNetwork) -> StoredNetwork:
    """The network as it is, or a ValueError where its configuration asks for layers that its weights are none of.

    A network is built before its weights are put in, so that numbers alone would decide how much memory it takes.
    """
    sides = [side for value in network.weights.values() for side in value.shape]
    most = max([_HARMLESS, *sides])
    waiting: list[tuple[str, Any]] = [("", network.config)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.items()
        elif isinstance(value, list | tuple):
            waiting += ((name, each) for each in value)
        elif isinstance(value, int) and value > (len(network.weights) if "blocks" in str(name) else most):
            raise ValueError(f"{name} of its network is {value}, which its weights do not have")
    return network


def _numbers(said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are numbers, true or false, or None; a ValueError where one is something else, such as a tensor."""
    if strange := [name for name, value in said.items() if not isinstance(value, int | float | None)]:
        raise ValueError(f"{', '.join(map(str, strange))} are no numbers")
    return dict(said)


def _fields(record: Any) -> dict[str, Any]:
    """A dataclass as a dictionary; unlike `dataclasses.asdict`, without copying its tensors."""
    return {each.name: getattr(record, each.name) for each in dataclasses.fields(record)}


def _plain_calibration(calibration: Calibration) -> dict[str, Any]:
    by_kind = {name: getattr(calibration, name) for name in ("covariance_scales", "confidence_offsets")}
    plain = {name: {by: float(value) for by, value in each.items()} for name, each in by_kind.items()}
    return {**_fields(calibration), **plain}


def _plain_provenance(provenance: Provenance) -> dict[str, Any]:
    plain = _fields(provenance)
    return {
        **plain,
        "config": dict(provenance.config),
        "sections": list(provenance.sections),
        "worlds": list(provenance.worlds),
        "digests": dict(provenance.digests),
    }
