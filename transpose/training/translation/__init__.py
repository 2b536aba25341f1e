"""Learning to translate images of one section into the looks of another one, without pairs (CUT, FastCUT, CycleGAN)."""

from transpose.training.translation.config import Method, Size, TranslationConfig
from transpose.training.translation.start import train_translation

__all__ = ["Method", "Size", "TranslationConfig", "train_translation"]
