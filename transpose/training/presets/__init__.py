"""The presets: a file each for what is its own, and one table of them all."""

from transpose.training.presets.table import PRESETS, configured, preset_of, stated_form

__all__ = ["PRESETS", "configured", "preset_of", "stated_form"]
