"""An image's content: found when it is asked for, and once for all cameras."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.localization.checkpoints import CAMERA, checkpoint
from transpose.localization import Query
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.localization.scene_network import SceneNetwork
from transpose.models.xfeat import DESCRIPTOR_CHANNELS

IMAGE = np.random.default_rng(0).integers(0, 256, (CAMERA.height, CAMERA.width, 3), dtype=np.uint8)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of the network was asked."""
    counted = Counter[str]()
    for name in ("maps", "coordinates", "recognized"):
        original = getattr(SceneNetwork, name)

        def asked(*args: object, name: str = name, original: object = original) -> object:
            counted[name] += 1
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(SceneNetwork, name, asked)
    return counted


def localizer(landmarks: int = 0) -> SceneCoordinateLocalizer:
    if not landmarks:
        return SceneCoordinateLocalizer(checkpoint(), precision="float32")
    generator = torch.Generator().manual_seed(1)
    descriptors_lc = F.normalize(torch.randn(landmarks, DESCRIPTOR_CHANNELS, generator=generator), dim=1)
    state = LandmarkMap(torch.rand(landmarks, 3, generator=generator), descriptors_lc).state()
    return SceneCoordinateLocalizer(checkpoint(landmarks=state), precision="float32")


def test_one_pass_of_the_network_serves_all_cameras(calls: Counter[str]) -> None:
    known = localizer(50)
    encoded = known.encode(Query(IMAGE, CAMERA))
    assert calls == {"maps": 1}
    zoomed = encoded.with_camera(CAMERA.zoomed(1.1))
    first, second = known.predict(encoded), known.predict(zoomed)
    assert (first.camera, second.camera) == (CAMERA, CAMERA.zoomed(1.1)) and first.points_hw3 is second.points_hw3
    assert zoomed.content.keypoints is encoded.content.keypoints and zoomed.content.matches is encoded.content.matches
    one, other = known.by_landmarks(encoded), known.by_landmarks(zoomed)
    assert one is not None and other is not None and one.matches is other.matches and one.camera != other.camera
    assert calls == {"maps": 1, "coordinates": 1}


def test_without_landmarks_there_are_no_matches() -> None:
    known = localizer()
    encoded = known.encode(Query(IMAGE, CAMERA))
    assert encoded.content.matches is None and known.by_landmarks(encoded) is None


def test_matches_that_are_known_are_those_that_would_be_found() -> None:
    known = localizer(200)
    by = known.by_landmarks(known.encode(Query(IMAGE, CAMERA)))
    assert by is not None and by.matches is not None
    again = type(by)(by.landmarks, by.origin_3, by.keypoints, by.camera, by.options, by.seed)
    assert again.everywhere().estimate.reason == by.everywhere().estimate.reason
    np.testing.assert_array_equal(again.everywhere().px_n2, by.everywhere().px_n2)


@pytest.mark.parametrize("focal_px", [90.0, "auto"])
def test_noise_is_encoded_once_each_way_up_and_searched_in_full_once(
    calls: Counter[str], focal_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = localizer(200)
    monkeypatch.setattr(SceneCoordinateLocalizer, "_strength", lambda *_: 1.0)
    estimate = known.localize(IMAGE, focal_px=focal_px)  # type: ignore[arg-type]
    assert estimate.pose is None and calls["maps"] == 4 and calls["coordinates"] == 1
