"""What a person sees of a training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transpose.app.console import progress, say, tell


def talks() -> bool:
    """Whether this is the one of the processes that `torchrun` started that talks; always without it."""
    return os.environ.get("RANK", "0") == "0"


def say_model(model: Path) -> None:
    """The path of what was trained, once."""
    if talks():
        say(str(model))


def callbacks() -> Any:
    """Progress on stderr."""
    from transpose.training.context import Callbacks

    if not talks():
        return Callbacks()
    return Callbacks(
        buffer=lambda items, total: progress(items, "encoding views", total),
        report=lambda entry: tell(training_line(entry)),
    )


def training_line(entry: dict[str, float]) -> str:
    """One report of the training as a person reads it."""
    line = f"step {entry['step']:.0f}/{entry['steps']:.0f}  loss {entry['loss']:.2f}"
    # What stands for a metre is a tenth of the cameras' extent (`LEARNED_EXTENT_M`), so for a centimetre a thousandth.
    summed = "deg + 0.1 % of the extent" if any(name.endswith("_percent") for name in entry) else "deg + cm"
    if "pose_loss" in entry:
        line += f"  pose {entry['pose_loss']:.2f} ({summed})"
    if length := _length(entry, "train_median"):
        line += f"  error {length}"
    if length := _length(entry, "val_median"):
        line += f"  validation {length}"
    if (degrees := entry.get("val_median_deg")) is not None:
        line += f", {degrees:.1f} deg"
    if length := _length(entry, "val_sure_median"):
        line += f", most confident quartile {length}"
    if "val_pose" in entry:
        line += f", its poses {entry['val_pose']:.2f} ({summed})"
    if "val_median_px" in entry:
        line += f"  validation {entry['val_median_px']:.1f} px"
    return line + f"  {entry['seconds']:.0f} s, {entry['seconds_left']:.0f} s left"


def _length(entry: dict[str, float], name: str) -> str:
    """A length of the entry in words, in metres or in per cent of the cameras' extent; empty where it has none."""
    if (percent := entry.get(f"{name}_percent")) is not None:
        return f"{percent:.2g} % of the extent"
    metres = entry.get(f"{name}_m")
    if metres is None:
        return ""
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"
