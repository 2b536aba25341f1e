"""Checkpoints that others published, by their parameters' names: DSAC*, ACE, CrossLoc.

Each tensor of a file is used exactly once, under the name that it has here; what is missing, left over or of another
shape is named. The architecture is read off the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.models.ace import AceHeadConfig
from transpose.models.crossloc import CrossLocConfig
from transpose.models.dsacstar import DsacStarConfig
from transpose.models.networks import build_network

_LISTED = 4
_SILENT: dict[str, Any] = {"kind": "none", "tail": "gaussian", "dof": 5.0, "log_bounds": None}
_ENCODER = (
    "conv1", "conv2", "conv3", "conv4", "res1_conv1", "res1_conv2", "res1_conv3",
    "res2_conv1", "res2_conv2", "res2_conv3", "res2_skip",
)  # fmt: skip
_DSACSTAR_HEAD = ("res3_conv1", "res3_conv2", "res3_conv3", "fc1", "fc2", "fc3")
# CrossLoc's convolutions with the norm that follows each, in the order of our layers.
_CROSSLOC_STEM = (("conv1", "norm1"), ("conv2", "norm2"), ("conv3", "norm3"), ("conv4", "norm4"))
_ADDED_BLOCKS = 2
_IN_SEQUENTIAL = ((0, 1), (3, 4), (6, 7))  # convolution and norm in a residual block that was added


@dataclass(frozen=True)
class Published:
    """A checkpoint in our terms: what `runs.save_model` keeps of a network.

    Attributes:
        network, config: of `build_network`.
        weights: of `load_network_state`.
        uncertainty: what its outputs on their error mean, as a state of `StatedUncertainty`.
        height: rows of the images that it was trained on.
    """

    network: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    uncertainty: dict[str, Any]
    height: int = 480


def dsacstar(state: Mapping[str, Tensor]) -> Published:
    """DSAC*'s network, the tiny one too, from the file that its training writes (`.net`).

    Raises:
        TransposeError: it is another network.
    """
    _need(state, "conv4.weight", "DSAC*")
    tiny = state["conv4.weight"].shape[0] == 128
    names: dict[str, str] = {}
    for layer in (*_ENCODER, *_DSACSTAR_HEAD):
        if layer == "res2_skip" and tiny:
            continue
        half = "encoder" if layer in _ENCODER else "head"
        names |= {f"{layer}.{part}": f"{half}.{layer}.{part}" for part in ("weight", "bias")}
    names["mean"] = "head.mean"
    config = asdict(DsacStarConfig(tiny=tiny))
    return Published("dsacstar", config, _renamed(state, names, "DSAC*", "dsacstar", config), _SILENT)


def ace_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of ACE's encoder as those of `DsacStarEncoder`, by the same names.

    Raises:
        TransposeError: it is something else.
    """
    wanted = {f"{layer}.{part}" for layer in _ENCODER for part in ("weight", "bias")}
    if differing := sorted(wanted ^ state.keys()):
        raise TransposeError(f"this is not ACE's encoder: {_some(differing)} {_verb(differing)} missing or too much")
    return {name: value.float() for name, value in state.items()}


