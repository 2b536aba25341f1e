"""The options of a localizer by scene coordinates, with defaults that were measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from transpose.localization.systematic import SystematicErrors
from transpose.solvers import draws_to_find


@dataclass(frozen=True)
class LocalizationOptions:
    """Settings of `SceneCoordinateLocalizer`. Pixels are those of an image at the scale that was learned.

    Attributes:
        max_keypoints: of a photo, the strongest, that are matched with landmarks anywhere.
        refining_keypoints: that are matched once a pose is found, with the landmarks that it puts near them.
        refinement_radius_px: within which they are.
        refinement_error_px: within which they agree with the refined pose.
        landmark_error_px: within which a matched landmark agrees with a pose.
        coordinate_error_px: within which a cell's world point agrees with a pose; DSAC*'s.
        enough_landmarks: inliers of a pose by landmarks to which the cells' coordinates add nothing (kitchen, village).
        min_recognized: the probability with which a keypoint must be taken for a map point to have a say.
        risk: that is taken: a pose is given where it is wrong with no higher probability (`confidence`).
        min_landmarks: inliers of a pose by landmarks that is worth judging.
        least_share: of the correspondences, each counted by how likely it is to be drawn, that agree with a pose which
            a search finds with 99 %; with more certainty where more agree. A photo of another place is searched until
            then. Poses of RedKitchen and the village that were right had 0.15 and more where photos were blurred, dark
            or half hidden.
        search_radius_px: around where a pose puts them, in which landmarks are looked for.
        correlation_px: over which errors of model, lens and network are correlated; correspondences so near to each
            other count as one cluster when a covariance is estimated.
        min_score: of a pose by coordinates that is worth judging, where validation set no higher one.
        same_scale: an image whose focal length in pixels is within this factor of the learned one is not resized;
            training views are scaled so far at random.
        max_enlargement: times the pixels of a training image, to which an image of a wide lens may be enlarged.
        min_depth_error_m: with measured depth, the least distance within which a cell's world point agrees with a
            pose; beyond, `coordinate_error_px` at the median depth.
        systematic: errors of camera and map that no number of points averages away.
    """

    max_keypoints: int = 1200
    refining_keypoints: int = 4000
    refinement_radius_px: float = 3.0
    refinement_error_px: float = 3.0
    landmark_error_px: float = 6.0
    coordinate_error_px: float = 10.0
    enough_landmarks: int = 100
    min_recognized: float = 0.1
    risk: float = 0.05
    min_landmarks: int = 15
    least_share: float = 0.07
    search_radius_px: float = 60.0
    correlation_px: float = 80.0
    min_score: float = 0.01
    same_scale: float = 1.25
    max_enlargement: float = 4.0
    min_depth_error_m: float = 0.1
    systematic: SystematicErrors = field(default_factory=SystematicErrors)

    def at_risk(self, risk: float | None) -> LocalizationOptions:
        """With another risk; None: with this one."""
        return self if risk is None else replace(self, risk=risk)

    def doubting_landmarks(self) -> LocalizationOptions:
        """With as many more landmarks for a pose as a run must have whose landmarks no photo has tested."""
        return replace(self, min_landmarks=2 * self.min_landmarks)

    @property
    def most_draws(self) -> int:
        """Minimal samples after which a search for a pose gives up."""
        return draws_to_find(self.least_share)

    def searching_for(self, share: float) -> LocalizationOptions:
        """With searches that find a pose with which a smaller share agrees."""
        return replace(self, least_share=min(self.least_share, share))

    def __post_init__(self) -> None:
        lengths = (self.landmark_error_px, self.coordinate_error_px, self.search_radius_px, self.correlation_px)
        if min(*lengths, self.min_depth_error_m, self.max_enlargement) <= 0 or self.same_scale < 1:
            raise ValueError(f"errors, radii and enlargement must be positive and same_scale at least 1, got {self}")
        if not 0 < self.risk < 1:
            raise ValueError(f"a risk is a probability between 0 and 1, got {self.risk}")
        if not 0 < self.least_share <= 1:
            raise ValueError(f"the least share must be above 0, at most 1, got {self.least_share}")
        if (
            min(self.max_keypoints, self.enough_landmarks, self.min_landmarks) < 1
            or not min(self.min_score, self.min_recognized) >= 0
        ):
            raise ValueError(f"counts must be at least 1 and shares and min_score at least 0, got {self}")
