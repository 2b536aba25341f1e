"""The simulated difference between a survey's model and later photos: sun, shadow, haze and the camera itself.

Light is computed in linear values; pictures are sRGB at both ends. A flight draws one `Appearance` for all its frames
and jitters it a little for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np

Rgb = tuple[float, float, float]

_STEPS = 4096
_BRIGHTEST = 4.0  # Linear values above this are cut; 1 is white.


@dataclass(frozen=True)
class Appearance:
    """Weather, light and camera. The default changes nothing.

    Attributes:
        sun_azimuth_deg: clockwise from north.
        sun_elevation_deg: over the horizon.
        sun_rgb: colour of sunlight, about 1 in the mean.
        sun_strength: light of the sun on a surface that faces it; 1 is as much as the survey's overcast sky gave.
        ambient_rgb: colour of the sky's light, about 1 in the mean.
        ambient_strength: light of the sky; 1 is that of the survey.
        ambient_tilt: how much darker than the ground a surface is that faces downwards, 0 to 1.
        haze_visibility_m: where 2 % of the contrast are left.
        haze_rgb: colour of the haze and of the sky at the horizon, sRGB in [0, 1].
        zenith_rgb: colour of the sky at the top of the picture, sRGB in [0, 1].
        cloudiness: strength of the pattern in the sky, 0 to 1.
        exposure_ev: stops.
        white_balance: gains of red, green and blue.
        gamma: above 1 brightens the middle tones.
        contrast: about middle grey; 1 leaves it.
        rolloff: how softly highlights are cut, 0 (hard) to 1.
        saturation: 0 is grey, 1 leaves it.
        vignetting: loss of light in the corners, 0 to 1.
        shot_noise: standard deviation at white, linear.
        read_noise: standard deviation everywhere, linear.
        defocus_px: standard deviation of the blur.
        motion_px: length of the motion's blur.
        motion_deg: its direction in the picture.
        sharpening: strength of the camera's unsharp mask.
        bloom: share of light that bright places spread.
        jpeg_quality: 100 leaves the compression out.
    """

    sun_azimuth_deg: float = 180.0
    sun_elevation_deg: float = 45.0
    sun_rgb: Rgb = (1.0, 1.0, 1.0)
    sun_strength: float = 0.0
    ambient_rgb: Rgb = (1.0, 1.0, 1.0)
    ambient_strength: float = 1.0
    ambient_tilt: float = 0.0
    haze_visibility_m: float = float("inf")
    haze_rgb: Rgb = (0.80, 0.83, 0.86)
    zenith_rgb: Rgb = (0.72, 0.77, 0.83)
    cloudiness: float = 0.0
    exposure_ev: float = 0.0
    white_balance: Rgb = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 1.0
    rolloff: float = 0.0
    saturation: float = 1.0
    vignetting: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    defocus_px: float = 0.0
    motion_px: float = 0.0
    motion_deg: float = 0.0
    sharpening: float = 0.0
    bloom: float = 0.0
    jpeg_quality: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must be in 1..100, got {self.jpeg_quality}")
        if self.haze_visibility_m <= 0 or self.gamma <= 0:
            raise ValueError(f"need positive visibility and gamma, got {self.haze_visibility_m}, {self.gamma}")

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Appearance:
        """Draws one day and one camera; strength 0 is the survey's own look, 1 a plausible other day."""
        weather = _draw_weather(rng, strength)
        tone = rng.normal(0, 1, 8)
        warm = 0.035 * strength * tone[0]
        return cls(
            **weather,
            exposure_ev=0.16 * strength * float(np.clip(tone[1], -2, 2)),
            white_balance=(float(np.exp(warm)), float(np.exp(0.01 * strength * tone[2])), float(np.exp(-warm))),
            gamma=float(np.exp(0.06 * strength * tone[3])),
            contrast=float(np.exp(0.08 * strength * tone[4] + 0.04 * strength)),
            rolloff=min(1.0, strength * float(rng.uniform(0.3, 0.9))),
            saturation=float(np.exp(0.13 * strength * tone[5])),
            vignetting=min(0.6, strength * float(rng.uniform(0.02, 0.22))),
            shot_noise=strength * float(np.exp(rng.uniform(np.log(0.004), np.log(0.022)))),
            read_noise=strength * float(np.exp(rng.uniform(np.log(0.0004), np.log(0.003)))),
            defocus_px=strength * float(rng.uniform(0.2, 0.75)),
            sharpening=strength * float(rng.uniform(0.1, 0.7)),
            bloom=strength * float(rng.uniform(0.0, 0.05)),
            jpeg_quality=int(np.clip(round(100 - strength * rng.uniform(4, 26)), 30, 100)),
        )

    def jittered(self, rng: np.random.Generator) -> Appearance:
        """The same day and camera in another frame: exposure, colour, noise, blur and compression differ a bit."""
        noise = float(rng.uniform(0.8, 1.25))
        drift = np.exp(0.006 * rng.standard_normal(3))
        return replace(
            self,
            exposure_ev=self.exposure_ev + 0.07 * float(np.clip(rng.standard_normal(), -2, 2)),
            white_balance=_rgb(np.array(self.white_balance) * drift),
            shot_noise=self.shot_noise * noise,
            read_noise=self.read_noise * noise,
            defocus_px=self.defocus_px * float(rng.uniform(0.85, 1.2)),
            motion_px=float(rng.gamma(1.2, 0.45)),
            motion_deg=float(rng.uniform(0, 180)),
            jpeg_quality=int(np.clip(self.jpeg_quality + rng.integers(-2, 3), 1, 100)),
        )


