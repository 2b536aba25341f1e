"""The presets: everything that determines a run besides its data."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from transpose.errors import TransposeError
from transpose.losses.coordinates import InitTolerances
from transpose.losses.uncertainty import Uncertainty
from transpose.models.crossloc import CrossLocConfig
from transpose.models.dsacstar import DsacStarConfig
from transpose.models.heads import HeadConfig
from transpose.scenes.augment import AugmentOptions

Needs = Literal["poses", "points", "depth"]
Through = Literal["dsac", "bpnp", "epro"]
# DSAC*'s, ACE's and CrossLoc's photometric jitter of a tenth, and nothing else.
_JITTER = {"max_gamma": 1.0, "max_gain": 1.1, "max_blur_px": 0.0, "max_sharpen": 0.0, "max_noise": 0.0}
_WIDE = AugmentOptions(max_scale=1.5, max_rotation_deg=30.0, min_jpeg_quality=100, **_JITTER)
_ACE_VIEWS = AugmentOptions(max_scale=1.5, max_rotation_deg=15.0, min_jpeg_quality=100, **_JITTER)


@dataclass(frozen=True)
class TrainingConfig:
    """What every preset has.

    Attributes:
        steps: of the optimizer.
        batch: cells or images a step, over all processes.
        accumulate: parts in which a batch is done, one after the other, to save memory.
        learning_rate: the schedule's largest.
        clip_norm: of the gradient; None: not clipped.
        uncertainty: what the network says of its error.
        warm_up: share of the steps in which only the size of the error is learned, not its shape.
        height: rows to which images are resized; None: as they are.
        augment: of the views.
        report_every: steps.
        seed: of every draw.
        precision: of the hidden layers, "auto", "float32" or "bfloat16".
    """

    steps: int = 3500
    batch: int = 1024
    accumulate: int = 1
    learning_rate: float = 5e-3
    clip_norm: float | None = None
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("isotropic", "laplace"))
    warm_up: float = 0.2
    height: int | None = None
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    report_every: int = 250
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.accumulate, self.report_every) < 1 or not self.learning_rate > 0:
            given = f"{self.steps}, {self.batch}, {self.accumulate} and {self.learning_rate}"
            raise ValueError(f"steps, batch, accumulate and learning rate must be positive, got {given}")
        if not 0 <= self.warm_up < 1 or (self.height is not None and self.height < 32):
            given = f"{self.warm_up} and {self.height}"
            raise ValueError(f"warm_up must be in [0, 1) and height at least 32, got {given}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, not {self.precision}")

    @property
    def needs(self) -> Needs:
        """What its loss asks of a frame besides image and pose."""
        return "points"


@dataclass(frozen=True)
class FastConfig(TrainingConfig):
    """A small head on frozen features, with landmarks: minutes on a laptop."""

    weight_decay: float = 0.01
    passes: int = 1
    buffer_megabytes: int = 768
    max_cells_per_view: int = 1000
    keypoints_per_view: int = 800  # from which landmarks are made; 0: none
    max_landmarks: int = 20_000
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.passes, self.buffer_megabytes, self.max_cells_per_view) < 1:
            raise ValueError(f"passes, buffer and cells must be positive, got {self}")
        if self.keypoints_per_view < 0 or self.max_landmarks < 1:
            raise ValueError(f"key-points may be 0 or more, landmarks 1 or more, got {self}")


@dataclass(frozen=True)
class AceConfig(TrainingConfig):
    """ACE's recipe: poses only, a homogeneous head on frozen features, a reprojection loss whose bound tightens.

    It runs on XFeat's features unless `encoder` is the file of ACE's own (ace_encoder_pretrained.pt).
    """

    steps: int = 25_000
    batch: int = 5120
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("none"))
    augment: AugmentOptions = _ACE_VIEWS
    weight_decay: float = 0.01
    max_cells: int = 8_000_000
    cells_per_view: int = 1024
    buffer_megabytes: int = 1024
    width: int = 512
    head_blocks: int = 1
    encoder: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uncertainty.kind != "none":
            raise ValueError("the ace preset learns from poses alone and states no uncertainty; use --uncertainty none")

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        return "poses"


@dataclass(frozen=True)
class DsacStarConfigured(TrainingConfig):
    """DSAC*'s network, trained whole from scratch on images; `sparse` takes `init` for labels even beside depth."""

    steps: int = 1_000_000
    batch: int = 1
    learning_rate: float = 1e-4
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("none"))
    height: int | None = 480
    augment: AugmentOptions = _WIDE
    mode: Literal["rgb", "model", "rgbd"] = "model"
    tolerances: InitTolerances = field(default_factory=InitTolerances)
    tiny: bool = False
    sparse: bool = False
    report_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparse and self.mode != "model":
            raise ValueError(f"sparse labels are world points without depth: they go with mode model, not {self.mode}")
        if self.mode == "rgb" and self.uncertainty.kind != "none":
            raise ValueError("mode rgb learns from poses alone, and no uncertainty; use mode model or rgbd for one")

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        if self.mode == "rgb":
            return "poses"
        return "depth" if self.mode == "rgbd" else "points"

    def network(self) -> DsacStarConfig:
        """Its shape."""
        return DsacStarConfig(tiny=self.tiny, uncertainty_channels=self.uncertainty.channels)


