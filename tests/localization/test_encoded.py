"""An image's content: found when it is asked for, and once for all cameras."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.localization.checkpoints import CAMERA, checkpoint
from transpose.errors import TransposeError
from transpose.localization import Query
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.encoded import Encoded
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.localizer import matches_of
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


class Poses:
    """A method whose poses rest on no correspondences."""

    checkpoint = replace(checkpoint(), kind="atloc")


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


@pytest.mark.parametrize("focal_px, scales", [(90.0, 1), ("auto", 5)])
def test_noise_is_encoded_once_each_way_up_and_at_each_scale_and_searched_in_full_once(
    calls: Counter[str], focal_px: float, scales: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = localizer(200)
    monkeypatch.setattr(SceneCoordinateLocalizer, "_strength", lambda *_: 1.0)
    estimate = known.localize(IMAGE, focal_px=focal_px)  # type: ignore[arg-type]
    assert estimate.pose is None and calls["maps"] == 3 + scales and calls["coordinates"] == 1


def test_cells_that_see_a_place_from_behind_give_no_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks on the ground were seen from above; what is mirrored is seen from below."""
    generator = torch.Generator().manual_seed(2)
    points_l3 = 12 * (torch.rand(300, 3, generator=generator) - 0.5) * torch.tensor([1.0, 1.0, 0.0])
    looks_lc = F.normalize(torch.randn(300, DESCRIPTOR_CHANNELS, generator=generator), dim=1)
    up_l3 = torch.tensor([0.0, 0.0, 0.9]).expand(300, 3)
    above = np.array([0.3, 0.2, 4.0])
    origin_3 = np.array([500.0, -40.0, 7.0])
    for landmarks, mirrored, right in (
        (LandmarkMap(points_l3, looks_lc, up_l3), False, True),
        (LandmarkMap(points_l3, looks_lc, up_l3), True, False),
        (LandmarkMap(points_l3, looks_lc), True, True),  # a run from before says nothing of it
    ):
        known = SceneCoordinateLocalizer(
            checkpoint(landmarks=landmarks.state(), origin_3=origin_3), precision="float32", use="cells"
        )
        encoded = known.encode(Query(IMAGE, CAMERA))
        predicted = known.predict(encoded)
        ray_hw3 = CAMERA.unproject(predicted.cell_px()) * (1, -1, -1)
        ground_hw3 = above + 4 * ray_hw3 * ((-1, 1, 1) if mirrored else (1, 1, 1)) + origin_3
        seen = replace(predicted, points_hw3=ground_hw3)
        found = known._by_cells(encoded, seen, 0)
        assert (found.pose is not None) == right
        if found.pose is not None:
            assert np.allclose(found.pose.center - origin_3, above * (1, 1, -1 if mirrored else 1), atol=0.02)


def test_what_is_near_tells_from_where_a_point_can_be_seen() -> None:
    points_l3 = torch.tensor([[float(i), 0, 0] for i in range(20)])
    toward_l3 = torch.tensor([[0, 0, 1.0]] * 10 + [[0, 0, -1.0]] * 10)
    looks_lc = torch.zeros(20, DESCRIPTOR_CHANNELS)
    near_m3 = LandmarkMap(points_l3, looks_lc, toward_l3).toward_near(np.array([[3.0, 1, 0], [9.5, 0, 0], [16, 0, 2]]))
    assert near_m3 is not None and np.allclose(near_m3, [[0, 0, 1], [0, 0, 0], [0, 0, -1]])
    assert LandmarkMap(points_l3, looks_lc).toward_near(points_l3.numpy()) is None
    few = LandmarkMap(points_l3[:2], looks_lc[:2], toward_l3[:2]).toward_near(np.zeros((1, 3)))
    assert few is not None and np.allclose(few, [[0, 0, 1]])


def test_correspondences_that_no_pose_has_chosen_depend_on_the_seed_of_the_search_alone() -> None:
    known, query = localizer(200), Query(IMAGE, CAMERA)
    seeds: list[int] = []
    by_landmarks = SceneCoordinateLocalizer.by_landmarks

    def asked(self: SceneCoordinateLocalizer, encoded: Encoded, seed: int = 0) -> ByLandmarks | None:
        seeds.append(seed)
        return by_landmarks(self, encoded, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SceneCoordinateLocalizer, "by_landmarks", asked)
        one, other = matches_of(known, query, seed=5), matches_of(known, query, seed=5)
        assert set(seeds) == {5}
        known.matches(query)
        assert set(seeds) == {5, 0}
    np.testing.assert_array_equal(one.px_n2, other.px_n2)
    with pytest.raises(TransposeError, match="'atloc' matches no points of a place"):
        matches_of(Poses(), query)  # type: ignore[arg-type]


def test_what_learned_no_tasks_has_no_maps_of_them() -> None:
    maps = localizer().task_maps(IMAGE)
    assert maps.camera == CAMERA and maps.depth is None and maps.normal is None and maps.semantics is None
