"""Checkpoints that others published, by their parameters' names: DSAC*, ACE, CrossLoc.

Each tensor of a file is used exactly once, under the name that it has here; what is missing, left over, of another
shape or not a finite number is named. The architecture is read off the shapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from transpose.errors import TransposeError
from transpose.models.ace import AceHeadConfig
from transpose.models.crossloc import CrossLocConfig
from transpose.models.dsacstar import DsacStarConfig, DsacStarEncoder
from transpose.models.networks import build_network

_LISTED = 4
_NO_UNCERTAINTY: dict[str, Any] = {"kind": "none", "tail": "gaussian", "dof": 5.0, "log_bounds": None}
_ENCODER = (
    "conv1", "conv2", "conv3", "conv4", "res1_conv1", "res1_conv2", "res1_conv3",
    "res2_conv1", "res2_conv2", "res2_conv3", "res2_skip",
)  # fmt: skip
_RES3 = ("res3_conv1", "res3_conv2", "res3_conv3")
_LAST = ("fc1", "fc2", "fc3")
_ACE_SCALES = ("max_scale", "min_scale", "max_inv_scale", "min_inv_scale", "h_beta")
_HALF_PRECISION = 2e-3
# CrossLoc's convolutions with the norm that follows each, in the order of our layers.
_CROSSLOC_STEM = (("conv1", "norm1"), ("conv2", "norm2"), ("conv3", "norm3"), ("conv4", "norm4"))
_ADDED_BLOCKS = 2
_IN_SEQUENTIAL = ((0, 1), (3, 4), (6, 7))  # convolution and norm in a residual block that was added
# Tensors by which a file tells what it is, the most telling first.
_KINDS = (
    ("CrossLoc's fusion of several representations", ("mlr_encoder_1.conv1.weight",)),
    ("CrossLoc's network", ("encoder.norm1.weight", "decoder.fc3.weight")),
    ("DSAC*'s network", ("conv1.weight", "fc3.weight")),
    ("ACE's head", ("res3_conv1.weight", "fc3.weight")),
    ("ACE's encoder", ("conv1.weight", "res2_skip.weight")),
)


@dataclass(frozen=True)
class Published:
    """A checkpoint in our terms: what `runs.save_model` keeps of a network.

    Attributes:
        network, config: of `build_network`.
        weights: of `load_network_state`, as precise as the file has them.
        uncertainty: what its outputs on their error mean, as a state of `PredictedUncertainty`.
        origin: of the run's coordinates, whole metres near the mean that the file adds to its outputs; the rest of that
            mean is left to the network. So outputs are small numbers, and float32 keeps their digits.
        height: rows of the images that it was trained on.
    """

    network: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    uncertainty: dict[str, Any]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    height: int = 480


def dsacstar(state: Mapping[str, Tensor]) -> Published:
    """DSAC*'s network, the tiny one too, from the file that its training writes (`.net`).

    Raises:
        TransposeError: it is another network.
    """
    tiny = _size(state, "conv4.weight", 0, "DSAC*'s network") == 128
    names: dict[str, str] = {}
    for layer in (*_ENCODER, *_RES3, *_LAST):
        if layer == "res2_skip" and tiny:
            continue
        half = "encoder" if layer in _ENCODER else "head"
        names |= {f"{layer}.{part}": f"{half}.{layer}.{part}" for part in ("weight", "bias")}
    names["mean"] = "head.mean"
    return _converted(state, names, "DSAC*'s network", "dsacstar", asdict(DsacStarConfig(tiny=tiny)))


def ace_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of ACE's encoder as those of `DsacStarEncoder`, by the same names.

    Raises:
        TransposeError: it is something else.
    """
    whose = "ACE's encoder"
    channels = _size(state, "res2_conv3.weight", 0, whose)
    with torch.device("meta"):
        wanted = DsacStarEncoder(DsacStarConfig().widths, channels)
    names = {f"{layer}.{part}": f"{layer}.{part}" for layer in _ENCODER for part in ("weight", "bias")}
    return _renamed(state, names, whose, wanted)


