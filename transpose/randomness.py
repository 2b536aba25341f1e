"""Random streams: one seed, one named stream per purpose, so that a draw added in one place shifts no other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from transpose.errors import TransposeError


def _entropy(seed: int, purpose: tuple[str, ...]) -> list[int]:
    if seed < 0:
        raise TransposeError(f"a seed is a whole number from 0 on, not {seed}")
    return [seed, *(zlib.crc32(word.encode()) for word in purpose)]


def stream(seed: int, *purpose: str) -> np.random.Generator:
    """The NumPy generator of one purpose, such as `stream(seed, "viewpoints", section)`."""
    return np.random.default_rng(_entropy(seed, purpose))


def derived_seed(seed: int, *purpose: str) -> int:
    """A 63-bit seed for code that takes a number instead of a generator."""
    return int(np.random.SeedSequence(_entropy(seed, purpose)).generate_state(1, np.uint64)[0]) >> 1


def torch_stream(seed: int, *purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """The PyTorch generator of one purpose, on the device where its numbers are used."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derived_seed(seed, *purpose))
    return generator


@contextmanager
def apart(seed: int = 0) -> Iterator[None]:
    """What draws from PyTorch's own generator, as weights of new modules do, draws by a seed; others notice nothing.

    Modules are to be made on the CPU: a GPU's generators are neither seeded nor moved.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
