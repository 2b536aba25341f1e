"""Unpaired batches: crops of two sections, which have nothing to do with each other but the place they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.randomness import derived_seed, stream
from transpose.scenes.layout import Frame, Section
from transpose.training.draws import batch_part
from transpose.training.look_ahead import LookAhead
from transpose.training.ranks import Ranks
from transpose.training.sources import Source

UNSEEN = -1.0  # black: what a discriminator sees where one of the images shows nothing


class ImagePairs(NamedTuple):
    """Crops of both sections, in -1..1.

    Attributes:
        a_b3hw, b_b3hw: of either.
        seen_b1hw: whether the pixel shows something in both: renders have holes.
        seed: of what else is drawn at this step.
    """

    a_b3hw: Tensor
    b_b3hw: Tensor
    seen_b1hw: Tensor
    seed: int

    def judged(self, image_b3hw: Tensor) -> Tensor:
        """An image as a discriminator sees it: where either has a hole, all have, so that holes tell nothing."""
        return torch.where(self.seen_b1hw, image_b3hw, UNSEEN)

    def mirrored(self) -> ImagePairs:
        """Left and right exchanged."""
        return ImagePairs(self.a_b3hw.flip(3), self.b_b3hw.flip(3), self.seen_b1hw.flip(3), self.seed)


@dataclass(frozen=True)
class Side:
    """The frames of one section, and whether those without depth at a pixel have a hole there."""

    frames: Sequence[Frame]
    rendered: bool

    @classmethod
    def of(cls, section: Section, crop: int) -> Side:
        """Of a section whose images hold crops of that side.

        Raises:
            TransposeError: one of them is smaller.
        """
        for frame in section.frames:
            if min(frame.camera.width, frame.camera.height) < crop:
                raise TransposeError(
                    f"{frame.paths['rgb']} is {frame.camera.width} x {frame.camera.height}, smaller than the crops of "
                    f"{crop} pixels that are learned from; set a smaller --crop"
                )
        return cls(section.frames, section.facts.rendered)

    def crop(self, seed: int, name: str, place: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A random square (side, side, 3) of a place in an endless sequence of the frames, and what it shows.

        All frames once before any comes again; half of the squares are mirrored.
        """
        epoch, position = divmod(place, len(self.frames))
        which = int(stream(seed, name, "epoch", str(epoch)).permutation(len(self.frames))[position])
        image_hw3, seen_hw = image_and_seen(self.frames[which], self.rendered)
        rng = np.random.default_rng(derived_seed(seed, name, "crop", str(place)))
        row, column = (int(rng.integers(size - side + 1)) for size in seen_hw.shape)
        window = slice(row, row + side), slice(column, column + side)
        step = -1 if rng.random() < 0.5 else 1
        return image_hw3[window][:, ::step], seen_hw[window][:, ::step]


def image_and_seen(frame: Frame, rendered: bool) -> tuple[np.ndarray, np.ndarray]:
    """An image (h, w, 3) uint8 and which of its pixels (h, w) show something: all but the holes of renders."""
    image_hw3 = frame.image()
    if rendered and frame.has("depth"):
        return image_hw3, np.isfinite(frame.depth())
    return image_hw3, np.ones(image_hw3.shape[:2], bool)


class PairSource(Source):
    """Crops of both sections, each in its own order; the larger one does not wait for the smaller one to be done.

    Args:
        a, b: the sections.
        crop: side of the squares.
        batch_size: squares of either a step, over all ranks; a section may have fewer images.
    """

    def __init__(
        self, a: Side, b: Side, crop: int, batch_size: int, *, seed: int, device: torch.device, ranks: Ranks
    ) -> None:
        self._sides, self._crop_px = {"a": a, "b": b}, crop
        self._batch_size, self._seed, self._device, self._ranks = batch_size, seed, device, ranks
        self._crops = LookAhead(self._crops_at)

    def batch(self, step: int, part: int, parts: int) -> tuple[ImagePairs, None]:
        """See `Source`; a translation is held against nothing."""
        crops = self._crops.take(step * parts + part, lambda index: self._places(*divmod(index, parts), parts))
        a_bhw3, a_seen_bhw, b_bhw3, b_seen_bhw = (
            torch.from_numpy(np.stack(each)).to(self._device) for each in zip(*crops, strict=True)
        )
        a_b3hw, b_b3hw = (centred(each) for each in (a_bhw3, b_bhw3))
        seed = derived_seed(self._seed, "step", str(step), str(part), str(self._ranks.rank))
        return ImagePairs(a_b3hw, b_b3hw, (a_seen_bhw & b_seen_bhw)[:, None], seed), None

    def close(self) -> None:
        """See `Source`."""
        self._crops.close()

    def _places(self, step: int, part: int, parts: int) -> list[int]:
        places = batch_part(torch.arange(step * self._batch_size, (step + 1) * self._batch_size), part, parts)
        mine: list[int] = self._ranks.shard(places).tolist()
        return mine

    def _crops_at(self, place: int) -> tuple[np.ndarray, ...]:
        crops = (side.crop(self._seed, name, place, self._crop_px) for name, side in self._sides.items())
        return tuple(np.ascontiguousarray(each) for crop in crops for each in crop)


def centred(image_bhw3: Tensor) -> Tensor:
    """uint8 images (b, h, w, 3) as networks take them: (b, 3, h, w) float32 in -1..1."""
    return image_bhw3.permute(0, 3, 1, 2).float() / 127.5 - 1
