"""All networks that a run may hold, by name: an encoder of images and a head that answers with scene coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from transpose.errors import TransposeError
from transpose.models.ace import AceHead, AceHeadConfig
from transpose.models.crossloc import CrossLocConfig, crossloc_network
from transpose.models.dsacstar import DsacStarConfig, DsacStarEncoder, dsacstar_network
from transpose.models.heads import CoordinateHead, HeadConfig
from transpose.models.network import Network
from transpose.models.xfeat import XFeatEncoder

_BUILDERS: dict[str, Callable[[dict[str, Any]], Network]] = {
    "fast": lambda config: Network(XFeatEncoder(), CoordinateHead(HeadConfig(**config)), frozen=True),
    "ace-xfeat": lambda config: Network(XFeatEncoder(), AceHead(AceHeadConfig(**config)), frozen=True),
    "ace": lambda config: _ace(AceHeadConfig(**config)),
    "dsacstar": lambda config: dsacstar_network(DsacStarConfig(**config)),
    "crossloc": lambda config: crossloc_network(CrossLocConfig(**config)),
}


def _ace(config: AceHeadConfig) -> Network:
    """On ACE's own encoder, which is DSAC*'s first half."""
    return Network(DsacStarEncoder(DsacStarConfig().widths, config.in_channels), AceHead(config), frozen=True)


def build_network(name: str, config: dict[str, Any]) -> Network:
    """A network of random weights with `encoder` and `head`.

    Args:
        name: of the kind.
        config: fields of its configuration.

    Raises:
        TransposeError: this version knows no such network, or it has no such fields.
    """
    if name not in _BUILDERS:
        raise TransposeError(f"this version knows no network {name!r}, only {', '.join(sorted(_BUILDERS))}")
    try:
        return _BUILDERS[name](config)
    except TypeError as error:
        raise TransposeError(f"the configuration of the network {name!r} does not fit this version ({error})") from None


def network_state(network: Network) -> dict[str, Tensor]:
    """What a checkpoint keeps: all weights and buffers but XFeat's, which the package brings."""
    skip = "encoder." if isinstance(network.encoder, XFeatEncoder) else "\0"
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if not name.startswith(skip)}


def load_network_state(network: Network, state: dict[str, Tensor]) -> None:
    """Restores `network_state`; strictly.

    Raises:
        RuntimeError: names or shapes do not fit.
    """
    bare = isinstance(network.encoder, XFeatEncoder)
    inner, prefix = (network.head, "head.") if bare else (network, "")
    foreign = [name for name in state if not name.startswith(prefix)]
    if foreign:
        raise RuntimeError(f"unexpected {foreign[0]}")
    inner.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
