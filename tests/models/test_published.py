"""Published checkpoints: the networks that their tables describe, written out layer by layer, give what ours gives."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.localization import load
from transpose.models import published
from transpose.models.networks import build_network, load_network_state

State = dict[str, Tensor]
ENCODER = [
    ("conv1", 1, 32, 3), ("conv2", 32, 64, 3), ("conv3", 64, 128, 3), ("conv4", 128, 256, 3),
    ("res1_conv1", 256, 256, 3), ("res1_conv2", 256, 256, 1), ("res1_conv3", 256, 256, 3),
    ("res2_conv1", 256, 512, 3), ("res2_conv2", 512, 512, 1), ("res2_conv3", 512, 512, 3), ("res2_skip", 256, 512, 1),
]  # fmt: skip
STRIDES = {"conv2": 2, "conv3": 2, "conv4": 2}


def layer(state: State, name: str, inputs: int, outputs: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * (1.4 / (inputs * kernel**2)) ** 0.5
    state[f"{name}.bias"] = 0.1 * torch.randn(outputs)


def norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = 1 + 0.1 * torch.randn(channels), 0.1 * torch.randn(channels)


def encoder_state() -> State:
    state: State = {}
    for each in ENCODER:
        layer(state, *each)
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
    return {**state, "mean": torch.tensor([1.0, -2.0, 3.0])}


def ace_state(blocks: int = 1, old_names: bool = False, homogeneous: bool = True) -> State:
    state: State = {}
    for name in ("res3_conv1", "res3_conv2", "res3_conv3", "fc1", "fc2"):
        layer(state, name, 512, 512, 1)
    for block in range(blocks):
        for i in range(3):
            layer(state, f"{block}c{i}" if old_names else f"res_blocks.{block}.{i}", 512, 512, 1)
    layer(state, "fc3", 512, 4 if homogeneous else 3, 1)
    if homogeneous:
        scales = {"max_scale": 4.0, "min_scale": 0.01, "max_inv_scale": 0.25, "min_inv_scale": 100.0}
        state |= {name: torch.tensor([value]) for name, value in scales.items()}
        state["h_beta"] = torch.tensor([np.log(2) / 0.75])
    state["mean"] = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)
    return {name: value.half() for name, value in state.items()}


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
    state["mean"] = state["decoder.mean"] = torch.tensor([1.0, -2.0, 3.0])
    return state


def conv(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"].float()
    stride = STRIDES.get(name.split(".")[-1], 1)
    return F.conv2d(x, weight, state[f"{name}.bias"].float(), stride, weight.shape[2] // 2)


def grey(image_b3hw: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return ((image_b3hw / 255 * weights).sum(1, keepdim=True) - 0.4) / 0.25


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
    for names in branches:
        branch = x
        for name in names:
            branch = conv(state, name, branch).relu()
        x = x + branch
    return conv(state, "fc3", conv(state, "fc2", conv(state, "fc1", x).relu()).relu())


def twin_dsacstar(state: State, image: Tensor) -> Tensor:
    return decoded(state, encoded(state, grey(image))) + state["mean"][:, None, None]


def twin_ace(state: State, encoder: State, image: Tensor, blocks: int) -> Tensor:
    out = decoded(state, encoded(encoder, grey(image)), blocks)
    weight = F.softplus(out[:, 3:], beta=float(np.log(2) / 0.75)) + 0.25
    return out[:, :3] / weight.clamp_max(100) + state["mean"].float().view(3, 1, 1)


def twin_crossloc(state: State, image: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.4245, 0.4375, 0.3836), (0.1823, 0.1701, 0.1854)))
    x = (image / 255 - mean) / std

    def normed(x: Tensor, name: str, norm_name: str) -> Tensor:
        return F.group_norm(conv(state, name, x), 32, state[f"{norm_name}.weight"], state[f"{norm_name}.bias"])

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
    return torch.cat([out[:, :3] + state["decoder.mean"][:, None, None], out[:, 3:]], 1)


@pytest.mark.parametrize(
    "make, twin",
    [
        (lambda: published.dsacstar(S["dsac"]), lambda x: twin_dsacstar(S["dsac"], x)),
        (lambda: published.dsacstar(S["tiny"]), lambda x: twin_dsacstar(S["tiny"], x)),
        (lambda: published.ace(S["ace"], S["encoder"]), lambda x: twin_ace(S["ace"], S["encoder"], x, 1)),
        (lambda: published.ace(S["ace2"], S["encoder"]), lambda x: twin_ace(S["ace2"], S["encoder"], x, 2)),
        (lambda: published.crossloc(S["crossloc"]), lambda x: twin_crossloc(S["crossloc"], x)),
    ],
    ids=["dsacstar", "tiny", "ace", "ace two blocks", "crossloc"],
)
def test_our_networks_are_theirs(make: Callable[[], published.Published], twin: Callable[[Tensor], Tensor]) -> None:
    image = torch.randint(0, 255, (1, 3, 48, 64), generator=torch.Generator().manual_seed(0)).float()
    converted = make()
    network = build_network(converted.network, converted.config).eval()
    load_network_state(network, converted.weights)
    with torch.no_grad():
        ours, theirs = network(image), twin(image)
    assert torch.allclose(ours, theirs, atol=1e-3 * float(theirs.abs().max())), (ours - theirs).abs().max()


torch.manual_seed(0)
S = {
    "dsac": dsacstar_state(),
    "tiny": dsacstar_state(tiny=True),
    "encoder": encoder_state(),
    "ace": ace_state(),
    "ace2": ace_state(blocks=2),
    "crossloc": crossloc_state(),
}


def test_aces_older_names_are_understood() -> None:
    torch.manual_seed(1)
    old = ace_state(2, old_names=True)
    torch.manual_seed(1)
    new = ace_state(2)
    a, b = (published.ace(state, S["encoder"]).weights for state in (old, new))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_converted_run_localizes(tmp_path: Path) -> None:
    torch.save(S["crossloc"], tmp_path / "net.net")
    words = ["convert", str(tmp_path / "net.net"), "--as", "crossloc", "--out", str(tmp_path / "run")]
    assert main([*words, "--focal", "480", "--size", "720", "480"]) == 0
    localizer = load(tmp_path / "run")
    image_hw3 = np.random.default_rng(0).integers(0, 255, (96, 144, 3)).astype(np.uint8)
    predicted = localizer.coordinates(image_hw3)
    assert predicted.points_hw3.shape == (60, 90, 3)  # seen at 480 rows, as it was trained
    assert (predicted.sigma_hw() > 0).all()
    assert main([*words, "--focal", "480"]) == 1  # the run is there already


def test_aces_own_encoder_serves_the_ace_preset(tmp_path: Path) -> None:
    wrong = {**S["encoder"]}
    del wrong["res2_skip.bias"]
    with pytest.raises(TransposeError, match=r"res2_skip\.bias is missing"):
        published.ace_encoder(wrong)
    assert published.ace_encoder(S["encoder"]).keys() == S["encoder"].keys()


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("executed",)


def dropped(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    "content, kind, message",
    [
        (lambda: S["crossloc"], "dsacstar", "not a checkpoint of DSAC"),
        (lambda: S["dsac"], "crossloc", "not a checkpoint of CrossLoc"),
        (lambda: dropped(S["dsac"], "fc2.bias"), "dsacstar", r"lacks fc2\.bias"),
        (lambda: {**S["dsac"], "fc4.bias": torch.zeros(3)}, "dsacstar", r"has fc4\.bias besides"),
        (lambda: {**S["dsac"], "fc2.bias": torch.zeros(3)}, "dsacstar", r"fc2\.bias has the shape \(3,\)"),
        (lambda: {**S["crossloc"], "mlr_norm.weight": torch.zeros(3)}, "crossloc", "fusion of several"),
        (
            lambda: {**S["crossloc"], "decoder.mean": torch.zeros(1), "mean": torch.zeros(1)},
            "crossloc",
            "3 coordinates make a localizer",
        ),
        (lambda: {"a": Evil()}, "dsacstar", "not a checkpoint of tensors"),
        (lambda: [1, 2], "dsacstar", "no dictionary of tensors"),
    ],
)
def test_what_is_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Callable[[], object], kind: str, message: str
) -> None:
    torch.save(content(), tmp_path / "net.net")
    words = ["convert", str(tmp_path / "net.net"), "--as", kind, "--out", str(tmp_path / "run"), "--focal", "480"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "executed" not in captured.out
    assert re.search(message, captured.err), captured.err
    assert not (tmp_path / "run" / runs.MODEL_FILE).exists()


def test_a_truncated_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(S["tiny"], tmp_path / "net.net")
    data = (tmp_path / "net.net").read_bytes()
    (tmp_path / "net.net").write_bytes(data[: len(data) // 2])
    assert main(["convert", str(tmp_path / "net.net"), "--as", "dsacstar", "--out", str(tmp_path), "--focal", "9"]) == 1
    assert "cannot be read: truncated" in capsys.readouterr().err
