"""Augmentation that keeps image, intrinsics, pose and labels in agreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.randomness import stream

_NOISE_UNIT = 1000.0
_NOISE_MARGIN_PX = 256


@dataclass(frozen=True)
class AugmentOptions:
    """Ranges that are drawn from uniformly (scales and gains in their logarithm)."""

    max_scale: float = 1.25
    max_rotation_deg: float = 15.0
    max_gamma: float = 1.4
    max_gain: float = 1.2  # each colour's own
    max_blur_px: float = 1.5  # standard deviation
    max_sharpen: float = 1.5
    max_noise: float = 8.0  # standard deviation in 0..255
    min_jpeg_quality: int = 60

    def __post_init__(self) -> None:
        if min(self.max_scale, self.max_gamma, self.max_gain) < 1 or self.max_rotation_deg < 0 or self.max_noise < 0:
            raise ValueError(f"scales and gains are at least 1, the rest at least 0, got {self}")


@dataclass(frozen=True)
class AugmentedView:
    """An image with the camera and pose that it now has.

    `to_source_23` maps its continuous pixels to those of the source image, where labels are read.
    """

    image_hw3: np.ndarray
    camera: Camera
    pose: Pose
    to_source_23: np.ndarray

    def source_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Where pixels (..., 2) of this image were in the source."""
        return px_n2 @ self.to_source_23[:, :2].T + self.to_source_23[:, 2]


def augment(
    image_hw3: np.ndarray, camera: Camera, pose: Pose, rng: np.random.Generator, options: AugmentOptions
) -> AugmentedView:
    """Turns, scales and repaints an image; the size stays."""
    angle = np.radians(rng.uniform(-1, 1) * options.max_rotation_deg)
    scale = _log_uniform(rng, options.max_scale)
    view = warp(image_hw3, camera, pose, float(angle), scale)
    return replace(view, image_hw3=repaint(view.image_hw3, rng, options))


def warp(image_hw3: np.ndarray, camera: Camera, pose: Pose, angle_rad: float, scale: float) -> AugmentedView:
    """Turns the camera about its axis by `angle_rad` (positive: the image's content turns clockwise) and zooms in.

    The image moves about the principal point; what comes in from beyond the border is its mirror image.
    """
    turned_33 = exp_so3(np.array([0.0, 0.0, angle_rad]))
    zoomed = replace(camera, fx=camera.fx * scale, fy=camera.fy * scale)
    if angle_rad == 0 and scale == 1:
        return AugmentedView(image_hw3, camera, pose, np.eye(3)[:2])
    # Both distortion factors depend on the radius alone, so the map between the two images is affine.
    forward_33 = zoomed.K_33 @ turned_33 @ np.linalg.inv(camera.K_33)
    to_source_33 = np.linalg.inv(forward_33)
    # OpenCV counts pixel centres at integers.
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    opencv_33 = np.linalg.inv(half) @ to_source_33 @ half
    warped = cv2.warpAffine(
        image_hw3,
        opencv_33[:2],
        (camera.width, camera.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    T_wc = pose.T_wc @ compose(turned_33.T, np.zeros(3))
    return AugmentedView(warped, zoomed, Pose(T_wc), to_source_33[:2])


def repaint(image_hw3: np.ndarray, rng: np.random.Generator, options: AugmentOptions) -> np.ndarray:
    """Another lens, exposure, sensor and encoder: blur or sharpening, gamma and gain, noise, JPEG."""
    focus = rng.uniform(-1, 1)
    if focus < 0 and options.max_blur_px > 0:
        image_hw3 = cv2.GaussianBlur(image_hw3, (0, 0), max(0.2, -focus * options.max_blur_px))
    elif focus > 0 and options.max_sharpen > 0:
        blurred = cv2.GaussianBlur(image_hw3, (0, 0), 1.2)
        strength = focus * options.max_sharpen
        image_hw3 = cv2.addWeighted(image_hw3, 1 + strength, blurred, -strength, 0)
    gamma = _log_uniform(rng, options.max_gamma)
    gains_3 = [_log_uniform(rng, options.max_gain) for _ in range(3)]
    curve_256 = (np.arange(256) / 255.0) ** gamma * 255
    table = np.stack([(curve_256 * gain).clip(0, 255) for gain in gains_3], axis=-1)
    image_hw3 = cv2.LUT(image_hw3, table[None].round().astype(np.uint8))
    if options.max_noise > 0:
        noise_hw3 = _noise(image_hw3.shape[:2], rng)
        image_hw3 = cv2.addWeighted(
            image_hw3, 1, noise_hw3, float(rng.uniform(0, options.max_noise)) / _NOISE_UNIT, 0, dtype=cv2.CV_8U
        )
    if options.min_jpeg_quality < 100:
        quality = int(rng.integers(options.min_jpeg_quality, 101))
        # OpenCV compresses what it takes for BGR; unswapped, red would lose what blue loses in a camera.
        bgr_hw3 = cv2.cvtColor(image_hw3, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr_hw3, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image_hw3 = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return image_hw3


def fill_holes(image_hw3: np.ndarray, hole_hw: np.ndarray, filling_hw3: np.ndarray) -> np.ndarray:
    """Puts another image where a render shows nothing, so that no model learns what a hole looks like."""
    if not hole_hw.any():
        return image_hw3
    if filling_hw3.shape != image_hw3.shape:
        filling_hw3 = cv2.resize(filling_hw3, (image_hw3.shape[1], image_hw3.shape[0]))
    return cv2.copyTo(filling_hw3, hole_hw.astype(np.uint8), image_hw3.copy())


@lru_cache(maxsize=4)
def _noise_field(height: int, width: int) -> np.ndarray:
    field = stream(0, "noise field").standard_normal((height, width, 3), dtype=np.float32)
    return (field * _NOISE_UNIT).round().clip(-32767, 32767).astype(np.int16)


def _noise(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation `_NOISE_UNIT`: a random window of one field, drawing which is costly."""
    height, width = shape
    field = _noise_field(height + _NOISE_MARGIN_PX, width + _NOISE_MARGIN_PX)
    y, x = rng.integers(_NOISE_MARGIN_PX, size=2)
    return field[y : y + height, x : x + width]


def _log_uniform(rng: np.random.Generator, maximum: float) -> float:
    return float(np.exp(rng.uniform(-1, 1) * np.log(maximum)))
