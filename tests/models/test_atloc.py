"""AtLoc's network: torchvision's names, attention by its formula, and dropout that can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.models.atloc import AtLoc, AtLocConfig, ResNet34, SeededDropout, SelfAttention
from transpose.randomness import torch_stream

SMALL = AtLocConfig(side=32, features=16)


def torchvision_state() -> dict[str, Tensor]:
    """Names and shapes of torchvision's resnet34, written out by its rules and not read off ours."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})

    norm("bn1", 64)
    before = 64
    for layer, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 3, 3)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                norm(f"{name}.downsample.1", width)
            before = width
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    generator = torch_stream(0, "imagenet")
    return {name: 0.1 + 0.01 * torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def test_weights_of_torchvision_load_by_name() -> None:
    network, state = ResNet34(16), torchvision_state()
    own = network.fc.weight.clone()
    network.load_imagenet(state)
    for name, value in network.state_dict().items():
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name]), name
    assert torch.equal(network.fc.weight, own)
    assert sum(value.numel() for value in state.values()) == 21_797_672 + 2 * 8512  # and what norms remember


def test_newer_files_count_batches() -> None:
    network, state = ResNet34(16), torchvision_state()
    counted = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_imagenet(state | {name: value + 7 for name, value in counted.items()})
    assert int(network.state_dict()["bn1.num_batches_tracked"]) == 7


@pytest.mark.parametrize(
    "change, message",
    [
        ({"layer3.5.bn2.weight": None}, r"layer3.5.bn2.weight missing"),
        ({"layer3.6.conv1.weight": torch.zeros(1)}, r"layer3.6.conv1.weight do not belong"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"conv1.weight do not belong"),
        ({"bn1.weight": torch.full((64,), torch.nan)}, r"NaN"),
    ],
)
def test_other_weights_are_refused(change: dict[str, Tensor | None], message: str) -> None:
    network = ResNet34(16)
    before = network.conv1.weight.clone()
    state = {name: value for name, value in (torchvision_state() | change).items() if value is not None}
    with pytest.raises(TransposeError, match=message):
        network.load_imagenet(state)
    assert torch.equal(network.conv1.weight, before)


def test_attention_is_its_formula() -> None:
    attention = SelfAttention(16)
    torch.nn.init.normal_(attention.out.weight, generator=torch_stream(0, "weights"))
    x_bc = torch.randn(3, 16, generator=torch_stream(0, "x"))
    theta, phi, g = (layer(x_bc).detach().numpy() for layer in (attention.theta, attention.phi, attention.g))
    for i in range(3):
        S = np.exp(np.outer(phi[i], theta[i]))
        y = torch.from_numpy(S / S.sum(1, keepdims=True) @ g[i])
        torch.testing.assert_close(attention(x_bc)[i], x_bc[i] + attention.out(y))


def test_in_the_beginning_attention_changes_nothing() -> None:
    x_bc = torch.randn(3, 16, generator=torch_stream(0, "x"))
    assert torch.equal(SelfAttention(16)(x_bc), x_bc)


def test_dropout_depends_on_its_seed_and_on_how_often_it_was_asked() -> None:
    x_bc = torch.ones(4, 4000)
    first, again, other = SeededDropout(0.25, 0), SeededDropout(0.25, 0), SeededDropout(0.25, 1)
    one, two = first(x_bc), first(x_bc)
    assert torch.equal(one, again(x_bc)) and not torch.equal(one, two) and not torch.equal(one, other(x_bc))
    assert one.mean().item() == pytest.approx(1, abs=0.03)
    resumed = SeededDropout(0.25, 0)
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(resumed(x_bc), first(x_bc))
    assert torch.equal(first.eval()(x_bc), x_bc)


def test_an_image_has_one_pose_whose_draws_differ() -> None:
    network = AtLoc(SMALL).eval()
    image_b3hw = 255 * torch.rand(2, 3, 32, 32, generator=torch_stream(0, "image"))
    with torch.no_grad():
        assert torch.equal(network(image_b3hw), network(image_b3hw))
        features_1c = network.features(image_b3hw[:1])
        drawn_m6 = network.sampled(features_1c, 500, 0)
        stated_16 = network.regressed(features_1c)
    torch.testing.assert_close(network(image_b3hw)[:1].detach(), stated_16)
    assert torch.equal(drawn_m6, network.sampled(features_1c, 500, 0).detach())
    spread_6 = drawn_m6.std(0)
    assert (spread_6 > 0).all()
    assert ((drawn_m6.mean(0) - stated_16[0]).abs() < 5 * spread_6 / 500**0.5).all()


def test_a_square_image_of_0_to_255_is_normalized_as_imagenets() -> None:
    network = AtLoc(SMALL).eval()
    mean_3 = 255 * torch.tensor([0.485, 0.456, 0.406])
    with torch.no_grad():
        seen = network.features(mean_3[None, :, None, None].expand(1, 3, 32, 32))
        expected = network.attention(torch.relu(network.backbone(torch.zeros(1, 3, 32, 32))))
    torch.testing.assert_close(seen, expected)


def test_shapes_that_make_no_sense_are_refused() -> None:
    for wrong in ({"side": 8}, {"dropout": 1.0}, {"mean": (0.0,)}):
        with pytest.raises(ValueError):
            AtLocConfig(**wrong)