def ace(head: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> Published:
    """ACE's map of a scene (its head, `.pt`) together with the encoder that all of its maps share.

    Raises:
        TransposeError: one of them is something else, or they do not fit each other.
    """
    for wanted in ("fc3.weight", "res3_conv1.weight", "mean"):
        _need(head, wanted, "ACE's head")
    # Files of 2023 number the layers of the extra blocks `0c1`; later ones have `res_blocks.0.1`.
    state = {re.sub(r"^(\d+)c([0-2])\.", r"res_blocks.\1.\2.", name): value for name, value in head.items()}
    blocks = len({name.split(".")[1] for name in state if name.startswith("res_blocks.")})
    homogeneous = state["fc3.weight"].shape[0] == 4
    scales = {name: float(state[name]) for name in ("max_scale", "min_scale") if name in state}
    config = asdict(
        AceHeadConfig(
            state["res3_conv1.weight"].shape[1], state["res3_conv1.weight"].shape[0], blocks, homogeneous, **scales
        )
    )
    names = {f"encoder.{name}": f"encoder.{name}" for name in ace_encoder(encoder)}
    for part in ("weight", "bias"):
        for i in range(3):
            names[f"res3_conv{i + 1}.{part}"] = f"head.blocks.0.convs.{i}.{part}"
            for block in range(blocks):
                names[f"res_blocks.{block}.{i}.{part}"] = f"head.blocks.{block + 1}.convs.{i}.{part}"
        if f"head_skip.{part}" in state:
            names[f"head_skip.{part}"] = f"head.blocks.0.skip.{part}"
        names |= {f"{layer}.{part}": f"head.{layer}.{part}" for layer in ("fc1", "fc2", "fc3")}
    names["mean"] = "head.mean"
    derived = {"max_scale", "min_scale", "max_inv_scale", "h_beta", "min_inv_scale"}  # of the two scales
    whole = {f"encoder.{name}": value for name, value in encoder.items()}
    whole |= {name: value for name, value in state.items() if name not in derived}
    return Published("ace", config, _renamed(whole, names, "ACE", "ace", config), _SILENT)


def crossloc(state: Mapping[str, Tensor]) -> Published:
    """CrossLoc's network for coordinates: encoder and decoder in one file, as its training writes it.

    Its positive output is a standard deviation, alike in all directions, whose logarithm the last layer gives.

    Raises:
        TransposeError: it is another network, a tiny or grey one, one of several representations, or of another task.
    """
    for wanted in ("encoder.conv1.weight", "encoder.conv4.weight", "decoder.fc3.weight", "decoder.mean"):
        _need(state, wanted, "CrossLoc")
    if any(name.startswith("mlr_") for name in state):
        raise TransposeError("this is CrossLoc's fusion of several representations; only single-task networks load")
    if state["encoder.conv1.weight"].shape[1] != 3 or state["encoder.conv4.weight"].shape[0] != 256:
        raise TransposeError("this is CrossLoc's tiny or grey network; the RGB network of full size loads")
    outputs, task = state["decoder.fc3.weight"].shape[0], state["decoder.mean"].numel()
    if task != 3 or outputs not in (3, 4):
        raise TransposeError(
            f"this network of CrossLoc has {outputs} outputs, {task} for its task; 3 coordinates make a localizer"
        )
    names = _crossloc_names(state)
    config = asdict(CrossLocConfig("coord", outputs - task))
    stated = {**_SILENT, "kind": "isotropic"} if outputs > task else _SILENT
    rest = {name: value for name, value in state.items() if name != "mean"}  # the same as the decoder's
    weights = _renamed(rest, names, "CrossLoc", "crossloc", config)
    return Published("crossloc", config, weights, stated)


def _crossloc_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    pairs: list[tuple[str, str, str]] = []
    for i, (conv, norm) in enumerate(_CROSSLOC_STEM):
        pairs.append((f"encoder.{conv}", f"encoder.{norm}", f"encoder.layers.{i}"))
    for block in (1, 2):
        pairs += [
            (f"encoder.res{block}_conv{i}", f"encoder.res{block}_norm{i}", f"encoder.layers.{3 + block}.branch.{i - 1}")
            for i in (1, 2, 3)
        ]
    pairs.append(("encoder.res2_skip", "encoder.res2_skip_norm", "encoder.layers.5.skip"))
    for half, prefix, first in (("encoder", "enc", 6), ("decoder", "dec", 0)):
        for block in range(_ADDED_BLOCKS):
            theirs, ours = f"{half}.{prefix}_add_res_block{block + 1}", f"{half}.layers.{first + block}.branch"
            pairs += [
                (f"{theirs}.{conv}", f"{theirs}.{norm}", f"{ours}.{i}") for i, (conv, norm) in enumerate(_IN_SEQUENTIAL)
            ]
    pairs += [(f"decoder.res3_conv{i}", f"decoder.res3_norm{i}", f"decoder.layers.2.branch.{i - 1}") for i in (1, 2, 3)]
    pairs += [
        ("decoder.fc1", "decoder.fc1_norm", "decoder.layers.3"),
        ("decoder.fc2", "decoder.fc2_norm", "decoder.layers.4"),
    ]
    names = {}
    for part in ("weight", "bias"):
        for conv, norm, layer in pairs:
            names[f"{conv}.{part}"] = f"{layer}.conv.{part}"
            names[f"{norm}.{part}"] = f"{layer}.norm.{part}"
        names[f"decoder.fc3.{part}"] = f"decoder.last.{part}"
    names["decoder.mean"] = "decoder.mean"
    return {theirs: re.sub("^decoder", "head", ours) for theirs, ours in names.items()}


def _renamed(
    state: Mapping[str, Tensor], names: dict[str, str], whose: str, network: str, config: dict[str, Any]
) -> dict[str, Tensor]:
    """The tensors under our names, in float32 and of the shapes that our network has."""
    if lost := [name for name in names if name not in state]:
        raise TransposeError(f"this is not {whose}'s network: it lacks {_some(lost)}")
    if more := sorted(state.keys() - names.keys()):
        raise TransposeError(f"this is not {whose}'s network: it has {_some(more)} besides")
    with torch.device("meta"):
        wanted = build_network(network, config).state_dict()
    renamed = {}
    for theirs, ours in names.items():
        value = state[theirs].float()
        if ours == "head.mean":
            value = value.reshape(-1)
        if value.shape != wanted[ours].shape:
            raise TransposeError(
                f"{theirs} has the shape {tuple(value.shape)}, where {whose}'s has {tuple(wanted[ours].shape)}"
            )
        renamed[ours] = value
    return renamed


def _need(state: Mapping[str, Tensor], name: str, whose: str) -> None:
    if name not in state:
        have = _some(sorted(state)) if state else "nothing"
        raise TransposeError(f"this is not a checkpoint of {whose}: it has no {name}, but {have}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _verb(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
