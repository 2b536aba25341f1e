"""From a checkpoint that DSAC*, ACE or CrossLoc has trained to a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

import transpose
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.models import published
from transpose.ownership import sole_use
from transpose.runs import Checkpoint, LearnedCamera, Provenance, StoredNetwork
from transpose.scenes.unit import METRE, SceneUnit

Kind = Literal["dsacstar", "ace", "crossloc"]
T = TypeVar("T")


@dataclass(frozen=True)
class CheckpointFile:
    """What is converted.

    Attributes:
        checkpoint: the file.
        kind: whose it is.
        encoder: of ACE, which keeps it in a file of its own.
        height: rows to which images are resized; None: what its authors resize them to.
    """

    checkpoint: Path
    kind: Kind
    encoder: Path | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        if self.kind == "ace" and self.encoder is None:
            raise TransposeError("ACE's head needs its encoder: give --encoder ace_encoder_pretrained.pt")
        if self.kind != "ace" and self.encoder is not None:
            raise TransposeError(f"--encoder is for ace, whose heads share one; {self.kind} has its own in its file")
        if self.height is not None and self.height < 32:
            raise TransposeError(f"--height is at least 32 rows, not {self.height}")

    def read(self) -> published.Published:
        """The network in our terms.

        Raises:
            TransposeError: a file is missing, broken or something else.
        """
        if self.encoder is None:
            return read_published(self.checkpoint, _READERS[self.kind])
        encoder = read_published(self.encoder, published.ace_encoder)
        return read_published(self.checkpoint, lambda head: published.ace(head, encoder))


_READERS: dict[str, Callable[[Mapping[str, Tensor]], published.Published]] = {
    "dsacstar": published.dsacstar,
    "crossloc": published.crossloc,
}


def read_published(path: Path, understand: Callable[[Mapping[str, Tensor]], T]) -> T:
    """What one of the functions of `transpose.models.published` makes of a file; errors name the file."""
    state = runs.load_foreign(path)
    try:
        return understand(state)
    except TransposeError as error:
        raise TransposeError(f"{path}: {error}") from None


def convert(
    source: CheckpointFile, camera: Camera, run: Path, overwrite: bool = False, unit: SceneUnit = METRE
) -> Path:
    """Writes a run folder that localizes as the checkpoint does.

    Calibration that a checkpoint does not have keeps neutral values: a temperature and a scale of covariances of 1, no
    landmarks.

    Args:
        source: the checkpoint.
        camera: that photos have where nothing else is known of them.
        run: the folder.
        overwrite: replace the run that is there.
        unit: of the checkpoint's coordinates.

    Returns:
        The path of the model.

    Raises:
        TransposeError: a file does not do, or there is a run already.
    """
    if runs.holds_run(run) and not overwrite:
        raise TransposeError(f"{run} holds a run already; choose another folder or replace it with --overwrite")
    network = source.read()
    provenance = Provenance(
        preset=source.kind,
        converted_from=str(source.checkpoint),
        converted_encoder=str(source.encoder) if source.encoder else None,
        code_version=transpose.__version__,
    )
    checkpoint = Checkpoint(
        "scene_coordinates",
        StoredNetwork(network.network, network.config, network.weights, network.uncertainty),
        np.array(network.origin, dtype=np.float64),
        LearnedCamera(camera, "given"),
        source.height or network.height,
        provenance=provenance,
        unit=unit,
    )
    with sole_use(run):
        if overwrite and runs.holds_run(run):
            runs.set_aside(run)
        try:
            model = runs.save_model(run, checkpoint)
        finally:
            runs.put_back(run)
        runs.write_config(run, {**dataclasses.asdict(provenance), "network": network.network, **network.config})
    return model
