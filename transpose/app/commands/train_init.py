"""`transpose train-init`, the original's first stage."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from transpose.app.services.original_names import TrainingAlias

_MODES = {0: "rgb", 1: "model", 2: "rgbd"}
# The original's flags and the fields of `InitTolerances` that they set.
_TOLERANCES = {
    "inittolerance": "tolerance_m",
    "mindepth": "min_depth_m",
    "maxdepth": "max_depth_m",
    "targetdepth": "target_depth_m",
    "softclamp": "soft_clamp_px",
    "hardclamp": "hard_clamp_px",
}


@dataclass(frozen=True)
class TrainInit(TrainingAlias):
    """The original's first stage: train DSAC*'s network on coordinates (alias of train --preset dsacstar)."""

    scene: tyro.conf.Positional[Path]
    """The scene folder, or its name in datasets/."""
    out: tyro.conf.Positional[Path]
    """The run folder; OUT.net and OUT.pth name the folder OUT."""
    learningrate: Annotated[float | None, tyro.conf.arg(aliases=["--learning-rate"])] = None
    """Of Adam; 0.0001 by default."""
    iterations: Annotated[int | None, tyro.conf.arg(aliases=["--steps"])] = None
    """Steps, of one image each; 1000000 by default."""
    inittolerance: float | None = None
    """Metres by which a coordinate may be off before its pixel error counts; 0.1 by default."""
    mindepth: float | None = None
    """Metres in front of the camera at which a point must lie; 0.1 by default."""
    maxdepth: float | None = None
    """Metres at which a point may lie at most (mode 0); 1000 by default."""
    targetdepth: float | None = None
    """Metres along the ray to which points are drawn first where nothing is known (mode 0); 10 by default."""
    softclamp: float | None = None
    """Pixels beyond which an error counts by its root; 100 by default."""
    hardclamp: float | None = None
    """Pixels beyond which a point is wrong; 1000 by default."""
    mode: Literal[0, 1, 2] = 1
    """0: images and poses; 1: and a model's labels; 2: and measured depth."""
    sparse: bool = False
    """Labels are the sparse ones of init/, from SfM, also where there is depth (mode 1)."""
    tiny: bool = False
    """The network with 128 channels."""
    uncertainty: bool = False
    """Learn how far off each coordinate may be, by the likelihood of KFNet and CrossLoc (modes 1 and 2)."""
    preset: Literal["dsacstar", "crossloc"] = "dsacstar"
    """Whose network; crossloc has no modes and other defaults (see train)."""
    height: int | None = None
    """Rows to which images are resized first; 480 by default."""

    def run(self) -> None:
        """Trains."""
        from transpose.app.services.training import callbacks, say_model
        from transpose.training.start import train

        say_model(train(self.request(self.scene, self.out), self.preset, self._settings(), callbacks()))

    def _settings(self) -> dict[str, Any]:
        """The fields of the preset's configuration that the flags set."""
        from transpose.training.presets import uncertainty_form

        given = {"steps": self.iterations, "learning_rate": self.learningrate, "height": self.height}
        settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.preset == "dsacstar":
            settings["mode"] = _MODES[self.mode]
        settings |= {name: True for name in ("sparse", "tiny") if getattr(self, name)}
        if self.uncertainty:
            settings["uncertainty"] = uncertainty_form(self.preset, "isotropic", None)
        return settings | {"tolerances": self._tolerances(), "seed": self.seed}

    def _tolerances(self) -> Any:
        from transpose.errors import TransposeError
        from transpose.training.presets import PRESETS

        preset: Any = PRESETS[self.preset].config()
        given = {field: getattr(self, flag) for flag, field in _TOLERANCES.items() if getattr(self, flag) is not None}
        try:
            return dataclasses.replace(preset.tolerances, **given)
        except ValueError as error:
            raise TransposeError(str(error)) from None