@dataclass(frozen=True)
class CrossLocConfigured(TrainingConfig):
    """CrossLoc's single-task network, trained whole from scratch on images; the rate halves at a third, and again."""

    steps: int = 170_000
    batch: int = 12
    learning_rate: float = 2e-4
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("isotropic", "gaussian"))
    height: int | None = 480
    augment: AugmentOptions = _WIDE
    tolerances: InitTolerances = field(default_factory=lambda: InitTolerances(tolerance_m=50.0))
    report_every: int = 100

    def network(self) -> CrossLocConfig:
        """Its shape."""
        return CrossLocConfig(task="coord", uncertainty_channels=self.uncertainty.channels)


@dataclass(frozen=True)
class EndToEndConfig(TrainingConfig):
    """A second stage through the pose, from a run that is trained already.

    Attributes:
        through: how the pose is differentiated: "dsac", "bpnp" or "epro"; None: "bpnp", with depth "dsac".
        rgbd: depth is measured when localizing as well.
        coordinate_weight: of the first stage's loss, a negative log-likelihood, beside the log of the pose loss.
    """

    steps: int = 2000
    batch: int = 2
    learning_rate: float = 1e-5
    clip_norm: float | None = 10.0
    through: Through | None = None
    rgbd: bool = False
    coordinate_weight: float = 1.0
    report_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rgbd and self.through not in (None, "dsac"):
            raise ValueError("with depth the pose is differentiated through dsac only")

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        return "depth" if self.rgbd else "points"

    @property
    def way(self) -> Through:
        """`through`, decided."""
        return self.through or ("dsac" if self.rgbd else "bpnp")


@dataclass(frozen=True)
class HeadEndToEndConfig(EndToEndConfig):
    """The second stage of a head on frozen features, whose batches are views with some cells each, out of a buffer."""

    batch: int = 16
    learning_rate: float = 1e-3
    cells_per_view: int = 512
    max_cells_per_view: int = 1000
    passes: int = 4
    buffer_megabytes: int = 768

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.cells_per_view, self.max_cells_per_view, self.passes, self.buffer_megabytes) < 1:
            raise ValueError(f"cells, passes and buffer must be positive, got {self}")


PRESETS: dict[str, type[TrainingConfig]] = {
    "fast": FastConfig,
    "dsacstar": DsacStarConfigured,
    "ace": AceConfig,
    "crossloc": CrossLocConfigured,
}


def configured(preset: str, settings: dict[str, Any]) -> TrainingConfig:
    """A preset with some of its fields changed.

    Raises:
        TransposeError: it has no such field, or the values contradict one another.
    """
    kind = PRESETS[preset]
    known = {each.name for each in fields(kind)}
    if unknown := sorted(settings.keys() - known):
        words = ", ".join("--" + name.replace("_", "-") for name in unknown)
        raise TransposeError(f"the preset {preset} has no {words}")
    try:
        return kind(**settings)
    except ValueError as error:
        raise TransposeError(str(error)) from None


def stated_form(preset: str, kind: str | None, tail: str | None) -> Uncertainty:
    """A preset's form of uncertainty with kind or tail changed.

    Raises:
        TransposeError: there is no such form.
    """
    own = PRESETS[preset]().uncertainty
    try:
        return Uncertainty(kind or own.kind, tail or own.tail, own.dof)  # type: ignore[arg-type]
    except ValueError as error:
        raise TransposeError(str(error)) from None
