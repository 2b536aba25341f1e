"""`transpose train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class Train:
    """Train a localizer on sections of a scene."""

    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    sections: tuple[str, ...]
    """Sections to learn from, such as train_sim."""
    out: Path
    """The run folder; model.pt in it is the localizer."""
    val: str | None = None
    """Section for validation; without it a tenth of the last section is kept out."""
    preset: Literal["fast"] = "fast"
    """fast: a small head on frozen features, minutes on a laptop."""
    uncertainty: Literal["isotropic"] = "isotropic"
    """What the network says of its own error."""
    steps: int | None = None
    """Training steps; the preset's own number by default."""
    passes: int | None = None
    """Augmented views of each frame."""
    buffer_megabytes: int | None = None
    """Memory for features."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the hardware has it."""
    seed: int = 0
    """Same seed, machine and thread count: same result."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps ..."""
    resume: bool = False
    """Go on with a run that was cut off."""
    overwrite: bool = False
    """Replace a run that exists."""

    def run(self) -> None:
        """Trains."""
        from transpose.app.console import progress, say, tell
        from transpose.training.fast import Callbacks
        from transpose.training.start import train

        given = {"steps": self.steps, "passes": self.passes, "buffer_megabytes": self.buffer_megabytes}
        model = train(
            self.scene,
            self.sections,
            self.out,
            validation=self.val,
            settings={key: value for key, value in given.items() if value is not None}
            | {"seed": self.seed, "precision": self.precision},
            device=self.device,
            resume=self.resume,
            overwrite=self.overwrite,
            callbacks=Callbacks(
                buffer=lambda items, total: progress(items, "encoding views", total),
                report=lambda entry: tell(training_line(entry)),
            ),
        )
        say(str(model))


def training_line(entry: dict[str, float]) -> str:
    """One report of the training as a person reads it."""
    line = f"step {entry['step']:.0f}/{entry['steps']:.0f}  loss {entry['loss']:.2f}"
    line += f"  error {_length(entry['train_median_m'])}"
    if "val_median_m" in entry:
        line += f"  validation {_length(entry['val_median_m'])}, surest quarter {_length(entry['val_sure_median_m'])}"
    return line + f"  {entry['seconds']:.0f} s, {entry['seconds_left']:.0f} s left"


def _length(metres: float) -> str:
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"
