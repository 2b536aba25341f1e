"""What tests of trainings share."""

from __future__ import annotations

from functools import partial

import pytest

from transpose.training.adapting import AdapterTraining


@pytest.fixture(autouse=True)
def short_adapter_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter learns for a few steps here; that it learns is tested where it is trained alone."""
    short = partial(AdapterTraining, steps=30, batch=128)
    monkeypatch.setattr("transpose.training.presets.adapted.AdapterTraining", short)
