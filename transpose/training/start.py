"""From a scene folder to a trained run: checks what is there, then hands over to the recipe."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.training.config import FastConfig
from transpose.training.fast import Callbacks, train_fast
from transpose.training.sections import gather_frames


def train(
    scene: Path,
    sections: Sequence[str],
    run: Path,
    *,
    validation: str | None = None,
    settings: dict[str, Any] | None = None,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Callbacks | None = None,
) -> Path:
    """Trains the `fast` preset on sections of a scene.

    Args:
        scene: the scene folder.
        sections: to learn from.
        run: the run folder. One that exists is refused unless `resume` or `overwrite` says what to do with it.
        validation: section to validate on; without it a tenth of the last section is kept out.
        settings: fields of `FastConfig` that differ from their defaults.
        device: as PyTorch names it.
        resume: go on with a run that was cut off.
        overwrite: remove the run that is there.
        callbacks: progress.

    Returns:
        The path of the model.
    """
    try:
        config = FastConfig(**(settings or {}))
    except ValueError as error:
        raise TransposeError(str(error)) from None
    training, held_out = gather_frames(scene, sections, validation)
    exists = (run / runs.MODEL_FILE).exists() or (run / runs.STATE_FILE).exists()
    if resume and overwrite:
        raise TransposeError("--resume goes on with a run, --overwrite removes it; choose one")
    if exists and not resume and not overwrite:
        raise TransposeError(f"{run} holds a run already; go on with --resume or replace it with --overwrite")
    if overwrite and run.exists():
        _remove_run(run)
    run.mkdir(parents=True, exist_ok=True)
    facts = {"scene": str(scene), "sections": list(sections), "validation": validation, "world": _world_facts(scene)}
    runs.write_config(run, {**facts, "preset": "fast", **dataclasses.asdict(config)})
    return train_fast(
        run,
        training,
        held_out,
        config,
        facts=facts,
        device=_device(device),
        resume=resume,
        callbacks=callbacks,
    )


def _remove_run(run: Path) -> None:
    """Removes what a training wrote, and nothing else that may stand in the folder."""
    for name in (runs.MODEL_FILE, runs.STATE_FILE, runs.LOG_FILE, runs.CONFIG_FILE):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def _world_facts(scene: Path) -> str | None:
    from transpose.scenes.layout import read_scene_facts

    return read_scene_facts(scene).get("licence")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TransposeError(f"device {name} is not usable ({str(error).splitlines()[0]}); try --device cpu") from None
    return device
