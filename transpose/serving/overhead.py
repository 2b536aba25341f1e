"""A place from above, and where on it a camera is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from transpose.geometry.poses import Pose
from transpose.localization.landmarks import LandmarkMap
from transpose.runs import Checkpoint
from transpose.worlds.renderer import Renderer
from transpose.worlds.top_down import TopDown, nadir_view, top_down

_PIXELS = 800
_KEPT_QUANTILES = (0.01, 0.99)  # of landmarks: a few lie far off
_MARGIN = 0.1
_CHI2_90 = 4.605  # of two degrees of freedom
_TOWARD_CAMERAS = 0.05  # of the extent of the landmarks
_DOT_RGBA = (70, 110, 160, 255)


@dataclass(frozen=True, eq=False)
class Overhead:
    """The picture of a place from above.

    Attributes:
        plan: the picture's axes.
        limits: its lowest and highest corner on these axes.
        png: the picture, as a PNG file's bytes.
    """

    plan: TopDown
    limits: tuple[np.ndarray, np.ndarray]
    png: bytes

    def facts(self) -> dict[str, Any]:
        """Its size in the scene's unit, and what its axes are."""
        width, height = (self.limits[1] - self.limits[0]).tolist()
        return {"width": width, "height": height, "axes": list(self.plan.labels), "level": self.plan.is_level}

    def at(self, pose: Pose, covariance_66: np.ndarray | None) -> dict[str, Any]:
        """Where a camera is: shares of the picture's width and height from its top left corner, and which way it looks.

        The ellipse holds the camera's centre with a probability of 90 %, if the covariance (over xi = (omega, t) in the
        camera's frame) is right: half axes as shares of the picture's width, and the angle of the longer one, clockwise
        from the right.
        """
        (x, y), ahead_2 = self.plan.places(pose.center[None])[0], self.plan.directions([pose])[0]
        width, height = self.limits[1] - self.limits[0]
        place: dict[str, Any] = {
            "x": float((x - self.limits[0][0]) / width),
            "y": float((self.limits[1][1] - y) / height),
            "heading_deg": float(np.degrees(np.arctan2(-ahead_2[1], ahead_2[0]))),
            "ellipse": None,
        }
        if covariance_66 is not None and np.isfinite(covariance_66).all():
            axes_23 = self.plan.axes_23 @ pose.R_wc
            values_2, vectors_22 = np.linalg.eigh(axes_23 @ covariance_66[3:, 3:] @ axes_23.T)
            half_2 = np.sqrt(_CHI2_90 * values_2.clip(0)) / width
            along_2 = vectors_22[:, 1]
            angle = float(np.degrees(np.arctan2(-along_2[1], along_2[0])))
            place["ellipse"] = {"major": float(half_2[1]), "minor": float(half_2[0]), "angle_deg": angle}
        return place


def overhead_of(checkpoint: Checkpoint, renderer: Renderer | None) -> Overhead | None:
    """The picture of what a run's landmarks cover, of its world or, without one, of the landmarks themselves."""
    points_n3 = _landmarks(checkpoint)
    if points_n3 is None and renderer is not None:
        points_n3 = renderer.world.vertices_v3.astype(np.float64) + renderer.world.origin_3
    if points_n3 is None:
        return None
    plan = top_down(points_n3, None if renderer is None else renderer.world.up_3, checkpoint.unit)
    places_n2 = plan.places(points_n3)
    low_2, high_2 = np.quantile(places_n2, _KEPT_QUANTILES, axis=0)
    pad = _MARGIN * float((high_2 - low_2).max()) + 1e-6
    limits = (low_2 - pad, high_2 + pad)
    if renderer is not None:
        picture_hw4 = nadir_view(renderer, plan, limits, _seen_from(checkpoint, points_n3), _PIXELS)
    else:
        picture_hw4 = _dots(places_n2, limits)
    _, data = cv2.imencode(".png", cv2.cvtColor(picture_hw4, cv2.COLOR_RGBA2BGRA))
    return Overhead(plan, limits, data.tobytes())


def _landmarks(checkpoint: Checkpoint) -> np.ndarray | None:
    if checkpoint.landmarks is None or not len(checkpoint.landmarks["points"]):
        return None
    learned_n3 = checkpoint.landmarks["points"].double().cpu().numpy() + checkpoint.origin_3
    return np.asarray(checkpoint.unit.learned * learned_n3)


def _seen_from(checkpoint: Checkpoint, points_n3: np.ndarray) -> np.ndarray:
    """Points (n, 3) on the way from landmarks to the cameras that saw them; as they are where that is not known.

    A landmark itself lies on a surface, so that a look upward from it tells nothing of a ceiling.
    """
    if checkpoint.landmarks is None or "toward" not in checkpoint.landmarks or not len(checkpoint.landmarks["points"]):
        return points_n3
    toward_n3 = LandmarkMap.from_state(checkpoint.landmarks, torch.device("cpu")).toward_m3(np.arange(len(points_n3)))
    step = _TOWARD_CAMERAS * float(np.ptp(points_n3, axis=0).max())
    return points_n3 + step * np.asarray(toward_n3)


def _dots(places_n2: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    size_2 = limits[1] - limits[0]
    width, height = (max(1, round(_PIXELS * side / size_2.max())) for side in size_2)
    picture_hw4 = np.zeros((height, width, 4), np.uint8)
    column_n = ((places_n2[:, 0] - limits[0][0]) / size_2[0] * width).astype(int)
    row_n = ((limits[1][1] - places_n2[:, 1]) / size_2[1] * height).astype(int)
    inside_n = (column_n >= 0) & (column_n < width) & (row_n >= 0) & (row_n < height)
    picture_hw4[row_n[inside_n], column_n[inside_n]] = _DOT_RGBA
    return picture_hw4
