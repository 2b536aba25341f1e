"""A pose by landmarks is refined with all keypoints that lie where it puts a landmark."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose, exp_so3, pose_error, transform
from transpose.localization import LocalizationOptions
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.landmarks import LandmarkMap
from transpose.models.keypoints import Keypoints

CAMERA = Camera.from_focal(500.0, 640, 480)
POSE = Pose(compose(exp_so3(np.array([0.1, 0.2, -0.1])), np.array([0.3, -0.2, 0.1])))


def place(count: int, noise_px: float, seed: int = 0) -> tuple[LandmarkMap, Keypoints]:
    """Landmarks in front of the camera, and a keypoint for each with the descriptor of it."""
    rng = np.random.default_rng(seed)
    px_n2 = rng.uniform((20, 20), (620, 460), (count, 2))
    points_n3 = transform(POSE.T_wc, CAMERA.unproject(px_n2) * rng.uniform(2, 5, count)[:, None])
    descriptors = F.normalize(torch.from_numpy(rng.normal(size=(count, 64))).float(), dim=1)
    seen_n2 = px_n2 + rng.normal(0, noise_px, px_n2.shape)
    return (
        LandmarkMap(torch.from_numpy(points_n3).float(), descriptors),
        Keypoints(torch.from_numpy(seen_n2).float(), descriptors),
    )


def by_landmarks(landmarks: LandmarkMap, keypoints: Keypoints, options: LocalizationOptions) -> ByLandmarks:
    return ByLandmarks(landmarks, np.zeros(3), keypoints, CAMERA, options, 0)


def test_keypoints_beyond_the_strongest_make_the_pose_better() -> None:
    options = LocalizationOptions(max_keypoints=100)
    coarse = dataclasses.replace(options, refining_keypoints=1, refinement_radius_px=1e-6)
    errors = []
    for seed in range(8):
        landmarks, keypoints = place(1500, 0.8, seed)
        found = by_landmarks(landmarks, keypoints, options).everywhere()
        before = by_landmarks(landmarks, keypoints, coarse).everywhere()
        assert before.support <= 100 < 1000 < found.support
        errors.append((pose_error(found.pose, POSE)[1], pose_error(before.pose, POSE)[1]))
    refined, unrefined = np.median(np.array(errors), axis=0)
    assert refined < 0.6 * unrefined


def test_the_covariance_stays_that_of_the_wider_bound() -> None:
    landmarks, keypoints = place(1500, 0.8)
    options = LocalizationOptions()
    coarse = dataclasses.replace(options, refining_keypoints=1, refinement_radius_px=1e-6)
    found, before = (by_landmarks(landmarks, keypoints, each).everywhere() for each in (options, coarse))
    assert found.estimate.covariance_66 is not None and before.estimate.covariance_66 is not None
    assert np.array_equal(found.estimate.covariance_66, before.estimate.covariance_66)


def test_a_pose_of_too_few_landmarks_is_left_as_it_is() -> None:
    landmarks, keypoints = place(12, 0.5)
    found = by_landmarks(landmarks, keypoints, LocalizationOptions()).everywhere()
    assert found.pose is not None and found.support < LocalizationOptions().min_landmarks


def test_the_mirrored_image_of_a_flat_place_is_not_taken_from_below_the_ground() -> None:
    """From there a camera would see it so, if the ground were of glass; from above, the place is seen as before."""
    rng = np.random.default_rng(3)
    above = Pose(compose(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 10.0])))
    px_n2 = rng.uniform((20, 20), (620, 460), (400, 2))
    points_n3 = transform(above.T_wc, 10 * CAMERA.unproject(px_n2))
    looks = F.normalize(torch.from_numpy(rng.normal(size=(400, 64))).float(), dim=1)
    toward_n3 = F.normalize(torch.from_numpy(above.center - points_n3).float(), dim=1)
    known = LandmarkMap(torch.from_numpy(points_n3).float(), looks, toward_n3)
    mirrored_n2 = np.stack([640 - px_n2[:, 0], px_n2[:, 1]], 1)
    found, unknown, fooled = (
        by_landmarks(landmarks, Keypoints(torch.from_numpy(seen_n2).float(), looks), LocalizationOptions()).everywhere()
        for landmarks, seen_n2 in (
            (known, px_n2),
            (known, mirrored_n2),
            (dataclasses.replace(known, toward_n3=None), mirrored_n2),
        )
    )
    assert found.pose is not None and found.support == 400 and pose_error(found.pose, above)[1] < 1e-3
    assert unknown.pose is None and unknown.support == 0
    assert fooled.pose is not None and fooled.support == 400 and fooled.pose.center[2] < -9


def test_what_rests_on_too_few_landmarks_is_not_refined() -> None:
    """Near a pose that five agree with lie hundreds of others by chance as well as by right."""
    landmarks, keypoints = place(1500, 0.8)
    by = by_landmarks(landmarks, keypoints, LocalizationOptions())
    found = by.everywhere().before
    assert found is not None and by.refined(found) is not found
    few_n = np.asarray(found.estimate.inlier_mask_n) & (np.cumsum(found.estimate.inlier_mask_n) <= 5)
    doubtful = dataclasses.replace(found, estimate=dataclasses.replace(found.estimate, inlier_mask_n=few_n))
    assert by.refined(doubtful) is doubtful
