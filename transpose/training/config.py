"""What determines a training besides its data: what all presets have in common, and what those that take steps have."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from transpose.losses.uncertainty import Uncertainty
from transpose.scenes.augment import AugmentOptions

Needs = Literal["poses", "points", "depth"]
Through = Literal["dsac", "bpnp", "epro"]
# DSAC*'s, ACE's and CrossLoc's photometric jitter of a tenth, and nothing else.
PUBLISHED_JITTER: dict[str, Any] = {
    "max_gamma": 1.0,
    "max_gain": 1.1,
    "max_blur_px": 0.0,
    "max_sharpen": 0.0,
    "max_noise": 0.0,
    "min_jpeg_quality": 100,
}
PUBLISHED_VIEWS = AugmentOptions(max_scale=1.5, max_rotation_deg=30.0, **PUBLISHED_JITTER)


@dataclass(frozen=True)
class PresetConfig:
    """What every preset has.

    Attributes:
        height: rows to which images are resized; None: as they are.
        augment: of the views.
        seed: of every draw.
        precision: of the hidden layers, "auto", "float32" or "bfloat16".
    """

    height: int | None = None
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.height is not None and self.height < 32:
            raise ValueError(f"height must be at least 32, got {self.height}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, not {self.precision}")

    @property
    def needs(self) -> Needs:
        """What its loss asks of a frame besides image and pose."""
        return "points"

    @property
    def leaves_out(self) -> bool:
        """Whether what it learns can be validated by leaving photos out in turn, so that none need be kept out."""
        return False

    @property
    def sparse_labels(self) -> bool:
        """Whether labels are those of `init` even where there is depth."""
        return False


@dataclass(frozen=True)
class StepConfig:
    """What the loop asks of whatever is learned step by step.

    Attributes:
        steps: of the optimizer.
        batch: cells or images a step, over all processes.
        accumulate: parts in which a batch is done, one after the other, to save memory.
        learning_rate: the schedule's largest.
        clip_norm: of the gradient; None: not clipped.
        report_every: steps.
        minutes: of wall-clock time that the training may take: what is named in `LIMITED` is then chosen as it begins,
            by the machine's pace, and `steps` is the most (`transpose.training.time_limit`); None: no limit.
    """

    LIMITED: ClassVar[tuple[str, ...]] = ("steps",)

    steps: int = 3500
    batch: int = 1024
    accumulate: int = 1
    learning_rate: float = 5e-3
    clip_norm: float | None = None
    report_every: int = 250
    minutes: float | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.accumulate, self.report_every) < 1 or not self.learning_rate > 0:
            given = f"{self.steps}, {self.batch}, {self.accumulate} and {self.learning_rate}"
            raise ValueError(f"steps, batch, accumulate and learning rate must be positive, got {given}")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} cannot be done in {self.accumulate} equal parts (--accumulate)")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ValueError(f"minutes must be more than 0, got {self.minutes:g}")

    @property
    def stacks_images(self) -> bool:
        """Whether a step is done on several whole images at once, which must then be of one size."""
        return False


@dataclass(frozen=True)
class TrainingConfig(PresetConfig, StepConfig):
    """What every preset has that is learned step by step.

    Attributes:
        uncertainty: the form of the predicted uncertainty.
        warm_up: fraction of the steps in which only the size of the error is learned, not its shape.
        replay: draw what is not learned yet more often, and weigh it less (`transpose.scenes.replay`).
    """

    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("isotropic", "laplace"))
    warm_up: float = 0.2
    replay: bool = False

    def __post_init__(self) -> None:
        PresetConfig.__post_init__(self)
        StepConfig.__post_init__(self)
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up must be in [0, 1), got {self.warm_up}")


@dataclass(frozen=True)
class FeatureConfig(TrainingConfig):
    """What every preset has that learns from features of views that are encoded once, before the first step.

    Attributes:
        most_views: to encode, evenly spread over the frames where it is fewer; None: as many as the preset wants.
    """

    LIMITED: ClassVar[tuple[str, ...]] = ("steps", "most_views")

    most_views: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_views is not None and self.most_views < 1:
            raise ValueError(f"most_views must be positive, got {self.most_views}")

    def view_count(self, frames: int) -> int:
        """How many views are encoded where there are so many frames."""
        wanted = self.wanted_views(frames)
        return wanted if self.most_views is None else min(wanted, self.most_views)

    def wanted_views(self, frames: int) -> int:
        """The same without `most_views`."""
        raise NotImplementedError

    @property
    def views_before_steps(self) -> int:
        """How many views a limit of time keeps at the cost of steps; 0: both become fewer together."""
        return 0
