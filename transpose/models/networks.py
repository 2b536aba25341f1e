"""All networks that a run may hold, one row each: how it is built, and how its weights lie on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.models.ace import AceHead, AceHeadConfig
from transpose.models.adapter import AdaptedEncoder, Adapter, AdapterConfig
from transpose.models.crossloc import CrossLocConfig, crossloc_network
from transpose.models.dsacstar import DsacStarConfig, DsacStarEncoder, dsacstar_network
from transpose.models.heads import CoordinateHead, HeadConfig
from transpose.models.mlr import MlrConfig, mlr_network
from transpose.models.mlr_full import MlrFullConfig, mlr_full_network
from transpose.models.network import Network
from transpose.models.recognition import Recognition, RecognitionConfig
from transpose.models.xfeat import XFeatEncoder


@dataclass(frozen=True)
class NetworkKind:
    """A row of the table.

    Attributes:
        build: the network of random weights, from the fields of its configuration.
        half: weights whose names begin so are stored as float16, whose three digits are one more than the bfloat16
            arithmetic of hidden layers uses.
    """

    build: Callable[[dict[str, Any]], Network]
    half: str | tuple[str, ...] = ()


def _ace(config: AceHeadConfig) -> Network:
    """On ACE's own encoder, which is DSAC*'s first half."""
    return Network(DsacStarEncoder(DsacStarConfig().widths, config.in_channels), AceHead(config), frozen=True)


def _fast(*, map_points: int = 0, **head: Any) -> Network:
    """The head of these fields on XFeat; `map_points` that it also recognizes at keypoints, 0: it does not."""
    shape = HeadConfig(**head)
    network = Network(XFeatEncoder(), CoordinateHead(shape), frozen=True)
    if map_points:
        network.recognition = Recognition(RecognitionConfig(map_points, shape.in_channels))
    return network


def _adapted(*, adapter: dict[str, Any], **head: Any) -> Network:
    """As `fast`, on adapted features; `adapter` and `head` are the fields of their configurations."""
    encoder = AdaptedEncoder(XFeatEncoder(), Adapter(AdapterConfig(**adapter)))
    return Network(encoder, CoordinateHead(HeadConfig(**head)), frozen=True)


_ADAPTER_LAYERS = tuple(f"encoder.adapter.{layer}." for layer in Adapter.LAYERS)

NETWORKS: dict[str, NetworkKind] = {
    "fast": NetworkKind(
        lambda config: _fast(**config),
        half=("head.body.", "recognition.keys_kd", *(f"recognition.adapter.{layer}." for layer in Adapter.LAYERS)),
    ),
    "fast-adapted": NetworkKind(
        lambda config: _adapted(**config),
        half=("head.body.", *_ADAPTER_LAYERS),
    ),
    "mlr": NetworkKind(
        lambda config: mlr_network(MlrConfig.from_plain(config)),
        half=("head.coordinates.body.", "head.encoders.", "head.fusion.", *_ADAPTER_LAYERS),
    ),
    "mlr-full": NetworkKind(lambda config: mlr_full_network(MlrFullConfig.from_plain(config))),
    "ace-xfeat": NetworkKind(
        lambda config: Network(XFeatEncoder(), AceHead(AceHeadConfig(**config)), frozen=True), half="head."
    ),
    "ace": NetworkKind(lambda config: _ace(AceHeadConfig(**config)), half="head."),
    "dsacstar": NetworkKind(lambda config: dsacstar_network(DsacStarConfig(**config))),
    "crossloc": NetworkKind(lambda config: crossloc_network(CrossLocConfig(**config))),
}


def build_network(name: str, config: dict[str, Any]) -> Network:
    """A network of random weights with `encoder` and `head`.

    Args:
        name: of the kind.
        config: fields of its configuration.

    Raises:
        TransposeError: this version knows no such network, or it has no such fields.
    """
    if name not in NETWORKS:
        raise TransposeError(f"this version knows no network {name!r}, only {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[name].build(config)
    except TypeError as error:
        raise TransposeError(f"the configuration of the network {name!r} does not fit this version ({error})") from None


def network_state(network: Network) -> dict[str, Tensor]:
    """All weights and buffers that a checkpoint must keep: an encoder that the package brings is left out."""
    brought = _brought(network)
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if name not in brought}


def stored_weights(name: str, network: Network) -> dict[str, Tensor]:
    """`network_state` as it goes to disk: as float16 what the kind allows, and what of a frozen encoder came as such.

    Args:
        name: of the kind.
        network: of that kind.
    """
    half = NETWORKS[name].half

    def fits(key: str, value: Tensor) -> bool:
        if key.startswith(half):
            return True
        return network.frozen and key.startswith("encoder.") and torch.equal(value.half().float(), value)

    return {
        key: value.half() if value.dtype == torch.float32 and fits(key, value) else value
        for key, value in network_state(network).items()
    }


def load_network_state(network: Network, state: dict[str, Tensor]) -> None:
    """Restores `network_state`; strictly.

    Raises:
        RuntimeError: names or shapes do not fit.
    """
    brought = _brought(network)
    if foreign := sorted(state.keys() & brought.keys()):
        raise RuntimeError(f"unexpected {foreign[0]}")
    network.load_state_dict(state | brought)


def _brought(network: Network) -> dict[str, Tensor]:
    """Weights and buffers that come with the package."""
    part = network.encoder.bundled
    prefix = "\0" if part is None else "encoder." + part
    return {name: value for name, value in network.state_dict().items() if name.startswith(prefix)}
