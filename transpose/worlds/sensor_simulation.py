"""A rendered view as a camera would have taken it on another day (`Appearance`).

Light is computed in linear values; pictures are sRGB at both ends.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from transpose.worlds.domain_randomization import Appearance, sun_direction

_STEPS = 4096
_BRIGHTEST = 4.0  # Linear values above this are cut; 1 is white.


@cache
def _linear_table() -> np.ndarray:
    """Linear light of each 8-bit sRGB value (IEC 61966-2-1)."""
    value = np.arange(256) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@cache
def _tone_table(gamma: float, contrast: float, rolloff: float) -> np.ndarray:
    """8-bit value for the square root of linear light (steps are finer where the eye and sRGB are)."""
    linear = (np.linspace(0, 1, _STEPS) ** 2) * _BRIGHTEST
    knee = 1 - 0.4 * rolloff
    over = np.maximum(linear - knee, 0)
    linear = np.where(linear > knee, knee + (1 - knee) * (1 - np.exp(-over / max(1 - knee, 1e-6))), linear)
    linear = np.minimum(linear, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    srgb = np.clip(0.46 + (srgb ** (1 / gamma) - 0.46) * contrast, 0, 1)
    return np.round(255 * srgb).astype(np.uint8)


def _to_srgb(linear_hw3: np.ndarray, table: np.ndarray) -> np.ndarray:
    np.clip(linear_hw3, 0, _BRIGHTEST, out=linear_hw3)
    index = cv2.sqrt(linear_hw3)
    return np.take(table, (index * np.float32((_STEPS - 1) / _BRIGHTEST**0.5) + np.float32(0.5)).astype(np.uint16))


def relight(rgb_hw3: np.ndarray, normal_hw3: np.ndarray, lit_hw: np.ndarray, appearance: Appearance) -> np.ndarray:
    """Replaces the survey's even light by that of the sun and the sky.

    Args:
        rgb_hw3: uint8, colours under the survey's overcast sky.
        normal_hw3: float32 unit normals in the world's frame (z up), 0 where the sky is.
        lit_hw: bool, whether the sun reaches the surface; it may face away nevertheless.
        appearance: the day.

    Returns:
        uint8 (h, w, 3); the sky keeps its colour.
    """
    sun = sun_direction(appearance).astype(np.float32)
    facing = np.maximum(cv2.transform(normal_hw3, sun[None]), 0) * lit_hw
    sky = np.float32(appearance.ambient_strength) * (1 - appearance.ambient_tilt * 0.5 * (1 - normal_hw3[..., 2]))
    nothing = cv2.transform(np.abs(normal_hw3), np.ones((1, 3), np.float32)) == 0
    facing[nothing], sky[nothing] = 0.0, 1.0
    light = np.empty(rgb_hw3.shape, np.float32)
    for channel in range(3):
        light[..., channel] = sky * appearance.ambient_rgb[channel]
        light[..., channel] += facing * (appearance.sun_strength * appearance.sun_rgb[channel])
    light[nothing] = 1.0
    light *= cv2.LUT(rgb_hw3, _linear_table())
    return _to_srgb(light, _tone_table(1.0, 1.0, 0.0 if appearance.sun_strength == 0 else 0.5))


def _add_air(linear_hw3: np.ndarray, depth_hw: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> None:
    """Haze in front of the surfaces and the sky behind them, in place."""
    height, width = depth_hw.shape
    haze = _to_linear(np.array(appearance.haze_rgb)).astype(np.float32)
    is_sky = np.isnan(depth_hw)
    if np.isfinite(appearance.haze_visibility_m):
        # Koschmieder: 2 % of the contrast are left at the visibility.
        clear = cv2.exp(np.nan_to_num(depth_hw).astype(np.float32) * np.float32(-3.912 / appearance.haze_visibility_m))
        # Rows of colours are flat here: NumPy is slow where the last axis has three entries.
        rows, haze_row = linear_hw3.reshape(height, -1), np.tile(haze, width)
        rows -= haze_row
        rows *= cv2.merge([clear] * 3).reshape(height, -1)
        rows += haze_row
    pattern = rng.standard_normal((6, 9), np.float32)
    if is_sky.any():
        row, column = np.nonzero(is_sky)
        mix = np.sqrt(np.arange(height, dtype=np.float32) / max(1, row.max()))
        zenith = _to_linear(np.array(appearance.zenith_rgb)).astype(np.float32)
        clouds = cv2.resize(pattern, (width, height), interpolation=cv2.INTER_CUBIC)[row, column]
        gain = 1 + np.float32(0.10 * appearance.cloudiness) * clouds * (1.1 - mix[row])
        linear_hw3[row, column] = (zenith + (haze - zenith) * mix[:, None])[row] * gain[:, None]


def _expose(linear_hw3: np.ndarray, appearance: Appearance) -> np.ndarray:
    """Exposure, white balance and saturation in one matrix, then vignetting and bloom."""
    luma = np.array([0.2126, 0.7152, 0.0722])
    saturation = np.eye(3) * appearance.saturation + (1 - appearance.saturation) * luma[None, :]
    gains = np.diag(np.array(appearance.white_balance) * 2.0**appearance.exposure_ev)
    linear = cv2.transform(linear_hw3, saturation @ gains)
    if appearance.vignetting > 0:
        height, width = linear.shape[:2]
        y = ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5)[:, None]
        x = ((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5)[None, :]
        gain = 1 - np.float32(2 * appearance.vignetting) * (x * x + y * y)
        linear *= cv2.merge([gain] * 3)
    if appearance.bloom > 0:
        small = cv2.resize(linear, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        glow = cv2.GaussianBlur(np.maximum(small - 0.7, 0), (0, 0), linear.shape[1] / 160)
        linear += appearance.bloom * 4 * cv2.resize(glow, linear.shape[1::-1])
    return linear


def _blurred(linear_hw3: np.ndarray, appearance: Appearance) -> np.ndarray:
    if appearance.defocus_px > 0.15:
        size = 2 * int(np.ceil(2.5 * appearance.defocus_px)) + 1
        linear_hw3 = cv2.GaussianBlur(linear_hw3, (size, size), appearance.defocus_px)
    if appearance.motion_px > 0.5:
        half = int(np.ceil(appearance.motion_px / 2)) + 1
        steps = np.linspace(-0.5, 0.5, 33) * appearance.motion_px
        angle = np.radians(appearance.motion_deg)
        offset = np.stack([half + steps * np.sin(angle), half + steps * np.cos(angle)], 1)
        kernel, low = np.zeros((2 * half + 1, 2 * half + 1), np.float32), np.floor(offset).astype(int)
        for (row, column), (down, right) in zip(low, offset - low, strict=True):
            weights = np.outer([1 - down, down], [1 - right, right])
            kernel[row : row + 2, column : column + 2] += weights
        linear_hw3 = cv2.filter2D(linear_hw3, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return linear_hw3


def _developed(linear_hw3: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Noise of the sensor, the tone curve, sharpening and compression."""
    if appearance.shot_noise > 0 or appearance.read_noise > 0:
        sigma = cv2.sqrt(np.maximum(linear_hw3, 0) * appearance.shot_noise**2 + appearance.read_noise**2)
        linear_hw3 = linear_hw3 + sigma * rng.standard_normal(linear_hw3.shape, np.float32)
    image = _to_srgb(linear_hw3, _tone_table(appearance.gamma, appearance.contrast, appearance.rolloff))
    if appearance.sharpening > 0:
        image = cv2.addWeighted(
            image, 1 + appearance.sharpening, cv2.GaussianBlur(image, (3, 3), 0.9), -appearance.sharpening, 0
        )
    if appearance.jpeg_quality < 100:
        # OpenCV compresses what it takes for BGR; without the swap the wrong channels lose resolution.
        packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, appearance.jpeg_quality])[1]
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1]
    return image


def simulate_photo(
    rgb_hw3: np.ndarray, depth_hw: np.ndarray, appearance: Appearance, rng: np.random.Generator
) -> np.ndarray:
    """What a camera on that day makes of a rendered (and relit) picture.

    Args:
        rgb_hw3: uint8.
        depth_hw: metres, NaN where the sky is.
        appearance: of this frame; see `Appearance.jittered`.
        rng: for the noise and the sky's pattern.

    Returns:
        uint8 (h, w, 3).
    """
    linear = cv2.LUT(rgb_hw3, _linear_table())
    _add_air(linear, depth_hw, appearance, rng)
    linear = _blurred(_expose(linear, appearance), appearance)
    return np.ascontiguousarray(_developed(linear, appearance, rng))
