"""The options of refinement by renders."""

from __future__ import annotations

from dataclasses import dataclass, field

from transpose.localization.systematic import SystematicErrors


@dataclass(frozen=True)
class RefineOptions:
    """How poses are refined. Pixels are those of the photo at the size of the renders.

    Attributes:
        pixels: of a render at most; larger photos are scaled down to it. Since points are tracked to a small part of a
            pixel, larger renders gave nothing on photos of RedKitchen, and cost two to three times the time.
        max_keypoints: of a render, the strongest.
        max_error_px: within which a tracked point agrees with a pose.
        min_points: that must agree with a refined pose.
        min_share: of the points that were tracked, that must agree: where render and photo show different things, what
            is tracked lies anywhere.
        repeat_px: where points moved by more than this in the median, the world is rendered once more, at the pose that
            was found: tracks across so large a motion are fewer and less exact.
        correlation_px: see `LocalizationOptions`.
        covariance_scale: factor on the covariance estimated from the residuals, since neighbours share the errors of a
            world. Not calibrated: no photos are kept out for it, as they are for the method inside.
        systematic: errors of camera and world that no number of points averages away.
    """

    pixels: int = 160_000
    max_keypoints: int = 1500
    max_error_px: float = 3.0
    min_points: int = 50
    min_share: float = 0.2
    repeat_px: float = 20.0
    correlation_px: float = 80.0
    covariance_scale: float = 4.0
    systematic: SystematicErrors = field(default_factory=SystematicErrors)

    def __post_init__(self) -> None:
        lengths = (self.max_error_px, self.repeat_px, self.correlation_px, self.covariance_scale)
        if min(lengths) <= 0 or min(self.pixels, self.max_keypoints, self.min_points) < 1:
            raise ValueError(f"sizes, errors and counts must be positive, got {self}")
