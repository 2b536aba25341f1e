"""The options of refinement by renders."""

from __future__ import annotations

from dataclasses import dataclass, field

from transpose.localization.systematic import SystematicErrors


@dataclass(frozen=True)
class RefineOptions:
    """How poses are refined. Pixels are those of the photo at the size at which it is matched.

    Attributes:
        sizes: of the renders, one after the other, in pixels at most; larger photos are scaled down to them. Since
            patches are laid over one another to a small part of a pixel, larger renders, or a second one, gave nothing
            on photos of RedKitchen, and cost two to three times the time.
        max_keypoints: of photo and render, the strongest of each.
        search_radius_px: around where the first pose puts a point of the first render, in which its match is looked
            for.
        radius_px: the same of later renders, and wherever a pose has been found by the matches of the same render.
        max_error_px: within which a match agrees with a pose.
        min_matches: that must agree with a refined pose.
        min_share: of the matches within the search radius, that must agree: of wrong ones, which lie anywhere within
            it, one in fifty does.
        correlation_px: see `LocalizationOptions`.
        covariance_scale: factor on the covariance estimated from the residuals, since neighbours share the errors of a
            world. Not calibrated: no photos are kept out for it, as they are for the method inside.
        systematic: errors of camera and world that no number of points averages away.
    """

    sizes: tuple[int, ...] = (160_000,)
    max_keypoints: int = 4000
    search_radius_px: float = 20.0
    radius_px: float = 4.0
    max_error_px: float = 3.0
    min_matches: int = 50
    min_share: float = 0.2
    correlation_px: float = 80.0
    covariance_scale: float = 4.0
    systematic: SystematicErrors = field(default_factory=SystematicErrors)

    def __post_init__(self) -> None:
        lengths = (self.search_radius_px, self.radius_px, self.max_error_px, self.correlation_px, self.covariance_scale)
        if min(lengths) <= 0 or min(*self.sizes, self.max_keypoints, self.min_matches) < 1 or not self.sizes:
            raise ValueError(f"radii, errors and counts must be positive, got {self}")
