"""Published checkpoints: what their tables describe, written out layer by layer, is what our networks compute."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from tests.models import published_states as theirs
from tests.models.published_states import State
from transpose.errors import TransposeError
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models import published
from transpose.models.networks import build_network, load_network_state

torch.manual_seed(0)
DSACSTAR, TINY = theirs.dsacstar_state(), theirs.dsacstar_state(tiny=True)
ENCODER, HEAD = theirs.encoder_state(), theirs.ace_state()
CROSSLOC, CERTAIN = theirs.crossloc_state(), theirs.crossloc_state(outputs=3)


def said_of(converted: published.Published, image: Tensor) -> Tensor:
    """Coordinates in the world and, where it is predicted, their standard deviation; float64."""
    network = build_network(converted.network, converted.config).eval()
    load_network_state(network, converted.weights)
    with torch.no_grad():
        out = network(image).double()
    points = out[:, :3] + torch.tensor(converted.origin, dtype=torch.float64)[:, None, None]
    uncertainty = PredictedUncertainty.from_state(converted.uncertainty)
    if uncertainty.of.kind == "none":
        assert out.shape[1] == 3
        return points
    raw_nk = out[0, 3:].flatten(1).T
    eye_n33 = torch.eye(3, dtype=torch.float64).expand(len(raw_nk), 3, 3)
    covariance_n33 = uncertainty.covariance(raw_nk, torch.ones(len(raw_nk), 3, dtype=torch.float64), eye_n33)
    assert torch.allclose(covariance_n33, covariance_n33[:, :1, :1] * eye_n33)
    return torch.cat([points, covariance_n33[:, 0, 0].sqrt().reshape(1, 1, *points.shape[2:])], 1)


def ace_with(blocks: int = 1, channels: int = 512, homogeneous: bool = True) -> tuple[State, State]:
    torch.manual_seed(2)
    return theirs.ace_state(blocks, homogeneous=homogeneous, channels=channels), theirs.encoder_state(channels)


@pytest.mark.parametrize(
    "convert, twin",
    [
        (lambda: published.dsacstar(DSACSTAR), lambda x: theirs.twin_dsacstar(DSACSTAR, x)),
        (lambda: published.dsacstar(TINY), lambda x: theirs.twin_dsacstar(TINY, x)),
        (lambda: published.ace(HEAD, ENCODER), lambda x: theirs.twin_ace(HEAD, ENCODER, x, 1)),
        (lambda: published.ace(*ace_with(3)), lambda x: theirs.twin_ace(*ace_with(3), x, 3)),
        (lambda: published.ace(*ace_with(0, 256)), lambda x: theirs.twin_ace(*ace_with(0, 256), x, 0)),
        (
            lambda: published.ace(*ace_with(homogeneous=False)),
            lambda x: theirs.twin_ace(*ace_with(homogeneous=False), x, 1),
        ),
        (lambda: published.crossloc(CROSSLOC), lambda x: theirs.twin_crossloc(CROSSLOC, x)),
        (lambda: published.crossloc(CERTAIN), lambda x: theirs.twin_crossloc(CERTAIN, x)),
    ],
    ids=["dsacstar", "tiny", "ace", "three blocks", "256 features", "not homogeneous", "crossloc", "without sigma"],
)
def test_our_networks_are_theirs(convert: Callable[[], published.Published], twin: Callable[[Tensor], Tensor]) -> None:
    image = torch.randint(0, 256, (1, 3, 48, 64), generator=torch.Generator().manual_seed(0)).float()
    ours, expected = said_of(convert(), image), twin(image)
    assert ours.shape == expected.shape
    assert expected[:, :3].std() > 0.01  # the image matters
    assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_sigma_stays_in_crosslocs_limits() -> None:
    for bias, sigma in ((-100.0, torch.tensor(-16.10).exp()), (100.0, torch.tensor(13.82).exp())):
        state = {**CROSSLOC, "decoder.fc3.bias": CROSSLOC["decoder.fc3.bias"] + torch.tensor([0, 0, 0, bias])}
        said = said_of(published.crossloc(state), torch.zeros(1, 3, 8, 8))
        assert torch.allclose(said[:, 3], sigma.double(), rtol=1e-5)


def test_a_mean_far_away_costs_no_digits() -> None:
    """Swiss coordinates and more: float32 alone would round to a quarter of a metre."""
    far = {**TINY, "mean": torch.tensor([2_600_000.25, 1_200_000.0, 4_567.5])}
    image = torch.rand(1, 3, 24, 24) * 255
    converted = published.dsacstar(far)
    assert torch.allclose(said_of(converted, image), theirs.twin_dsacstar(far, image), rtol=0, atol=1e-4)
    assert converted.origin == (2_600_000.0, 1_200_000.0, 4_568.0)


def test_both_namings_of_aces_blocks_are_one() -> None:
    torch.manual_seed(1)
    old = theirs.ace_state(2, old_names=True)
    torch.manual_seed(1)
    new = theirs.ace_state(2)
    first, second = (published.ace(state, ENCODER).weights for state in (old, new))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(TransposeError, match="in two ways"):
        published.ace(old | new, ENCODER)


def test_half_precision_is_kept_on_disk() -> None:
    weights = published.ace(HEAD, ENCODER).weights
    assert weights["head.fc1.weight"].dtype == torch.float16
    assert weights["encoder.conv1.weight"].dtype == torch.float32


KINDS: dict[str, tuple[State, Callable[[State], object]]] = {
    "tiny": (TINY, published.dsacstar),
    "head": (HEAD, lambda state: published.ace(state, ENCODER)),
    "encoder": (ENCODER, published.ace_encoder),
    "crossloc": (CROSSLOC, published.crossloc),
}


# What tells the architecture, or is stored twice, is refused by its meaning.
TELLING = {"conv4", "res2_conv3", "res3_conv1", "fc3", "decoder.fc3", "encoder.conv1", "encoder.conv4"}
TWICE = {"mean", "decoder.mean", "max_scale", "min_scale", "max_inv_scale", "min_inv_scale", "h_beta"}


@given(st.data())
def test_each_tensor_matters(data: st.DataObject) -> None:
    """One that is lost, has another shape or is no number is named; and one more is."""
    state, convert = KINDS[data.draw(st.sampled_from(sorted(KINDS)))]
    name = data.draw(st.sampled_from(sorted(state)))
    harm = data.draw(st.sampled_from(["lost", "longer", "undefined", "whole", "more"]))
    value = state[name]
    assume(harm != "whole" or value.numel() > 1)  # a whole number is a number
    broken = {key: kept for key, kept in state.items() if key != name}
    if harm == "longer":
        broken[name] = torch.cat([value, value])
    elif harm == "undefined":
        broken[name] = torch.full_like(value, float("nan"))
    elif harm == "whole":
        broken[name] = value.round().long()
    elif harm == "more":
        name = "fc9.weight"
        broken = {**state, name: torch.zeros(1)}
    with pytest.raises(TransposeError) as refused:
        convert(broken)
    assert name in str(refused.value) or name in TWICE or name.removesuffix(".weight") in TELLING


@pytest.mark.parametrize(
    "convert, message",
    [
        (lambda: published.dsacstar(CROSSLOC), r"not DSAC\*'s network.*looks like CrossLoc's network"),
        (lambda: published.dsacstar(HEAD), r"not DSAC\*'s network.*looks like ACE's head"),
        (lambda: published.dsacstar(ENCODER), r"not DSAC\*'s network: it lacks.*looks like ACE's encoder"),
        (lambda: published.dsacstar({"a": torch.zeros(1)}), r"has no conv4\.weight, but a$"),
        (lambda: published.crossloc(DSACSTAR), r"not CrossLoc's network.*looks like DSAC\*'s network"),
        (lambda: published.ace(ENCODER, HEAD), r"not ACE's head.*looks like ACE's encoder"),
        (lambda: published.ace(HEAD, HEAD), r"not ACE's encoder.*looks like ACE's head"),
        (lambda: published.ace(HEAD, theirs.encoder_state(256)), "features of 512 channels, its encoder makes 256"),
        (lambda: published.ace({**HEAD, "h_beta": torch.ones(1)}, ENCODER), "contradict one another"),
        (lambda: published.crossloc({**CROSSLOC, "mlr_norm.weight": torch.zeros(3)}), "fusion of several"),
        (lambda: published.crossloc({**CROSSLOC, "mean": torch.zeros(3)}), "mean twice"),
        (
            lambda: published.crossloc({**CROSSLOC, "decoder.mean": torch.zeros(1), "mean": torch.zeros(1)}),
            "3 coordinates make a localizer",
        ),
        (
            lambda: published.crossloc({**CROSSLOC, "encoder.conv1.weight": torch.zeros(32, 1, 3, 3)}),
            "tiny or grey network",
        ),
    ],
)
def test_another_architecture_is_named(convert: Callable[[], object], message: str) -> None:
    with pytest.raises(TransposeError, match=message):
        convert()
