"""Adapters on disk: weights, the encoder that they fit, and a card that says on what they were trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError
from transpose.models.adapter import Adapter, AdapterConfig
from transpose.models.packaged import read_weights
from transpose.storage import refuse_pointer, save_tensors
from transpose.untrusted.values import BAD_VALUES

ENCODER = "xfeat"  # the only one that is adapted so far
_FORMAT = 1


def save_adapter(path: Path, adapter: Adapter, card: dict[str, Any]) -> None:
    """Writes an adapter in half precision.

    Args:
        path: of the file.
        adapter: of XFeat's features.
        card: on what it was trained and what it does, plain values.
    """
    weights = {
        name: value.detach().cpu().half() if name.split(".")[0] in Adapter.LAYERS else value.detach().cpu()
        for name, value in adapter.state_dict().items()
    }
    content = {
        "format": _FORMAT,
        "encoder": ENCODER,
        "config": dataclasses.asdict(adapter.config),
        "weights": weights,
        "card": card,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, content)


def load_adapter(path: Path) -> tuple[Adapter, dict[str, Any]]:
    """An adapter, frozen, and its card.

    Raises:
        TransposeError: there is no such file; it is no adapter, or one of another encoder; its weights are broken.
    """
    content = _read(path)
    if not isinstance(content["encoder"], str) or content["encoder"] != ENCODER:
        raise TransposeError(f"{path} adapts the features of {content['encoder']!r}, not {ENCODER}'s; take another one")
    try:
        config = AdapterConfig(**content["config"])
        if tuple(content["weights"]["first.weight"].shape) != (config.width, config.channels):
            raise ValueError(f"its first layer is not {config.width} x {config.channels}")
        adapter = Adapter(config)
        adapter.load_state_dict({name: value.float() for name, value in content["weights"].items()})
    except (*BAD_VALUES, RuntimeError) as error:
        raise TransposeError(f"the adapter {path} does not fit ({' '.join(str(error).split())[:200]})") from None
    sizes, known = ((each.channels, each.descriptor_channels) for each in (adapter.config, AdapterConfig()))
    if sizes != known:
        raise TransposeError(f"{path} adapts {sizes[0]} features to {sizes[1]}; of {ENCODER} there are {known}")
    if not all(bool(value.isfinite().all()) for value in adapter.state_dict().values()):
        raise TransposeError(f"the adapter {path} holds weights that are no numbers; make it anew")
    return adapter.requires_grad_(False).eval(), content["card"]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TransposeError(f"there is no adapter {path}")
    refuse_pointer(path)
    content = read_weights(path)
    if content.keys() != {"format", "encoder", "config", "weights", "card"}:
        raise TransposeError(f"{path} is no adapter; python benchmarks/pretrain_adapter.py makes one")
    if not isinstance(content["format"], int) or not isinstance(content["card"], dict):
        raise TransposeError(f"{path} is a damaged adapter: its format or its card is none")
    if content["format"] != _FORMAT:
        raise TransposeError(f"{path} is an adapter of a newer version of this program (format {content['format']})")
    return content
