"""Generators and discriminators as one module whose outputs are losses: the one loop trains it as any network.

The generators' loss passes through a discriminator whose weights are detached, the discriminator's sees images that
are: one sum then has for each the gradient of its own loss. Both take their step from the same weights, where the
published programs take the discriminator's first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transpose.losses.adversarial import looks_made, looks_real
from transpose.losses.patch_nce import patch_nce
from transpose.models.translation.discriminator import DiscriminatorConfig, PatchDiscriminator
from transpose.models.translation.generator import Generator, GeneratorConfig
from transpose.models.translation.patches import PatchProjections, patch_places
from transpose.training.translation.pairs import ImagePairs
from transpose.training.translation.pool import Pool


class TranslationLosses(nn.Module):
    """Losses of a batch of pairs, (b, k), in the order of `names`.

    Attributes:
        names: of the losses.
        generators: "to_b" translates a into b, "to_a" b into a where the method learns that.
        discriminators: by the side whose images they know.
    """

    names: tuple[str, ...]
    generators: nn.ModuleDict
    discriminators: nn.ModuleDict

    def judges(self) -> list[nn.Parameter]:
        """The discriminators' weights."""
        return list(self.discriminators.parameters())

    def makers(self) -> list[nn.Parameter]:
        """All other weights."""
        judges = {id(weight) for weight in self.judges()}
        return [weight for weight in self.parameters() if id(weight) not in judges]


class ContrastiveLosses(TranslationLosses):
    """CUT, and with `mirrors` and without the identity FastCUT."""

    def __init__(
        self,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        patches: int,
        *,
        identity: bool,
        mirrors: bool,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"to_b": Generator(generator)})
        self.discriminators = nn.ModuleDict({"b": PatchDiscriminator(discriminator)})
        self.projections = PatchProjections(generator.tap_channels)
        self._patches, self._identity, self._mirrors = patches, identity, mirrors
        self.names = ("adversarial", "nce", *(["nce_identity"] if identity else []), "made", "real")

    def forward(self, pairs: ImagePairs) -> Tensor:
        """See the class."""
        generator: Generator = self.generators["to_b"]  # type: ignore[assignment]
        judge = self.discriminators["b"]
        draw = torch.Generator().manual_seed(pairs.seed)
        mirrored = self._mirrors and torch.rand((), generator=draw).item() < 0.5
        shown = pairs.mirrored() if mirrored else pairs
        made_b3hw, keys = generator.with_taps(shown.a_b3hw)
        queries = generator.taps(made_b3hw)
        if mirrored:  # what is made of a mirrored image is held against the image itself
            queries = [each.flip(3) for each in queries]
            with torch.no_grad():
                keys = generator.taps(pairs.a_b3hw)
        losses = [looks_real(_fixed(judge)(shown.judged(made_b3hw))), self._nce(queries, keys, draw)]
        if self._identity:
            kept_b3hw, keys = generator.with_taps(pairs.b_b3hw)
            losses.append(self._nce(generator.taps(kept_b3hw), keys, draw))
        losses += _judged(judge, shown.judged(made_b3hw), shown.judged(shown.b_b3hw))
        return torch.stack(losses, 1)

    def _nce(self, queries: list[Tensor], keys: list[Tensor], draw: torch.Generator) -> Tensor:
        """The mean over the maps (b,)."""
        sizes = [(each.shape[2], each.shape[3]) for each in queries]
        places = patch_places(sizes, self._patches, draw, queries[0].device)
        with torch.no_grad():
            key_vectors = self.projections(keys, places)
        query_vectors = self.projections(queries, places)
        with torch.autocast(queries[0].device.type, enabled=False):  # similarities are divided by a small number
            each = [patch_nce(query, key) for query, key in zip(query_vectors, key_vectors, strict=True)]
        return torch.stack(each).mean(0)


class CycleLosses(TranslationLosses):
    """CycleGAN: both ways, and back again."""

    names = ("adversarial", "cycle", "identity", "made", "real")

    def __init__(self, generator: GeneratorConfig, discriminator: DiscriminatorConfig, crop: int) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({f"to_{side}": Generator(generator) for side in "ba"})
        self.discriminators = nn.ModuleDict({side: PatchDiscriminator(discriminator) for side in "ab"})
        self.pools = nn.ModuleDict({side: Pool(crop) for side in "ab"})

    def forward(self, pairs: ImagePairs) -> Tensor:
        """See the class; each loss is the sum of both ways."""
        draw = torch.Generator().manual_seed(pairs.seed)
        ways = (
            ("b", self.generators["to_b"], self.generators["to_a"], pairs.a_b3hw, pairs.b_b3hw),
            ("a", self.generators["to_a"], self.generators["to_b"], pairs.b_b3hw, pairs.a_b3hw),
        )
        total = [self._one_way(pairs, draw, *way) for way in ways]
        return total[0] + total[1]

    def _one_way(
        self,
        pairs: ImagePairs,
        draw: torch.Generator,
        side: str,
        there: nn.Module,
        back: nn.Module,
        image_b3hw: Tensor,
        real_b3hw: Tensor,
    ) -> Tensor:
        judge = self.discriminators[side]
        made_b3hw = there(image_b3hw)
        judged_b3hw = pairs.judged(made_b3hw)
        losses = [
            looks_real(_fixed(judge)(judged_b3hw)),
            _distance(back(made_b3hw), image_b3hw),
            _distance(there(real_b3hw), real_b3hw),
            *_judged(judge, self.pools[side](judged_b3hw.detach(), draw), pairs.judged(real_b3hw)),
        ]
        return torch.stack(losses, 1)


@dataclass(frozen=True)
class WeightedSum:
    """The sum of a module's losses, by the weights of their names."""

    names: tuple[str, ...]
    weights: Mapping[str, float]

    def __call__(self, raw_nk: Tensor, targets: None, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; what is reported are the losses as they are."""
        weights_k = raw_nk.new_tensor([self.weights[name] for name in self.names])
        facts = dict(zip(self.names, raw_nk.detach().mean(0), strict=True))
        return raw_nk @ weights_k, facts


def _fixed(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A module through which gradients pass, but whose weights get none."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}

    def call(image_b3hw: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(module, weights, (image_b3hw,))
        return out

    return call


def _judged(judge: nn.Module, made_b3hw: Tensor, real_b3hw: Tensor) -> list[Tensor]:
    """Both parts of a discriminator's loss."""
    return [looks_made(judge(made_b3hw.detach())), looks_real(judge(real_b3hw))]


def _distance(first_b3hw: Tensor, second_b3hw: Tensor) -> Tensor:
    """Mean absolute difference of each image (b,)."""
    return (first_b3hw - second_b3hw).abs().flatten(1).mean(1)
