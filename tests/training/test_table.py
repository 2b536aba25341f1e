"""The table of presets, and that of methods, fit together."""

import dataclasses
from typing import get_args, get_type_hints

import pytest

from transpose.app.commands.train import Train
from transpose.errors import TransposeError
from transpose.localization.localizer import Localizer
from transpose.localization.methods import METHODS
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.training.config import PresetConfig
from transpose.training.presets import PRESETS, configured


def test_every_preset_makes_a_run_that_a_method_opens() -> None:
    assert {preset.kind for preset in PRESETS.values()} <= METHODS.keys()


def test_the_command_offers_every_preset() -> None:
    assert set(get_args(get_type_hints(Train)["preset"])) == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_defaults_and_refuse_what_they_have_not(name: str) -> None:
    assert isinstance(configured(name, {}), PresetConfig)
    assert dataclasses.asdict(configured(name, {"seed": 3}))["seed"] == 3
    with pytest.raises(TransposeError, match="no --such-flag"):
        configured(name, {"such_flag": 1})


def test_methods_share_the_protocol() -> None:
    assert Localizer in SceneCoordinateLocalizer.__mro__
    assert "localize" not in vars(SceneCoordinateLocalizer)  # what is known of a camera is sorted out in one place
