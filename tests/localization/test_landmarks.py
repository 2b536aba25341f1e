from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_so3
from transpose.localization.landmarks import LandmarkMap, match_everywhere, match_near
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.matching import most_similar
from transpose.models.network import ImageMaps
from transpose.models.xfeat import DESCRIPTOR_CHANNELS, XFeatEncoder
from transpose.randomness import stream

CAMERA = Camera.from_focal(500.0, 640, 480)
POSE = Pose(compose(exp_so3(np.array([0.1, -0.2, 0.05])), np.array([0.3, -0.2, 0.1])))


def some_landmarks(count: int, seed: int = 0) -> LandmarkMap:
    rng = stream(seed, "landmarks")
    px_n2 = rng.uniform((0, 0), (640, 480), (count, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(1, 4, (count, 1)) @ POSE.R_wc.T + POSE.center
    descriptors_nc = F.normalize(torch.from_numpy(rng.standard_normal((count, DESCRIPTOR_CHANNELS))).float(), dim=1)
    return LandmarkMap(torch.from_numpy(points_n3).float(), descriptors_nc)


def seen_in(landmarks: LandmarkMap, noise: float, seed: int = 1) -> tuple[Keypoints, np.ndarray]:
    """Keypoints where the landmarks are, in another order, and that order."""
    rng = stream(seed, "keypoints")
    order = rng.permutation(len(landmarks))
    points_n3 = landmarks.points_n3.double().numpy()[order]
    px_n2 = CAMERA.project((points_n3 - POSE.center) @ POSE.R_wc)
    shaken = landmarks.descriptors_nc[order] + noise * torch.from_numpy(rng.standard_normal((len(order), 64))).float()
    return Keypoints(torch.from_numpy(px_n2).float(), F.normalize(shaken, dim=1)), order


def test_landmarks_are_recognized_everywhere_and_near() -> None:
    landmarks = some_landmarks(300)
    keypoints, order = seen_in(landmarks, 0.05)
    for matches in (
        match_everywhere(keypoints, landmarks),
        match_near(keypoints, landmarks, POSE, CAMERA, 10.0),
    ):
        assert len(matches) > 280
        assert (order[matches.keypoint_m] == matches.landmark_m).all()


def test_near_finds_what_a_slow_search_finds() -> None:
    landmarks = some_landmarks(200)
    keypoints, _ = seen_in(landmarks, 0.08)
    radius_px = 80.0
    px_l2 = CAMERA.project((landmarks.points_n3.double().numpy() - POSE.center) @ POSE.R_wc)
    similarity = (keypoints.descriptors_nc @ landmarks.descriptors_nc.T).numpy().copy()
    apart = np.linalg.norm(keypoints.px_n2.double().numpy()[:, None] - px_l2[None], axis=-1)
    similarity[apart > radius_px] = -1
    expected = {
        (n, int(similarity[n].argmax()))
        for n in range(len(keypoints))
        if similarity[n].max() > 0.7 and similarity[:, similarity[n].argmax()].argmax() == n
    }
    matches = match_near(keypoints, landmarks, POSE, CAMERA, radius_px)
    assert set(zip(matches.keypoint_m.tolist(), matches.landmark_m.tolist(), strict=True)) == expected


def test_a_look_alike_far_away_is_not_taken_near() -> None:
    landmarks = some_landmarks(100)
    keypoints, order = seen_in(landmarks, 0.0)
    twins = torch.cat([landmarks.points_n3 + torch.tensor([3.0, 0.0, 0.0]), landmarks.points_n3])
    doubled = LandmarkMap(twins, landmarks.descriptors_nc.repeat(2, 1))
    matches = match_near(keypoints, doubled, POSE, CAMERA, 5.0)
    right = order[matches.keypoint_m] + 100 == matches.landmark_m
    assert right.mean() > 0.95
    assert len(matches) > 90


@pytest.mark.parametrize("keypoints_count, landmarks_count", [(0, 10), (10, 0), (0, 0)])
def test_nothing_matches_nothing(keypoints_count: int, landmarks_count: int) -> None:
    keypoints, _ = seen_in(some_landmarks(keypoints_count), 0.0)
    landmarks = some_landmarks(landmarks_count)
    assert len(match_everywhere(keypoints, landmarks)) == 0
    assert len(match_near(keypoints, landmarks, POSE, CAMERA, 10.0)) == 0


def test_nothing_matches_behind_the_camera() -> None:
    landmarks = some_landmarks(50)
    keypoints, _ = seen_in(landmarks, 0.0)
    turned = Pose(POSE.T_wc @ compose(exp_so3(np.array([0.0, np.pi, 0.0])), np.zeros(3)))
    assert len(match_near(keypoints, landmarks, turned, CAMERA, 10.0)) == 0


def test_a_map_comes_back_from_its_checkpoint() -> None:
    landmarks = some_landmarks(40)
    state = landmarks.state()
    assert state["descriptors"].dtype == torch.int8
    again = LandmarkMap.from_state(state, torch.device("cpu"))
    assert torch.equal(again.points_n3, landmarks.points_n3)
    assert (again.descriptors_nc * landmarks.descriptors_nc).sum(1).min() > 0.999
    assert "toward" not in state and again.toward_n3 is None and again.toward_m3(np.arange(3)) is None
    toward_n3 = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) / 2
    again = LandmarkMap.from_state(replace(landmarks, toward_n3=toward_n3).state(), torch.device("cpu")).strongest(9)
    toward_m3 = again.toward_m3(np.array([8, 2]))
    assert toward_m3 is not None and np.allclose(toward_m3, toward_n3[[8, 2]], atol=0.005)


@pytest.mark.parametrize("name", ["points", "toward"])
def test_a_map_that_does_not_fit_together_is_refused(name: str) -> None:
    state = replace(some_landmarks(40), toward_n3=torch.zeros(40, 3)).state()
    for wrong in (state[name][:5], state[name][:, :2]):
        with pytest.raises(TransposeError, match=f"do not fit together .*{name}"):
            LandmarkMap.from_state({**state, name: wrong}, torch.device("cpu"))


def test_keypoints_stay_inside_the_image_and_stick_to_corners() -> None:
    image = np.full((100, 150, 3), 90, np.uint8)
    image[30:60, 40:90] = 220
    maps = XFeatEncoder().maps(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    keypoints = keypoints_of(maps, (100, 150), 50)
    assert 1 <= len(keypoints) <= 50
    assert ((keypoints.px_n2 >= 8) & (keypoints.px_n2 <= torch.tensor([142.0, 92.0]))).all()
    corners = torch.tensor([[40.0, 30.0], [90.0, 30.0], [40.0, 60.0], [90.0, 60.0]])
    assert (torch.cdist(corners, keypoints.px_n2).min(1).values < 3).sum() >= 3
    assert torch.allclose(keypoints.descriptors_nc.norm(dim=1), torch.ones(len(keypoints)), atol=1e-5)


def maps_with_corners(xy_n2: torch.Tensor, size: tuple[int, int]) -> ImageMaps:
    """An encoder's output for an image with corners at these pixels; its first two channels tell where a cell is."""
    height, width = size
    rows, columns = -(-height // 8), -(-width // 8)
    features_bchw = torch.ones(1, 256, rows, columns, device=xy_n2.device)
    features_bchw[0, 0] = 8 * torch.arange(columns, device=xy_n2.device) + 4.0
    features_bchw[0, 1] = 8 * torch.arange(rows, device=xy_n2.device)[:, None] + 4.0
    features_bchw[0, 2] = 100.0
    corners_bhw = torch.zeros(1, 8 * rows, 8 * columns, device=xy_n2.device)
    corners_bhw[0, xy_n2[:, 1], xy_n2[:, 0]] = 0.5
    return ImageMaps(features_bchw, corners_bhw, torch.ones(1, rows, columns, device=xy_n2.device))


def test_a_keypoint_is_the_middle_of_its_pixel_and_is_described_there(device: torch.device) -> None:
    """Continuous pixels, in which the first pixel's middle is 0.5; the image is no multiple of the map's cells."""
    size = 197, 301
    x, y = torch.meshgrid(torch.arange(20, 280, 7), torch.arange(20, 176, 7), indexing="xy")
    xy_n2 = torch.stack([x.flatten(), y.flatten()], 1).to(device)
    keypoints = keypoints_of(maps_with_corners(xy_n2, size), size, 10_000)
    assert len(keypoints) == len(xy_n2)
    px_n2 = keypoints.px_n2
    assert torch.equal(px_n2.sort(0).values, (xy_n2 + 0.5).sort(0).values)
    # Of the unit vectors the direction is left: channel 2 says how long they were.
    where_n2 = keypoints.descriptors_nc[:, :2] / keypoints.descriptors_nc[:, 2:3] * 100
    assert (where_n2 - px_n2).abs().max() < 0.5  # a cubic through the cells' middles
    assert (where_n2 - px_n2).mean(0).abs().max() < 0.05


def test_reliability_decides_between_corners_where_they_are(device: torch.device) -> None:
    xy_n2 = torch.tensor([[11, 20], [20, 20], [29, 20]], device=device)
    maps = maps_with_corners(xy_n2, (48, 64))
    maps.reliability_bhw[0] = torch.arange(8, device=device) / 8
    assert keypoints_of(maps, (48, 64), 2).px_n2.tolist() == [[29.5, 20.5], [20.5, 20.5]]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 2048, 5000])
def test_the_most_similar_is_the_one_that_a_plain_search_finds(count: int) -> None:
    torch.manual_seed(count)
    query, among = (F.normalize(torch.randn(n, 64), dim=1) for n in (50, count))
    index, value = most_similar(-among[:1].repeat(50, 1) if count == 1 else query, among)
    plain = (-among[:1].repeat(50, 1) if count == 1 else query) @ among.T
    assert torch.equal(index, plain.argmax(1))
    assert torch.allclose(value, plain.amax(1), atol=1e-5)


def test_pairs_that_look_alike_are_likelier_and_speak_for_the_place() -> None:
    """The similarity is the cosine of the two descriptors, however they were matched."""
    rng = np.random.default_rng(3)
    looks_nc = F.normalize(torch.from_numpy(rng.normal(size=(60, 64))).float(), dim=1)
    points_n3 = np.c_[rng.uniform(-1, 1, (60, 2)), rng.uniform(4, 6, 60)]
    landmarks = LandmarkMap(torch.from_numpy(points_n3).float(), looks_nc)
    px_n2 = torch.from_numpy(CAMERA.project(points_n3)).float()
    noise_nc = torch.from_numpy(rng.normal(size=(60, 64))).float() / 8
    strengths = []
    for amount in (0.0, 0.3, 0.6):
        keypoints = Keypoints(px_n2, F.normalize(looks_nc + amount * noise_nc, dim=1))
        for found in (
            match_everywhere(keypoints, landmarks), match_near(keypoints, landmarks, Pose(np.eye(4)), CAMERA, 3.0)
        ):  # fmt: skip
            expected_m = (keypoints.descriptors_nc[found.keypoint_m] * looks_nc[found.landmark_m]).sum(1)
            np.testing.assert_allclose(found.similarity_m, expected_m, atol=1e-6)
            order_m = np.argsort(found.similarity_m)
            assert (np.diff(found.likelihood_m[order_m]) >= 0).all() and (found.likelihood_m > 0).all()
        strengths.append(found.strength)
    assert strengths[0] == pytest.approx(60, rel=1e-3) and strengths == sorted(strengths, reverse=True)
