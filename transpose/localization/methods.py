"""All methods of localization, one row each: from the kind that a run names to the class that answers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.localization.localizer import Localizer, check_states_confidence
from transpose.localization.matching.localizer import MatchingLocalizer
from transpose.localization.options import LocalizationOptions
from transpose.localization.pose_regression import PoseRegressionLocalizer
from transpose.localization.refine import refined
from transpose.localization.refine_world import world_folder
from transpose.localization.rescaled import in_scene_unit
from transpose.localization.retrieval import RetrievalLocalizer
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer, Use
from transpose.models.precision import checked_device
from transpose.randomness import apart
from transpose.runs import Checkpoint
from transpose.untrusted.values import BAD_VALUES
from transpose.worlds.world import load_world


@dataclass(frozen=True)
class Loading:
    """How a run is loaded; see `load`."""

    device: torch.device
    precision: str = "auto"
    use: Use = "auto"
    options: LocalizationOptions | None = None


def _scene_coordinates(checkpoint: Checkpoint, how: Loading) -> Localizer:
    return SceneCoordinateLocalizer(checkpoint, how.device, how.precision, how.use, how.options)


def _matching(checkpoint: Checkpoint, how: Loading) -> Localizer:
    _refuse_use(checkpoint, how)
    return MatchingLocalizer(checkpoint, how.device, how.precision, how.options)


def _pose_regression(checkpoint: Checkpoint, how: Loading) -> Localizer:
    _refuse_use(checkpoint, how)
    return PoseRegressionLocalizer(checkpoint, how.device, how.precision)


def _retrieval(checkpoint: Checkpoint, how: Loading) -> Localizer:
    _refuse_use(checkpoint, how)
    return RetrievalLocalizer(checkpoint, how.device, how.precision, how.options)


def _refuse_use(checkpoint: Checkpoint, how: Loading) -> None:
    if how.use != "auto":
        raise TransposeError(f"a run of kind {checkpoint.kind!r} has no {how.use} to choose; leave --use away")


def _made(checkpoint: Checkpoint, how: Loading, run: Path) -> Localizer:
    """The localizer of a checkpoint, whose parts are whole but may not go together."""
    try:
        with apart():  # networks are made before their weights are put in
            return METHODS[checkpoint.kind](checkpoint, how)
    except torch.OutOfMemoryError:
        raise
    except (*BAD_VALUES, RuntimeError) as error:
        raise TransposeError(f"{run} holds a damaged model ({error!r:.200}); train or convert it again") from None
    except TransposeError as error:
        raise TransposeError(f"{run}: {error}") from None


METHODS: dict[str, Callable[[Checkpoint, Loading], Localizer]] = {
    "scene_coordinates": _scene_coordinates,
    "matching": _matching,
    "pose_regression": _pose_regression,
    "retrieval": _retrieval,
}
# What a run may hold that is no localizer, and what to do with it.
OTHERS: dict[str, str] = {
    "translation": "translates images; use it with: transpose translate RUN --apply SCENE/SECTION"
}


def load(
    run: str | Path,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    use: Use = "auto",
    options: LocalizationOptions | None = None,
    refine: bool = False,
    world: str | Path | None = None,
    risk: float | None = None,
) -> Localizer:
    """Loads the localizer of a run, which answers in the unit of its scene (`Checkpoint.unit`).

    Args:
        run: the run folder, or its `model.pt`.
        device: where its networks run.
        precision: "auto", "float32" or "bfloat16".
        use: see `SceneCoordinateLocalizer`, where the method knows several; "auto": its own choice.
        options: of matching, search and refusal; the measured defaults without.
        refine: poses are made better by renders of the place's world (`refine.Refined`).
        world: folder of that world; None: the one that the run was trained with, where it is still there.
        risk: that is taken, of methods that say how sure they are: see `LocalizationOptions`; None: that of `options`.

    Raises:
        TransposeError: there is no run, it holds no localizer or one that this version does not know, or the device
            does not do; or there is no world to refine by, or it is another place's; or the risk is none.
    """
    checkpoint = runs.load_model(Path(run))
    if checkpoint.kind in OTHERS:
        raise TransposeError(f"{run} holds no localizer: it {OTHERS[checkpoint.kind]}")
    if checkpoint.kind not in METHODS:
        raise TransposeError(f"{run} holds a model of kind {checkpoint.kind!r}, which this version does not know")
    how = Loading(checked_device(str(device)), precision, use, _at_risk(checkpoint, options, risk))
    localizer = in_scene_unit(_made(checkpoint, how, Path(run)))
    if not refine:
        return localizer
    folder = world_folder(checkpoint, Path(run), None if world is None else Path(world))
    return refined(localizer, load_world(folder), how.device)


def _at_risk(
    checkpoint: Checkpoint, options: LocalizationOptions | None, risk: float | None
) -> LocalizationOptions | None:
    if risk is None:
        return options
    check_states_confidence(checkpoint, "--risk")
    if not 0 < risk < 1:
        raise TransposeError(f"--risk is a probability between 0 and 1, such as 0.01, not {risk}")
    return replace(options or LocalizationOptions(), risk=risk)
