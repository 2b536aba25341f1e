"""What augmentation does to an image, a camera and a pose, each part alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import exp_se3, log_so3
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions, augment, fill_holes, repaint, warp

CAMERA = Camera(64, 48, 45, 44, 30, 25, k1=0.01)
POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))
NOTHING = AugmentOptions(1, 0, 1, 1, 0, 0, 0, 100)
GREYS = np.arange(40, 200, 4)
RAMP = np.broadcast_to(GREYS[None, :, None], (48, len(GREYS), 3)).astype(np.uint8)


def some_image(seed: int = 0) -> np.ndarray:
    """Smooth, so that no resampling hurts."""
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 3.0)


@pytest.mark.parametrize(
    "wrong",
    [{"max_scale": 0.99}, {"max_gamma": 0.99}, {"max_gain": 0.99}, {"max_rotation_deg": -0.1}, {"max_noise": -0.1}],
)
def test_ranges_that_hold_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replace(NOTHING, **wrong)


def test_nothing_asked_is_nothing_done() -> None:
    view = augment(some_image(), CAMERA, POSE, stream(0, "x"), NOTHING)
    assert np.array_equal(view.image_hw3, some_image())
    assert view.camera == CAMERA
    assert np.array_equal(view.pose.T_wc, POSE.T_wc)
    assert np.array_equal(view.source_px(np.array([[3.0, 4.0]])), [[3.0, 4.0]])


@pytest.mark.parametrize(("angle_rad", "scale"), [(0.3, 1.0), (0.0, 1.3), (-0.2, 0.8)])
def test_a_warp_turns_and_zooms_by_what_was_asked(angle_rad: float, scale: float) -> None:
    view = warp(some_image(), CAMERA, POSE, angle_rad, scale)
    assert view.camera == replace(CAMERA, fx=scale * CAMERA.fx, fy=scale * CAMERA.fy)
    # Content turns clockwise where the camera turns the other way.
    assert np.allclose(log_so3(view.pose.T_wc[:3, :3].T @ POSE.T_wc[:3, :3]), [0, 0, angle_rad])
    assert np.allclose(view.pose.T_wc[:3, 3], POSE.T_wc[:3, 3])
    right_of_centre = np.array([CAMERA.cx + 10.0, CAMERA.cy])
    at_2 = np.array([CAMERA.cx + 10 * scale * np.cos(angle_rad), CAMERA.cy + 10 * scale * np.sin(angle_rad) * 44 / 45])
    assert np.allclose(view.source_px(at_2), right_of_centre)


def test_a_warped_image_is_that_of_the_pixels_it_comes_from() -> None:
    """To a small part of a pixel: half a pixel more or less would be several grey levels."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 1.0)
    view = warp(image, CAMERA, POSE, 0.6, 0.8)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    source = view.source_px(np.stack([x, y], -1)) - 0.5
    expected = cv2.remap(
        image, *np.moveaxis(source.astype(np.float32), -1, 0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    assert np.abs(view.image_hw3.astype(int) - expected).mean() < 0.5
    outside = (source < 0).any(-1) | (source > (63, 47)).any(-1)
    assert outside.sum() > 300  # the mirror image beyond the border was looked at


def test_angles_and_zooms_fill_their_ranges_evenly() -> None:
    options = replace(NOTHING, max_rotation_deg=20, max_scale=1.5)
    blank = np.zeros((48, 64, 3), np.uint8)
    views = [augment(blank, CAMERA, POSE, stream(seed, "x"), options) for seed in range(200)]
    turned_deg = np.degrees([log_so3(view.pose.T_wc[:3, :3].T @ POSE.T_wc[:3, :3])[2] for view in views])
    for drawn, most in ((turned_deg, 20.0), (np.log([v.camera.fx / CAMERA.fx for v in views]), np.log(1.5))):
        even_below(np.asarray(drawn) / most)


def even_below(drawn_n: np.ndarray) -> None:
    """Whether numbers may be drawn evenly from -1 to 1 (Kolmogorov and Smirnov; 200 of them)."""
    empirical_n = (np.arange(len(drawn_n)) + 0.5) / len(drawn_n)
    assert np.abs(drawn_n).max() <= 1 + 1e-6
    assert np.abs((np.sort(drawn_n) + 1) / 2 - empirical_n).max() < 0.12


def test_exposure_is_a_power_and_a_gain_a_channel() -> None:
    """log(out) = gamma log(in) + log(gain), with both in their ranges, evenly in their logarithm."""
    options = replace(NOTHING, max_gamma=1.4, max_gain=1.25)
    gammas, gains = [], []
    for seed in range(200):
        out_n3 = repaint(RAMP, stream(seed, "x"), options)[0].astype(float)
        fits = []
        for channel in range(3):
            seen = (out_n3[:, channel] > 0) & (out_n3[:, channel] < 255)
            fits.append(np.polyfit(np.log(GREYS[seen] / 255), np.log(out_n3[seen, channel] / 255), 1))
            residual = np.polyval(fits[-1], np.log(GREYS[seen] / 255)) - np.log(out_n3[seen, channel] / 255)
            assert np.abs(residual).max() < 0.05  # rounded to whole numbers
        powers_3, logs_3 = np.transpose(fits)
        assert np.ptp(powers_3) < 0.05  # one for all channels
        gammas.append(np.median(powers_3))
        gains.append(logs_3)
    even_below(np.log(gammas) / np.log(1.43))  # a fit to whole numbers scatters
    for channel in range(3):
        even_below(np.array(gains)[:, channel] / np.log(1.28))
    assert abs(np.corrcoef(np.transpose(gains))[np.triu_indices(3, 1)]).max() < 0.3


def test_focus_blurs_or_sharpens() -> None:
    """A blur takes contrast of fine structure away, sharpening adds some; the mean stays, each has a limit."""
    image = np.full((48, 64, 3), 118, np.uint8)
    image[:, ::4] = 138
    contrast = image.std()
    both = [repaint(image, stream(seed, "x"), replace(NOTHING, max_blur_px=1.5, max_sharpen=1.5)) for seed in range(60)]
    blurred = [repaint(image, stream(seed, "x"), replace(NOTHING, max_blur_px=1.5)) for seed in range(60)]
    sharpened = [repaint(image, stream(seed, "x"), replace(NOTHING, max_sharpen=1.5)) for seed in range(60)]
    for i, out in enumerate(both):
        assert abs(out.mean() - image.mean()) < 1.0
        is_blurred, is_sharpened = (not np.array_equal(each[i], image) for each in (blurred, sharpened))
        assert is_blurred != is_sharpened or out.std() == contrast
        assert np.array_equal(out, blurred[i] if is_blurred else sharpened[i])
    assert 15 < sum(np.array_equal(each, image) for each in blurred) < 45
    most_blurred = cv2.GaussianBlur(image, (0, 0), 1.5).std()
    assert most_blurred <= min(each.std() for each in blurred) < 1.3 * most_blurred
    assert max(each.std() for each in blurred) == contrast
    # The fine structure's own share grows by the strength, of what a blur of 1.2 pixels takes away.
    most_sharpened = contrast + 1.5 * (image.astype(float) - cv2.GaussianBlur(image, (0, 0), 1.2)).std()
    assert 0.9 * most_sharpened < max(each.std() for each in sharpened) <= 1.01 * most_sharpened


def test_noise_is_of_every_size_up_to_the_largest_and_never_the_same() -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    noise = [repaint(grey, stream(seed, "x"), replace(NOTHING, max_noise=8)).astype(float) - 128 for seed in range(200)]
    even_below(np.array([each.std() for each in noise]) / 4.1 - 1)
    assert abs(np.mean(noise)) < 0.05
    strong = np.array([each.ravel() / each.std() for each in noise if each.std() > 2])
    alike = np.abs(np.corrcoef(strong))[np.triu_indices(len(strong), 1)]
    assert np.median(alike) < 0.03
    assert (alike > 0.5).mean() < 0.001  # two windows of one field hardly ever meet


def test_compression_is_of_every_quality_down_to_the_lowest() -> None:
    image = np.random.default_rng(0).normal(128, 25, (48, 64, 3)).clip(0, 255).astype(np.uint8)
    one, many = (
        [np.abs(repaint(image, stream(seed, "x"), replace(NOTHING, min_jpeg_quality=q)) - image.astype(float)).mean()
         for seed in range(60)] for q in (99, 40)
    )  # fmt: skip
    bgr = np.ascontiguousarray(image[..., ::-1])
    error = {
        q: np.abs(cv2.imdecode(cv2.imencode(".jpg", bgr, [1, q])[1], 1).astype(float) - bgr).mean() for q in range(101)
    }
    assert {round(e, 6) for e in one} == {round(error[q], 6) for q in (99, 100)}
    assert {round(e, 6) for e in many} <= {round(error[q], 6) for q in range(40, 101)}
    assert max(many) > error[45] and len(set(many)) > 25


def test_a_hole_is_filled_by_an_image_of_any_size() -> None:
    image, hole = some_image(), np.zeros((48, 64), bool)
    assert fill_holes(image, hole, some_image(1)) is image
    hole[10:30, 20:40] = True
    large = some_image(1)
    small = cv2.resize(large, (32, 24))
    for filling, resized in ((large, large), (small, cv2.resize(small, (64, 48)))):
        out = fill_holes(image, hole, filling)
        assert np.array_equal(out[hole], resized[hole]) and np.array_equal(out[~hole], image[~hole])
