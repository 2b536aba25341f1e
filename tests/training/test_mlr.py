"""Mid-level tasks beside coordinates: the preset, its stages, and what each of them draws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_presets import HEAD, scene  # noqa: F401
from transpose import runs
from transpose.errors import TransposeError
from transpose.localization import load
from transpose.training.context import Callbacks
from transpose.training.request import Request
from transpose.training.start import train

SETTINGS = {"steps": 40, "batch": 128, "head": HEAD, "task_width": 16, "task_blocks": 1, "precision": "float32"}


def test_it_leaves_a_localizer_with_the_tasks_that_have_labels(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    train(Request(scene, ["sim"], tmp_path / "run"), "mlr", SETTINGS)
    model = runs.load_model(tmp_path / "run")
    assert model.network.config["tasks"] == ("depth", "normal")  # boxes have no classes
    localizer = load(tmp_path / "run", use="coordinates")
    image_hw3 = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    assert np.isfinite(localizer.coordinates(image_hw3).points_hw3).all()
