"""What is different between a survey's model and later photos: sun, shadow, haze and the camera itself.

A flight draws one `Appearance` for all its frames and jitters it a little for each; `sensor_simulation` applies it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Rgb = tuple[float, float, float]


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
        bloom: fraction of light that bright places spread.
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
