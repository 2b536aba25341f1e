"""All presets, one row each. A new one adds its file and its row; nothing else asks which preset it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from transpose.errors import TransposeError
from transpose.losses.uncertainty import Uncertainty
from transpose.runs import Calibration, Checkpoint
from transpose.training.calibration import calibrate_scene_coordinates
from transpose.training.config import PresetConfig, TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.plan import Built, Plan
from transpose.training.presets.ace import AceConfig, check_ace, plan_ace
from transpose.training.presets.atloc import AtLocPreset, calibrate_atloc, check_atloc, plan_atloc
from transpose.training.presets.crossloc import CrossLocPreset, plan_crossloc
from transpose.training.presets.dsacstar import DsacStarPreset, plan_dsacstar
from transpose.training.presets.fast import FastConfig, check_fast, plan_fast
from transpose.training.presets.matching import MatchingConfig, calibrate_matching, check_matching, plan_matching
from transpose.training.presets.mlr import MlrPreset, plan_mlr
from transpose.training.presets.mlr_full import MlrFullPreset, plan_mlr_full
from transpose.training.presets.retrieval import RetrievalConfig, calibrate_retrieval, plan_retrieval


@dataclass(frozen=True)
class Preset:
    """A row of the table.

    Attributes:
        kind: of the localizer that comes out, in `transpose.localization.methods`.
        config: its settings with their defaults.
        plan: from settings and frames to what the loop trains, or to what is made at once. What is stored of a network,
            and how, is its row in `transpose.models.networks`.
        calibrate: what the localizer knows of its own errors, by frames kept out of training.
        check: reads what the preset starts from, before anything is written.
    """

    kind: str
    config: type[PresetConfig]
    plan: Callable[[Any, TrainingContext], Plan | Built]
    calibrate: Callable[[Checkpoint, TrainingContext, Any], Calibration]
    check: Callable[[Any], None] = lambda _: None


def _coordinates(
    config: type[TrainingConfig],
    plan: Callable[[Any, TrainingContext], Plan],
    check: Callable[[Any], None] = lambda _: None,
) -> Preset:
    """A row of a network that predicts scene coordinates."""
    return Preset("scene_coordinates", config, plan, calibrate_scene_coordinates, check)


PRESETS: dict[str, Preset] = {
    "fast": _coordinates(FastConfig, plan_fast, check_fast),
    "dsacstar": _coordinates(DsacStarPreset, plan_dsacstar),
    "ace": _coordinates(AceConfig, plan_ace, check_ace),
    "mlr": _coordinates(MlrPreset, plan_mlr, check_fast),
    "mlr-full": _coordinates(MlrFullPreset, plan_mlr_full),
    "crossloc": _coordinates(CrossLocPreset, plan_crossloc),
    "matching": Preset("matching", MatchingConfig, plan_matching, calibrate_matching, check_matching),
    "atloc": Preset("pose_regression", AtLocPreset, plan_atloc, calibrate_atloc, check_atloc),
    "retrieval": Preset("retrieval", RetrievalConfig, plan_retrieval, calibrate_retrieval),
}


def preset_of(name: str) -> Preset:
    """A row by its name.

    Raises:
        TransposeError: there is no such preset.
    """
    if name not in PRESETS:
        raise TransposeError(f"there is no preset {name!r}, only {', '.join(PRESETS)}")
    return PRESETS[name]


def configured(preset: str, settings: dict[str, Any]) -> PresetConfig:
    """A preset with some of its fields changed.

    Raises:
        TransposeError: it has no such field, or the values contradict one another.
    """
    kind = preset_of(preset).config
    known = {each.name for each in fields(kind)}
    if unknown := sorted(settings.keys() - known):
        words = ", ".join("--" + name.replace("_", "-") for name in unknown)
        raise TransposeError(f"the preset {preset} has no {words}; leave {'it' if len(unknown) == 1 else 'them'} away")
    try:
        return kind(**settings)
    except ValueError as error:
        raise TransposeError(str(error)) from None


def uncertainty_form(preset: str, kind: str | None, tail: str | None) -> Uncertainty:
    """A preset's form of uncertainty with kind or tail changed.

    Raises:
        TransposeError: there is no such form, or the preset predicts none.
    """
    config = preset_of(preset).config()
    if not isinstance(config, TrainingConfig):
        said = [flag for flag, value in {"--uncertainty": kind, "--tail": tail}.items() if value is not None]
        them = "it" if len(said) == 1 else "them"
        raise TransposeError(f"the preset {preset} has no {' and no '.join(said)}; leave {them} away")
    own = config.uncertainty
    try:
        return Uncertainty(kind or own.kind, tail or own.tail, own.dof)  # type: ignore[arg-type]
    except ValueError as error:
        raise TransposeError(str(error)) from None
