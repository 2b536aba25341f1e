"""One camera looked at closely: its photo beside the world at its pose, and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transpose.evaluation.metrics import FrameResult
from transpose.geometry.poses import Pose
from transpose.scenes.layout import Frame
from transpose.scenes.resizing import resized_to_height
from transpose.viewing.content import CameraGroup
from transpose.worlds.renderer import Renderer

_WIDEST_PX = 720


@dataclass(frozen=True, eq=False)
class FrameView:
    """A photo, and the world as it is seen from a pose, at one size.

    Attributes:
        photo_hw3: uint8.
        render_hw3: uint8; None: there is no world.
        facts: in Markdown.
    """

    photo_hw3: np.ndarray
    render_hw3: np.ndarray | None
    facts: str

    def blended(self, share: float) -> np.ndarray:
        """The photo (share 0), the render (1), or both laid over each other."""
        if self.render_hw3 is None:
            return self.photo_hw3
        mixed = (1 - share) * self.photo_hw3 + share * self.render_hw3.astype(np.float64)
        return np.asarray(mixed.round(), np.uint8)


def frame_view(group: CameraGroup, number: int, renderer: Renderer | None) -> FrameView:
    """A camera of a group.

    Raises:
        TransposeError: its photo is missing or broken.
    """
    frame, pose = group.frames[number], group.poses[number]
    photo_hw3, camera = frame.image(), frame.camera
    if camera.width > _WIDEST_PX:
        photo_hw3, camera = resized_to_height(photo_hw3, camera, round(camera.height * _WIDEST_PX / camera.width))
    render_hw3 = renderer.view(camera, pose).rgb_hw3 if renderer is not None else None
    result = group.results[number] if group.results else None
    return FrameView(photo_hw3, render_hw3, _facts(group, frame, pose, result))


def _facts(group: CameraGroup, frame: Frame, pose: Pose, result: FrameResult | None) -> str:
    at = ", ".join(f"{each:.3f}" for each in pose.center)
    lines = [f"**{frame.stem}** ({group.name})", f"at {at}", f"focal length {frame.camera.fx:.1f} px"]
    if result is not None:
        degrees, told = result.told_error
        unit = "m" if result.unit.metric else "% of the cameras' extent"
        lines.append(f"error {told:.3g} {unit}, {degrees:.2g}°" if math.isfinite(told) else "no error known")
        chance = result.estimate.confidence
        sure = "" if chance is None else f", probability to be right {chance:.2f}"
        lines.append(f"{result.estimate.inliers} inliers by {result.estimate.by or 'its method'}{sure}")
    return "  \n".join(lines)
