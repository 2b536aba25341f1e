"""What determines a translation besides its images: the published methods, and a small size for two cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transpose.models.translation.discriminator import DiscriminatorConfig
from transpose.models.translation.generator import STRIDE, GeneratorConfig
from transpose.training.config import StepConfig

Method = Literal["cut", "fastcut", "cyclegan"]
Size = Literal["small", "full"]
_LEAST_CROP = 32


@dataclass(frozen=True)
class PublishedMethod:
    """A row of the table of methods.

    Attributes:
        weights: of the losses by name; those of the two parts of a discriminator's loss among them.
        epochs: for how many passes over the larger section it was published.
        falling: the last fraction of the steps, in which the rate falls to zero.
        antialias: blurs where the resolution changes.
        mirrors: half of the steps learn that a mirrored image has a mirrored translation.
    """

    weights: dict[str, float]
    epochs: int
    falling: float
    antialias: bool
    mirrors: bool = False


_JUDGED = {"made": 0.5, "real": 0.5}
METHODS: dict[Method, PublishedMethod] = {
    "cut": PublishedMethod({"adversarial": 1.0, "nce": 0.5, "nce_identity": 0.5, **_JUDGED}, 400, 0.5, True),
    "fastcut": PublishedMethod({"adversarial": 1.0, "nce": 10.0, **_JUDGED}, 200, 0.25, True, mirrors=True),
    "cyclegan": PublishedMethod({"adversarial": 1.0, "cycle": 10.0, "identity": 5.0, **_JUDGED}, 200, 0.5, False),
}


@dataclass(frozen=True)
class TranslationConfig(StepConfig):
    """CUT and FastCUT (Park et al., ECCV 2020), CycleGAN (Zhu et al., ICCV 2017).

    Attributes:
        method: of these.
        size: "full": the published networks, for GPUs; "small": for two cores.
        crop: side in pixels of the squares that are learned from, cut at the images' own resolution.
        patches: places compared in each map (CUT, FastCUT).
        seed: of every draw.
        precision: of the hidden layers, "auto", "float32" or "bfloat16".
    """

    steps: int = 800  # some 16 minutes at the small size on two cores
    batch: int = 1
    learning_rate: float = 2e-4
    report_every: int = 50
    method: Method = "cut"
    size: Size = "small"
    crop: int = 256
    patches: int = 256
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop < _LEAST_CROP or self.crop % STRIDE:
            raise ValueError(f"a crop is at least {_LEAST_CROP} pixels and a multiple of {STRIDE}, not {self.crop}")
        if self.patches < 2:
            raise ValueError(f"at least 2 patches are compared with one another, not {self.patches}")

    @property
    def published(self) -> PublishedMethod:
        """The method's row."""
        return METHODS[self.method]

    @property
    def generator(self) -> GeneratorConfig:
        """The shape of each generator."""
        if self.size == "full":
            return GeneratorConfig(antialias=self.published.antialias)
        return GeneratorConfig(channels=16, blocks=4, antialias=self.published.antialias, correction=True)

    @property
    def discriminator(self) -> DiscriminatorConfig:
        """The shape of each discriminator."""
        if self.size == "full":
            return DiscriminatorConfig(antialias=self.published.antialias)
        return DiscriminatorConfig(channels=32, antialias=False)
