"""A translation in a run folder, and an image through it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.models.precision import autocast
from transpose.models.translation.generator import Generator, GeneratorConfig, padded
from transpose.runs import Checkpoint, StoredNetwork
from transpose.training.translation.config import TranslationConfig
from transpose.training.translation.losses import TranslationLosses
from transpose.training.translation.pairs import centred

KIND = "translation"  # of `Checkpoint`; no method of localization
Way = Literal["to_b", "to_a"]  # sides: "a" is the first section that was learned from, "b" the second


def stored_translation(config: TranslationConfig, losses: TranslationLosses) -> StoredNetwork:
    """What model.pt keeps: the generators. Discriminators and projections are needed to go on with learning alone."""
    weights = {name: value.detach().cpu() for name, value in losses.generators.state_dict().items()}
    shape = {"generator": dataclasses.asdict(config.generator), "ways": list(losses.generators)}
    return StoredNetwork(KIND, shape, weights, {})


def load_translation(run: Path) -> Checkpoint:
    """The checkpoint of a run that translates.

    Raises:
        TransposeError: there is no run, or it does something else.
    """
    checkpoint = runs.load_model(run)
    if checkpoint.kind != KIND or checkpoint.network is None:
        raise TransposeError(f"{run} holds a localizer, which translates nothing; train with: transpose translate")
    return checkpoint


def generator_of(checkpoint: Checkpoint, way: Way = "to_b") -> Generator:
    """The generator of one way.

    Args:
        checkpoint: of `load_translation`.
        way: of the run's.

    Raises:
        TransposeError: that way was not learned, or the weights do not fit.
    """
    assert checkpoint.network is not None
    shape, weights = checkpoint.network.config, checkpoint.network.weights
    a, b = checkpoint.provenance.sections
    if way not in shape["ways"]:
        raise TransposeError(
            f"{checkpoint.provenance.preset} learned the way from {a} to {b} alone; for the way back train another run "
            f"with --a {b} --b {a}, or both at once with --method cyclegan"
        )
    generator = Generator(GeneratorConfig(**shape["generator"]))
    prefix = f"{way}."
    try:
        generator.load_state_dict(
            {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        )
    except RuntimeError as error:
        raise TransposeError(f"the translation's weights do not fit ({str(error).splitlines()[0]})") from None
    return generator.eval()


@torch.no_grad()
def translated(generator: Generator, image_hw3: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """An image (h, w, 3) uint8 of any size through a generator: (h, w, 3) uint8, at full resolution.

    Where sides are no multiples of 4 the border is repeated, and cropped from what comes out.

    Args:
        generator: on the device that is to be used.
        image_hw3: RGB.
        dtype: arithmetic of the hidden layers.
    """
    device = next(generator.parameters()).device
    height, width = image_hw3.shape[:2]
    image_b3hw = padded(centred(torch.from_numpy(np.ascontiguousarray(image_hw3))[None].to(device)))
    with autocast(device, dtype):
        made_b3hw = generator(image_b3hw)
    bytes_hw3 = ((made_b3hw[0, :, :height, :width].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return bytes_hw3.permute(1, 2, 0).cpu().numpy()
