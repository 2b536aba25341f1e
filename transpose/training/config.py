"""The configuration of the `fast` recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from transpose.models.heads import HeadConfig
from transpose.scenes.augment import AugmentOptions


@dataclass(frozen=True)
class FastConfig:
    """Everything that determines a `fast` run besides its data."""

    steps: int = 3500
    batch: int = 1024
    learning_rate: float = 5e-3
    weight_decay: float = 0.01
    feature_noise: float = 0.0  # in units of each channel's spread
    passes: int = 1
    buffer_megabytes: int = 768
    max_cells_per_view: int = 1000
    keypoints_per_view: int = 800  # from which landmarks are made; 0: none
    max_landmarks: int = 20_000
    seed: int = 0
    precision: str = "auto"  # "auto", "float32" or "bfloat16"
    head: HeadConfig = field(default_factory=HeadConfig)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.passes, self.buffer_megabytes, self.max_cells_per_view) < 1:
            raise ValueError(f"steps, batch, passes, buffer and cells must be positive, got {self}")
        if self.keypoints_per_view < 0 or self.max_landmarks < 1:
            raise ValueError(f"key-points may be 0 or more, landmarks 1 or more, got {self}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, not {self.precision}")
