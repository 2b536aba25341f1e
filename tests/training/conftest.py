"""What tests of trainings share."""

from __future__ import annotations

from functools import partial

import pytest

from transpose.models import crossloc, mlr_full
from transpose.training.adapting import AdapterTraining


@pytest.fixture(autouse=True)
def short_adapter_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter learns for a few steps here; that it learns is tested where it is trained alone."""
    short = partial(AdapterTraining, steps=30, batch=128)
    monkeypatch.setattr("transpose.training.presets.adapted.AdapterTraining", short)


@pytest.fixture
def narrow_crossloc(monkeypatch: pytest.MonkeyPatch) -> None:
    """CrossLoc's layers with few channels, of which what is saved again and again is not 300 MB."""
    monkeypatch.setattr(crossloc, "_WIDTHS", (32, 32, 32, 64))
    for module in (crossloc, mlr_full):
        monkeypatch.setattr(module, "FEATURES", 64)