def ace(head: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> Published:
    """ACE's map of a scene (its head, `.pt`) together with the encoder that all of its maps share.

    Raises:
        TransposeError: one of them is something else, or they do not fit each other.
    """
    whose = "ACE's head"
    # The file's names number the layers of the extra blocks `0c1`; those of a later revision are `res_blocks.0.1`.
    state = {re.sub(r"^(\d+)c([0-2])\.", r"res_blocks.\1.\2.", name): value for name, value in head.items()}
    if len(state) < len(head):
        raise TransposeError(f"this is not {whose}: it names the layers of its blocks in two ways")
    blocks = len({name.split(".")[1] for name in state if name.startswith("res_blocks.")})
    width, channels = (_size(state, "res3_conv1.weight", axis, whose) for axis in (0, 1))
    if _size(state, "fc3.weight", 0, whose) == 4:
        config = AceHeadConfig(channels, width, blocks, True, *_ace_weight(state))
        state = {name: value for name, value in state.items() if name not in _ACE_SCALES}
    else:
        config = AceHeadConfig(channels, width, blocks, homogeneous=False)
    names = {}
    for part in ("weight", "bias"):
        for i in range(3):
            names[f"res3_conv{i + 1}.{part}"] = f"head.blocks.0.convs.{i}.{part}"
            for block in range(blocks):
                names[f"res_blocks.{block}.{i}.{part}"] = f"head.blocks.{block + 1}.convs.{i}.{part}"
        if channels != width:
            names[f"head_skip.{part}"] = f"head.blocks.0.skip.{part}"
        names |= {f"{layer}.{part}": f"head.{layer}.{part}" for layer in _LAST}
    names["mean"] = "head.mean"
    converted = _converted(state, names, whose, "ace", asdict(config))
    encoding = ace_encoder(encoder)
    if len(encoding["res2_conv3.weight"]) != channels:
        raise TransposeError(
            f"the head is for features of {channels} channels, its encoder makes {len(encoding['res2_conv3.weight'])}"
        )
    weights = converted.weights | {f"encoder.{name}": value for name, value in encoding.items()}
    return replace(converted, weights=weights)


def _ace_weight(state: Mapping[str, Tensor]) -> tuple[float, float, float]:
    """Bounds and sharpness of the homogeneous weight (`AceHeadConfig`); a file says them twice over."""
    for name in _ACE_SCALES:
        if name not in state or state[name].numel() != 1:
            raise TransposeError(f"this is not ACE's head: {name} is not one number")
    largest, smallest, least, most, sharpness = (float(state[name]) for name in _ACE_SCALES)
    sound = 0 < least < 1 < most and all(
        math.isclose(value, 1, rel_tol=_HALF_PRECISION)
        for value in (largest * least, smallest * most, sharpness * (1 - least) / math.log(2))
    )
    if not sound:
        raise TransposeError(f"the numbers {', '.join(_ACE_SCALES)} of ACE's head contradict one another")
    return least, most, sharpness


def crossloc(state: Mapping[str, Tensor]) -> Published:
    """CrossLoc's network for coordinates: encoder and decoder in one file, as its training writes it.

    Its positive output is an isotropic standard deviation, whose logarithm the last layer gives.

    Raises:
        TransposeError: it is another network, a tiny or grey one, one of several representations, or of another task.
    """
    whose = "CrossLoc's network"
    if any(name.startswith("mlr_") for name in state):
        raise TransposeError("this is CrossLoc's fusion of several representations; only single-task networks load")
    colours, width = _size(state, "encoder.conv1.weight", 1, whose), _size(state, "encoder.conv4.weight", 0, whose)
    outputs, task = _size(state, "decoder.fc3.weight", 0, whose), _size(state, "decoder.mean", 0, whose)
    if colours != 3 or width != 256:
        raise TransposeError("this is CrossLoc's tiny or grey network; the RGB network of full size loads")
    if task != 3 or outputs not in (3, 4):
        raise TransposeError(
            f"this network of CrossLoc has {outputs} outputs, {task} for its task; 3 coordinates make a localizer"
        )
    if "mean" not in state or not torch.equal(state["mean"], state["decoder.mean"]):
        raise TransposeError("CrossLoc's network holds its mean twice, here the two are not the same")
    rest = {name: value for name, value in state.items() if name != "mean"}
    config = asdict(CrossLocConfig("coord", outputs - task))
    converted = _converted(rest, _crossloc_names(), whose, "crossloc", config)
    return replace(converted, uncertainty={**_NO_UNCERTAINTY, "kind": "isotropic"}) if outputs > task else converted


def _crossloc_names() -> dict[str, str]:
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


def _converted(
    state: Mapping[str, Tensor], names: dict[str, str], whose: str, network: str, config: dict[str, Any]
) -> Published:
    """All but the weights of an encoder that comes in a file of its own."""
    with torch.device("meta"):
        wanted = build_network(network, config)
    weights = _renamed(state, names, whose, wanted)
    mean_3 = weights["head.mean"].double()
    x, y, z = origin_3 = mean_3.round()
    weights["head.mean"] = (mean_3 - origin_3).float()
    return Published(network, config, weights, _NO_UNCERTAINTY, (float(x), float(y), float(z)))


def _renamed(state: Mapping[str, Tensor], names: dict[str, str], whose: str, wanted: nn.Module) -> dict[str, Tensor]:
    """The tensors under our names, of the shapes that our network has."""
    if lost := [name for name in names if name not in state]:
        raise TransposeError(f"this is not {whose}: it lacks {_some(lost)}{_hint(state, whose)}")
    if more := sorted(state.keys() - names.keys()):
        raise TransposeError(f"this is not {whose}: it has {_some(more)} besides{_hint(state, whose)}")
    shapes = {name: value.shape for name, value in wanted.state_dict().items()}
    renamed = {}
    for theirs, ours in names.items():
        value = state[theirs].detach()
        if value.layout != torch.strided or not value.is_floating_point():
            raise TransposeError(f"{theirs} of {whose} is no plain tensor of real numbers but {value.dtype}")
        if ours.endswith("mean"):
            value = value.reshape(-1)
        if value.shape != shapes[ours]:
            raise TransposeError(
                f"{theirs} has the shape {tuple(value.shape)}, where {whose} has {tuple(shapes[ours])}"
            )
        if not value.isfinite().all():
            raise TransposeError(f"{theirs} of {whose} holds numbers that are not finite")
        renamed[ours] = value
    return renamed


def _size(state: Mapping[str, Tensor], name: str, axis: int, whose: str) -> int:
    """Of a tensor by which the architecture is known."""
    if name not in state:
        raise TransposeError(f"this is not {whose}: it has no {name}, but {_some(sorted(state))}{_hint(state, whose)}")
    if state[name].ndim <= axis or not state[name].numel():
        raise TransposeError(f"{name} has the shape {tuple(state[name].shape)}, which {whose} does not have")
    return state[name].shape[axis]


def _hint(state: Mapping[str, Tensor], whose: str) -> str:
    """What it rather is."""
    for kind, telling in _KINDS:
        if all(name in state for name in telling):
            return "" if kind == whose else f"; it looks like {kind}"
    return ""


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
