"""Checkpoints as they are published: names and shapes of their parameters, and plain forward passes over them."""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.geometry import Camera

LEVELS_PER_CELL = 8
State = dict[str, Tensor]
ENCODER = [
    ("conv1", 1, 32, 3), ("conv2", 32, 64, 3), ("conv3", 64, 128, 3), ("conv4", 128, 256, 3),
    ("res1_conv1", 256, 256, 3), ("res1_conv2", 256, 256, 1), ("res1_conv3", 256, 256, 3),
    ("res2_conv1", 256, 512, 3), ("res2_conv2", 512, 512, 1), ("res2_conv3", 512, 512, 3), ("res2_skip", 256, 512, 1),
]  # fmt: skip
STRIDES = {"conv2": 2, "conv3": 2, "conv4": 2}
MEAN = [120.75, -2.5, 3.25]


def layer(state: State, name: str, inputs: int, outputs: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * (1.4 / (inputs * kernel**2)) ** 0.5
    state[f"{name}.bias"] = 0.1 * torch.randn(outputs)


def norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = 1 + 0.1 * torch.randn(channels), 0.1 * torch.randn(channels)


def encoder_state(out_channels: int = 512) -> State:
    state: State = {}
    for name, inputs, outputs, kernel in ENCODER:
        layer(state, name, inputs, out_channels if name in ("res2_conv3", "res2_skip") else outputs, kernel)
    return state


def dsacstar_state(tiny: bool = False) -> State:
    state: State = {}
    for name, inputs, outputs, kernel in ENCODER:
        if not (tiny and name == "res2_skip"):
            wide = (min(inputs, 128), min(outputs, 128)) if tiny else (inputs, outputs)
            layer(state, name, *wide, kernel)
    width = 128 if tiny else 512
    for name in ("res3_conv1", "res3_conv2", "res3_conv3", "fc1", "fc2"):
        layer(state, name, width, width, 1)
    layer(state, "fc3", width, 3, 1)
    return {**state, "mean": torch.tensor(MEAN)}


def ace_state(blocks: int = 1, old_names: bool = False, homogeneous: bool = True, channels: int = 512) -> State:
    state: State = {}
    for name in ("res3_conv1", "res3_conv2", "res3_conv3", "fc1", "fc2"):
        layer(state, name, channels if name == "res3_conv1" else 512, 512, 1)
    if channels != 512:
        layer(state, "head_skip", channels, 512, 1)
    for block in range(blocks):
        for i in range(3):
            layer(state, f"{block}c{i}" if old_names else f"res_blocks.{block}.{i}", 512, 512, 1)
    layer(state, "fc3", 512, 4 if homogeneous else 3, 1)
    if homogeneous:
        scales = {"max_scale": 4.0, "min_scale": 0.01, "max_inv_scale": 0.25, "min_inv_scale": 100.0}
        state |= {name: torch.tensor([value]) for name, value in scales.items()}
        state["h_beta"] = torch.tensor([math.log(2) / 0.75])
    state["mean"] = torch.tensor(MEAN).view(1, 3, 1, 1)
    return {name: value.half() for name, value in state.items()}  # as its training writes it


def crossloc_state(outputs: int = 4) -> State:
    state: State = {}
    for i, (inputs, channels) in enumerate(((3, 32), (32, 64), (64, 128), (128, 256)), 1):
        layer(state, f"encoder.conv{i}", inputs, channels, 3)
        norm(state, f"encoder.norm{i}", channels)
    for block, inputs, width in ((1, 256, 256), (2, 256, 512)):
        for i, (wide, kernel) in enumerate(((inputs, 3), (width, 1), (width, 3)), 1):
            layer(state, f"encoder.res{block}_conv{i}", wide, width, kernel)
            norm(state, f"encoder.res{block}_norm{i}", width)
    layer(state, "encoder.res2_skip", 256, 512, 1)
    norm(state, "encoder.res2_skip_norm", 512)
    for name in ("encoder.enc", "decoder.dec"):
        for block in (1, 2):
            for i, kernel in ((0, 3), (3, 1), (6, 3)):
                layer(state, f"{name}_add_res_block{block}.{i}", 512, 512, kernel)
                norm(state, f"{name}_add_res_block{block}.{i + 1}", 512)
    for name in ("res3_conv1", "res3_conv2", "res3_conv3", "fc1", "fc2"):
        layer(state, f"decoder.{name}", 512, 512, 1)
        norm(state, f"decoder.{name}_norm" if name.startswith("fc") else f"decoder.{name.replace('conv', 'norm')}", 512)
    layer(state, "decoder.fc3", 512, outputs, 1)
    state["mean"] = state["decoder.mean"] = torch.tensor(MEAN)
    return state


def conv(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"].double()
    stride = STRIDES.get(name.split(".")[-1], 1)
    return F.conv2d(x, weight, state[f"{name}.bias"].double(), stride, weight.shape[2] // 2)


def grey(image_b3hw: Tensor) -> Tensor:
    red, green, blue = (image_b3hw.double() / 255).unbind(1)
    return ((0.299 * red + 0.587 * green + 0.114 * blue)[:, None] - 0.4) / 0.25


def encoded(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    for name in ("conv1", "conv2", "conv3", "conv4"):
        x = conv(state, name, x).relu()
    for block in ("res1", "res2"):
        branch = x
        for i in (1, 2, 3):
            branch = conv(state, f"{block}_conv{i}", branch).relu()
        x = (conv(state, "res2_skip", x) if block == "res2" and "res2_skip.weight" in state else x) + branch
    return x


def decoded(state: Mapping[str, Tensor], x: Tensor, blocks: int = 0) -> Tensor:
    branches = [
        [f"res3_conv{i}" for i in (1, 2, 3)],
        *([f"res_blocks.{b}.{i}" for i in range(3)] for b in range(blocks)),
    ]
    for number, names in enumerate(branches):
        branch = x
        for name in names:
            branch = conv(state, name, branch).relu()
        x = (conv(state, "head_skip", x) if number == 0 and "head_skip.weight" in state else x) + branch
    return conv(state, "fc3", conv(state, "fc2", conv(state, "fc1", x).relu()).relu())


def twin_dsacstar(state: State, image: Tensor) -> Tensor:
    return decoded(state, encoded(state, grey(image))) + state["mean"].double()[:, None, None]


def twin_ace(state: State, encoder: State, image: Tensor, blocks: int) -> Tensor:
    out = decoded(state, encoded(encoder, grey(image)), blocks)
    if "h_beta" in state:
        weight = F.softplus(out[:, 3:], beta=float(state["h_beta"])) + float(state["max_inv_scale"])
        out = out[:, :3] / weight.clamp_max(float(state["min_inv_scale"]))
    return out + state["mean"].double()


def twin_crossloc(state: State, image: Tensor) -> Tensor:
    """Coordinates and, where it has a fourth output, their standard deviation."""
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.4245, 0.4375, 0.3836), (0.1823, 0.1701, 0.1854)))
    x = (image.double() / 255 - mean) / std

    def normed(x: Tensor, name: str, norm_name: str) -> Tensor:
        weight, bias = (state[f"{norm_name}.{part}"].double() for part in ("weight", "bias"))
        return F.group_norm(conv(state, name, x), 32, weight, bias)

    def residual(x: Tensor, names: list[tuple[str, str]]) -> Tensor:
        branch = x
        for pair in names:
            branch = normed(branch, *pair).relu()
        skip = "encoder.res2_skip", "encoder.res2_skip_norm"
        return ((normed(x, *skip) if "res2" in names[0][0] else x) + branch).relu()

    for i in (1, 2, 3, 4):
        x = normed(x, f"encoder.conv{i}", f"encoder.norm{i}").relu()
    for block in (1, 2):
        x = residual(x, [(f"encoder.res{block}_conv{i}", f"encoder.res{block}_norm{i}") for i in (1, 2, 3)])
    for name in ("encoder.enc", "decoder.dec"):
        for block in (1, 2):
            whole = f"{name}_add_res_block{block}"
            x = residual(x, [(f"{whole}.{i}", f"{whole}.{i + 1}") for i in (0, 3, 6)])
    x = residual(x, [(f"decoder.res3_conv{i}", f"decoder.res3_norm{i}") for i in (1, 2, 3)])
    for i in (1, 2):
        x = normed(x, f"decoder.fc{i}", f"decoder.fc{i}_norm").relu()
    out = conv(state, "decoder.fc3", x)
    return torch.cat(
        [out[:, :3] + state["decoder.mean"].double()[:, None, None], out[:, 3:].clamp(-16.10, 13.82).exp()], 1
    )


def reading_dsacstar(camera: Camera, depth_m: float) -> State:
    """A tiny network that works: it reads each cell's column and row off two pixels of an image of `telling_image`.

    Its coordinates are those of a camera at the origin that looks at a wall `depth_m` ahead, plus `MEAN`.
    """
    state = {name: torch.zeros_like(value) for name, value in dsacstar_state(tiny=True).items()}
    state["conv1.weight"][0, 0, 1, 1] = state["conv1.weight"][1, 0, 1, 2] = 0.25
    state["conv1.bias"][:2] = 0.4  # a grey of 0..1 again
    for name in ("conv2", "conv3", "conv4", "fc1", "fc2"):
        for channel in (0, 1):
            middle = state[f"{name}.weight"].shape[2] // 2
            state[f"{name}.weight"][channel, channel, middle, middle] = 1.0
    for axis, (focal, center) in enumerate(((camera.fx, camera.cx), (camera.fy, camera.cy))):
        state["fc3.weight"][axis, axis] = 255 / LEVELS_PER_CELL * 8 / focal * depth_m
        state["fc3.bias"][axis] = (4 - center) / focal * depth_m
    state["fc3.bias"][2] = depth_m
    return {**state, "mean": torch.tensor(MEAN)}


def reading_ace(camera: Camera, depth_m: float) -> tuple[State, State]:
    """The same as ACE's head, its fourth output at zero, and encoder, which hands on what it reads."""
    reading = reading_dsacstar(camera, depth_m)
    encoder = {name: torch.zeros_like(value) for name, value in encoder_state().items()}
    for name in encoder:
        if name in reading and not name.startswith("res"):
            narrow = reading[name]
            encoder[name][tuple(slice(size) for size in narrow.shape)] = narrow
    head = {name: torch.zeros_like(value) for name, value in ace_state().items()}
    for channel in (0, 1):
        encoder["res2_skip.weight"][channel, channel] = 1.0
        head["fc1.weight"][channel, channel] = head["fc2.weight"][channel, channel] = 1.0
    head["fc3.weight"][:3, :128], head["fc3.bias"][:3] = reading["fc3.weight"], reading["fc3.bias"]
    scales = {
        name: ace_state()[name] for name in ("max_scale", "min_scale", "max_inv_scale", "min_inv_scale", "h_beta")
    }
    return {**head, **scales, "mean": torch.tensor(MEAN).half().view(1, 3, 1, 1)}, encoder


def telling_image(camera: Camera) -> np.ndarray:
    """(height, width, 3) uint8; the first two pixels of each cell tell its column and its row."""
    image_hw = np.zeros((camera.height, camera.width), np.uint8)
    image_hw[::8, ::8] = LEVELS_PER_CELL * np.arange(camera.width // 8)
    image_hw[::8, 1::8] = LEVELS_PER_CELL * np.arange(camera.height // 8)[:, None]
    return np.repeat(image_hw[..., None], 3, axis=2)
