"""Weight files that packages carry: found by where the package lies, and read as files; its code is never imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from transpose.errors import TransposeError
from transpose.untrusted.tensors import load_tensors


def packaged_file(package: str, *parts: str, remedy: str) -> Path:
    """A file of an installed package.

    Args:
        package: as it is imported.
        parts: of the file's path within it.
        remedy: the command that installs it.

    Raises:
        TransposeError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder).joinpath(*parts)
        if path.is_file():
            return path
    raise TransposeError(f"the weights {parts[-1]} are missing; install them with: {remedy}")


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors of a weight file by name; nothing in it is executed.

    Raises:
        TransposeError: it cannot be read.
    """
    try:
        content = load_tensors(path)
    except Exception as error:  # broken pickles raise nearly anything
        why = (str(error) or type(error).__name__).splitlines()[0]  # some, as of an empty file, say nothing
        raise TransposeError(
            f"the weights {path} do not load ({why}): no file of PyTorch, or not a whole one; fetch or make it anew"
        ) from None
    if not isinstance(content, dict):
        raise TransposeError(f"the weights {path} are no dictionary of tensors but {type(content).__name__}")
    return content


def loaded(network: nn.Module, weights: Mapping[str, Any], path: Path, derived: str | None = None) -> nn.Module:
    """A network with its weights, frozen.

    Args:
        network: of random weights.
        weights: all of its tensors by name.
        path: where they come from.
        derived: a buffer that the network computes for itself, and that its files lack.

    Raises:
        TransposeError: some are missing, too many, or of another shape.
    """
    own = {} if derived is None else {derived: network.state_dict()[derived]}
    try:
        network.load_state_dict({**own, **weights})
    except RuntimeError as error:
        raise TransposeError(f"the weights {path} do not fit ({' '.join(str(error).split())[:200]})") from None
    return network.requires_grad_(False).eval()
