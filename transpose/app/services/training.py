"""What a person sees of a training."""

from __future__ import annotations

from typing import Any

from transpose.app.console import progress, tell


def callbacks() -> Any:
    """Progress on stderr."""
    from transpose.training.context import Callbacks

    return Callbacks(
        buffer=lambda items, total: progress(items, "encoding views", total),
        report=lambda entry: tell(training_line(entry)),
    )


def training_line(entry: dict[str, float]) -> str:
    """One report of the training as a person reads it."""
    line = f"step {entry['step']:.0f}/{entry['steps']:.0f}  loss {entry['loss']:.2f}"
    if "pose_loss" in entry:
        line += f"  pose {entry['pose_loss']:.2f} (deg + cm)"
    if "train_median_m" in entry:
        line += f"  error {_length(entry['train_median_m'])}"
    if "val_median_m" in entry:
        line += f"  validation {_length(entry['val_median_m'])}"
    if "val_sure_median_m" in entry:
        line += f", most confident quartile {_length(entry['val_sure_median_m'])}"
    if "val_pose" in entry:
        line += f", its poses {entry['val_pose']:.2f} (deg + cm)"
    if "val_median_px" in entry:
        line += f"  validation {entry['val_median_px']:.1f} px"
    return line + f"  {entry['seconds']:.0f} s, {entry['seconds_left']:.0f} s left"


def _length(metres: float) -> str:
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"
