"""The presets: a file each for what is its own, and one table of them all."""

from transpose.training.presets.table import PRESETS, configured, preset_of, uncertainty_form

__all__ = ["PRESETS", "configured", "preset_of", "uncertainty_form"]
