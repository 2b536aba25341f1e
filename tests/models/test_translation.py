"""Networks of image translation: the published sizes, and that none of them moves anything by itself."""

import pytest
import torch

from transpose.models.translation.discriminator import DiscriminatorConfig, PatchDiscriminator
from transpose.models.translation.generator import Generator, GeneratorConfig, padded
from transpose.models.translation.layers import BlurDown, BlurUp
from transpose.models.translation.patches import PatchProjections, patch_places

SMALL = GeneratorConfig(channels=4, blocks=3)


def weights(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("antialias", [True, False])
def test_the_published_networks(antialias: bool) -> None:
    """Counts that the authors' programs print: 11.378 M and 2.765 M."""
    assert weights(Generator(GeneratorConfig(antialias=antialias))) == 11_378_179
    judge = PatchDiscriminator(DiscriminatorConfig(antialias=antialias))
    assert weights(judge) == 2_764_737
    assert judge(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_each_verdict_sees_70_pixels() -> None:
    judge = PatchDiscriminator(DiscriminatorConfig(channels=4, antialias=False))
    # Instance normalization sees the whole image; without it, only what the convolutions reach has a gradient.
    convolutions = (each for each in judge.layers if not isinstance(each, torch.nn.InstanceNorm2d))
    judge.layers = torch.nn.Sequential(*convolutions)
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    judge(image)[0, 0, 15, 15].backward()
    touched = image.grad[0].abs().sum(0).nonzero()
    assert ((touched.amax(0) - touched.amin(0) + 1) == 70).all()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("correction", [True, False])
def test_an_image_keeps_its_size(antialias: bool, correction: bool) -> None:
    config = GeneratorConfig(4, 3, antialias, correction)
    generator = Generator(config)
    image = torch.rand(2, 3, 36, 48) * 2 - 1
    out, taps = generator.with_taps(image)
    assert out.shape == image.shape and torch.equal(out, generator(image))
    assert tuple(tap.shape[1] for tap in taps) == config.tap_channels
    assert all(torch.equal(*pair) for pair in zip(taps, generator.taps(image), strict=True))
    if not correction:
        assert out.abs().max() <= 1


def test_half_the_resolution_is_about_the_centre() -> None:
    """A ramp comes out as its values midway between two pixels, and goes back to where it was."""
    ramp = torch.arange(16.0).expand(1, 2, 16, 16)
    half = BlurDown()(ramp)
    assert half.shape == (1, 2, 8, 8)
    torch.testing.assert_close(half[0, 0, 3, 1:-1], 2 * torch.arange(1.0, 7) + 0.5)
    torch.testing.assert_close(BlurUp()(half)[0, 0, 8, 4:-4], torch.arange(4.0, 12))


def test_resampling_and_mirroring_commute() -> None:
    image = torch.randn(1, 3, 16, 24)
    for layer in (BlurDown(), BlurUp()):
        torch.testing.assert_close(layer(image.flip(3)), layer(image).flip(3))


def test_padding_is_right_and_below() -> None:
    image = torch.rand(1, 3, 30, 33)
    out = padded(image)
    assert out.shape == (1, 3, 32, 36) and torch.equal(out[..., :30, :33], image)
    assert padded(image[..., :32]).shape == (1, 3, 32, 32)


def test_places_are_different_ones_of_each_map() -> None:
    first, second = patch_places([(4, 5), (30, 30)], 64, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert len(first) == 20 and len(second) == 64  # all of a small map
    assert len(set(second.tolist())) == 64 and second.max() < 900


def test_projections_are_unit_vectors_of_their_places() -> None:
    maps = [torch.randn(2, 3, 4, 5), torch.randn(2, 8, 2, 2)]
    places = [torch.tensor([7, 0]), torch.tensor([3, 1])]
    projections = PatchProjections((3, 8))
    out = projections(maps, places)
    for vectors, map_bchw, place, project in zip(out, maps, places, projections.projections, strict=True):
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(2, 2))
        row, column = divmod(int(place[0]), map_bchw.shape[3])
        single = project(map_bchw[1, :, row, column])
        torch.testing.assert_close(vectors[1, 0], single / single.norm())
