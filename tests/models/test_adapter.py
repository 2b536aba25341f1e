"""The adapter on frozen features."""

import dataclasses

import pytest
import torch

from transpose.errors import TransposeError
from transpose.models.adapter import AdaptedEncoder, Adapter, AdapterConfig
from transpose.models.heads import HeadConfig
from transpose.models.keypoints import keypoints_of
from transpose.models.network import Network
from transpose.models.networks import build_network, load_network_state, stored_weights
from transpose.models.xfeat import XFeatEncoder

SMALL = AdapterConfig(width=32)


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, 72, 100, generator=torch.Generator().manual_seed(seed)) * 255


def adapter(seed: int = 0) -> Adapter:
    torch.manual_seed(seed)
    made = Adapter(SMALL)
    torch.nn.init.normal_(made.last.weight, std=0.1)
    return made


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    head = HeadConfig(width=16, blocks=1, anchors=4)
    return build_network("fast-adapted", {**dataclasses.asdict(head), "adapter": dataclasses.asdict(SMALL)})


def test_it_begins_as_the_identity() -> None:
    base = XFeatEncoder()
    plain, adapted = base.maps(image()), AdaptedEncoder(base, Adapter(SMALL)).maps(image())
    first = torch.nn.functional.normalize(plain.features_bchw[:, :64], dim=1)
    torch.testing.assert_close(adapted.features_bchw[:, :64], first)
    torch.testing.assert_close(adapted.features_bchw[:, 64:], plain.features_bchw[:, 64:])


def test_keypoints_stay_where_they_are_and_look_different() -> None:
    base = XFeatEncoder()
    plain, adapted = base.maps(image()), AdaptedEncoder(base, adapter()).maps(image())
    before, after = (keypoints_of(maps, (72, 100), 50) for maps in (plain, adapted))
    assert len(before) and torch.equal(before.px_n2, after.px_n2)
    assert not torch.allclose(before.descriptors_nc, after.descriptors_nc, atol=0.05)


def test_maps_are_the_cells_one_by_one() -> None:
    made, features = adapter(), torch.randn(2, 256, 3, 5, generator=torch.Generator().manual_seed(1))
    made.fit_statistics(features.permute(0, 2, 3, 1).reshape(-1, 256))
    maps = made.maps(features)
    for b in range(2):
        for i in range(3):
            for j in range(5):
                torch.testing.assert_close(maps[b, :64, i, j], made(features[b, :, i, j][None])[0])
    torch.testing.assert_close(maps[:, :64].norm(dim=1), torch.ones(2, 3, 5))


def test_a_checkpoint_keeps_the_adapter_and_not_what_the_package_brings() -> None:
    kept = network()
    torch.nn.init.normal_(kept.encoder.adapter.last.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    kept.encoder.adapter.fit_statistics(torch.randn(9, 256))  # type: ignore[union-attr, operator]
    weights = stored_weights("fast-adapted", kept)
    assert {name.split(".")[1] for name in weights if name.startswith("encoder.")} == {"adapter"}
    assert weights["encoder.adapter.last.weight"].dtype == torch.half
    assert weights["encoder.adapter.feature_mean"].dtype == torch.float32
    restored = network(1)
    load_network_state(restored, weights)
    torch.testing.assert_close(restored(image()), kept(image()), atol=2e-3, rtol=2e-2)


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = stored_weights("fast-adapted", network())
    lacking = {name: value for name, value in weights.items() if not name.startswith("encoder.adapter.second")}
    with pytest.raises(RuntimeError, match=r"adapter\.second"):
        load_network_state(network(), lacking)
    with pytest.raises(RuntimeError, match=r"unexpected encoder\.base"):
        load_network_state(network(), weights | brought())
    with pytest.raises(TransposeError, match="adapter"):
        build_network("fast-adapted", dataclasses.asdict(HeadConfig()))


def brought() -> dict[str, torch.Tensor]:
    """A weight of the encoder that the package brings."""
    name, value = next(iter(XFeatEncoder().state_dict().items()))
    return {f"encoder.base.{name}": value}


def test_sizes_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match="part of the features"):
        AdapterConfig(channels=32, descriptor_channels=64)