def _draw_weather(rng: np.random.Generator, strength: float) -> dict[str, Any]:
    """Clear, veiled or overcast; all three draw the same numbers, so that a stream stays in step."""
    kind = str(rng.choice(["clear", "veiled", "overcast"], p=[0.5, 0.25, 0.25]))
    elevation, azimuth = rng.uniform(16, 62), rng.uniform(70, 290)
    power, share, haze = rng.uniform(0.8, 1.25), rng.uniform(0.42, 0.6), rng.uniform(0, 1)
    tilt, pattern, blue = rng.uniform(0.15, 0.4), rng.uniform(0.2, 1.0), rng.uniform(0.7, 1.0)
    sun = {"clear": 1.0, "veiled": 0.45, "overcast": 0.05}[kind] * strength
    low = np.clip((40 - elevation) / 30, 0, 1) * strength
    cold = min(1.0, sun) * 0.10 * blue
    grey = {"clear": 0.0, "veiled": 0.55, "overcast": 1.0}[kind]
    visibility = {"clear": (6000, 25000), "veiled": (2200, 10000), "overcast": (1500, 10000)}[kind]
    zenith = np.array([0.36, 0.54, 0.80]) * (1 - grey) + np.array([0.70, 0.73, 0.77]) * grey
    horizon = np.array([0.76, 0.83, 0.89]) * (1 - grey) + np.array([0.80, 0.815, 0.83]) * grey
    return {
        "sun_azimuth_deg": float(azimuth),
        "sun_elevation_deg": float(elevation),
        "sun_rgb": _rgb(np.array([1.04, 1.0, 0.93]) + low * np.array([0.06, -0.03, -0.16])),
        "sun_strength": float(sun * power),
        "ambient_rgb": _rgb(np.array([1 - cold, 1.0, 1 + 1.3 * cold])),
        "ambient_strength": float(1 - min(1.0, sun) * share),
        "ambient_tilt": float(tilt * min(1.0, strength)),
        "haze_visibility_m": float(
            np.exp(np.log(visibility[0]) + haze * np.log(visibility[1] / visibility[0])) / max(strength, 1e-6)
        ),
        "haze_rgb": _rgb(horizon + low * np.array([0.04, 0.0, -0.05])),
        "zenith_rgb": _rgb(zenith),
        "cloudiness": float(pattern * min(1.0, strength) * (0.35 + 0.5 * grey)),
    }


def _rgb(values: np.ndarray) -> Rgb:
    return float(values[0]), float(values[1]), float(values[2])


def sun_direction(appearance: Appearance) -> np.ndarray:
    """Unit vector to the sun, (3,): x east, y north, z up."""
    azimuth, elevation = np.radians(appearance.sun_azimuth_deg), np.radians(appearance.sun_elevation_deg)
    flat = np.cos(elevation)
    return np.array([flat * np.sin(azimuth), flat * np.cos(azimuth), np.sin(elevation)])


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


def photograph(
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
