"""A scene seen from above: which two directions span the map, what it must show, and the world's picture under it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.scenes.unit import METRE, SceneUnit
from transpose.selection import evenly_chosen

if TYPE_CHECKING:
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import World

_AXIS_NAMES = "xyz"
_LARGE_M = 10_000.0  # coordinates beyond are shown relative to a round number, else their digits fill the axis
_ROUND_M = 1000.0
_ALIGNED = 0.999
_DISTANCE_PER_EXTENT = 50.0  # how far above the map the camera stands: heights lean by a hundredth at most
_CUT_ABOVE_CAMERAS_M = 0.05
_SMALLEST_M, _SMALLEST_SHARE = 0.5, 0.05  # that a map shows: metres, or a share of the cameras' extent
_ASKED_CAMERAS = 30
_SEEN_QUANTILES = (0.03, 0.97)


@dataclasses.dataclass(frozen=True)
class TopDown:
    """A map's axes.

    Attributes:
        axes_23: unit vectors in the world, to the map's right and to its top.
        labels: of the two axes, with the unit.
        origin_3: the world point at (0, 0) of the map.
        is_level: whether an up vector was known; otherwise "above" is a guess.
    """

    axes_23: np.ndarray
    labels: tuple[str, str]
    origin_3: np.ndarray
    is_level: bool

    def places(self, points_n3: np.ndarray) -> np.ndarray:
        """World points (n, 3) on the map, (n, 2)."""
        return (np.asarray(points_n3, np.float64).reshape(-1, 3) - self.origin_3) @ self.axes_23.T

    def directions(self, poses: Sequence[Pose]) -> np.ndarray:
        """Viewing directions (n, 2) on the map; shorter than 1 where a camera looks up or down."""
        ahead_n3 = np.array([pose.R_wc[:, 2] for pose in poses]).reshape(-1, 3)
        return ahead_n3 @ self.axes_23.T


def top_down(centers_n3: np.ndarray, up_3: np.ndarray | None = None, unit: SceneUnit = METRE) -> TopDown:
    """The map of camera centres (n, 3), in the unit of their scene.

    With `up_3` (3,) its axes are horizontal and it is seen from above; without, it shows the two world axes along which
    the centres extend most.
    """
    middle_3 = np.median(centers_n3, axis=0)
    origin_3 = np.where(np.abs(middle_3) > _LARGE_M, np.round(middle_3 / _ROUND_M) * _ROUND_M, 0.0)
    if up_3 is None:
        extent_3 = np.ptp(centers_n3, axis=0)
        keep_2 = np.sort(np.argsort(-extent_3, kind="stable")[:2])
        axes_23 = np.eye(3)[keep_2]
    else:
        up_3 = np.asarray(up_3, np.float64) / np.linalg.norm(up_3)
        first_3 = np.eye(3)[0 if abs(up_3[0]) < 0.9 else 1]
        first_3 = first_3 - (first_3 @ up_3) * up_3
        first_3 /= np.linalg.norm(first_3)
        axes_23 = np.stack([first_3, np.cross(up_3, first_3)])
    symbol = "m" if unit.metric else "units"
    labels = _label(axes_23[0], origin_3, symbol), _label(axes_23[1], origin_3, symbol)
    return TopDown(axes_23, labels, origin_3, up_3 is not None)


def _label(axis_3: np.ndarray, origin_3: np.ndarray, symbol: str) -> str:
    strongest = int(np.argmax(np.abs(axis_3)))
    sign = "−" if axis_3[strongest] < 0 else ""
    if abs(axis_3[strongest]) < _ALIGNED:
        return f"horizontal, near {sign}{_AXIS_NAMES[strongest]} ({symbol})"
    offset = f" − {origin_3[strongest]:.0f}" if origin_3[strongest] else ""
    return f"{sign}{_AXIS_NAMES[strongest]}{offset} ({symbol})"


def map_limits(truth_n2: np.ndarray, others_n2: np.ndarray, unit: SceneUnit = METRE) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of what the map must show: all true places, and others that are not far away.

    A single wrong estimate kilometres away would shrink everything else to a dot.
    """
    low_2, high_2 = truth_n2.min(0), truth_n2.max(0)
    smallest = _SMALLEST_M if unit.metric or unit.extent is None else _SMALLEST_SHARE * unit.extent
    reach = max(float((high_2 - low_2).max()), smallest)
    near_n = ((others_n2 > low_2 - reach) & (others_n2 < high_2 + reach)).all(1)
    shown_n2 = np.concatenate([truth_n2, others_n2[near_n]])
    low_2, high_2 = shown_n2.min(0), shown_n2.max(0)
    pad = 0.1 * max(float((high_2 - low_2).max()), smallest)
    return low_2 - pad, high_2 + pad


def seen_limits(
    renderer: Renderer, plan: TopDown, limits: tuple[np.ndarray, np.ndarray], poses: Sequence[Pose], camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Limits widened to most of what cameras at these poses see of the world."""
    few = camera.resized(16, 12)
    views = [renderer.view(few, pose) for pose in (poses[i] for i in evenly_chosen(len(poses), _ASKED_CAMERAS))]
    seen_n2 = plan.places(np.concatenate([view.coordinates_hw3[view.seen_hw] for view in views]))
    if len(seen_n2) == 0:
        return limits
    low_2, high_2 = np.quantile(seen_n2, _SEEN_QUANTILES, axis=0)
    return np.minimum(low_2, limits[0]), np.maximum(high_2, limits[1])


def outside(places_n2: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Which places (n, 2) lie beyond the limits, (n,) bool."""
    return np.any((places_n2 < limits[0]) | (places_n2 > limits[1]), axis=1)


def nadir_view(
    renderer: Renderer,
    plan: TopDown,
    limits: tuple[np.ndarray, np.ndarray],
    centers_n3: np.ndarray,
    pixels: int,
) -> np.ndarray:
    """The world from above, without perspective to speak of.

    A roof or ceiling over more than half of the cameras is cut away together with everything above the cameras.

    Args:
        renderer: of the world.
        plan: the map's axes; they must be level.
        limits: corners of the map (2,), metres.
        centers_n3: true camera centres in the world.
        pixels: of the longer side.

    Returns:
        (height, width, 4) uint8, transparent where there is nothing.
    """
    up_3, world = np.cross(plan.axes_23[0], plan.axes_23[1]), renderer.world
    if _covered_fraction(renderer, centers_n3, plan.axes_23[0], up_3) > 0.5:
        ceiling = float(np.quantile((centers_n3 - world.origin_3) @ up_3, 0.9)) + _CUT_ABOVE_CAMERAS_M
        world = _cut_above(world, up_3, ceiling)
    size_2 = limits[1] - limits[0]
    width, height = (max(1, round(pixels * side / size_2.max())) for side in size_2)
    distance = _DISTANCE_PER_EXTENT * float(size_2.max())
    middle_2 = (limits[0] + limits[1]) / 2
    level = float(np.median((centers_n3 - plan.origin_3) @ up_3))
    eye_3 = plan.origin_3 + middle_2 @ plan.axes_23 + (level + distance) * up_3
    R_wc = np.stack([plan.axes_23[0], -plan.axes_23[1], -up_3], axis=1)
    camera = Camera.from_focal(distance * width / size_2[0], width, height)
    view = type(renderer)(world, from_afar=True).view(camera, Pose(compose(R_wc, eye_3)))
    return np.dstack([view.rgb_hw3, np.where(view.seen_hw, 255, 0).astype(np.uint8)])


def _covered_fraction(renderer: Renderer, centers_n3: np.ndarray, right_3: np.ndarray, up_3: np.ndarray) -> float:
    """Fraction of the cameras that have something straight above them."""
    R_wc = np.stack([right_3, np.cross(up_3, right_3), up_3], axis=1)
    camera = Camera.from_focal(1.0, 1, 1)
    asked_n3 = centers_n3[evenly_chosen(len(centers_n3), _ASKED_CAMERAS)]
    return float(np.mean([renderer.view(camera, Pose(compose(R_wc, at_3))).seen_hw.all() for at_3 in asked_n3]))


def _cut_above(world: World, up_3: np.ndarray, height: float) -> World:
    """A world without the faces that reach above a height; the whole world where nothing would be left."""
    keep_f = (world.vertices_v3 @ up_3.astype(np.float32))[world.faces_f3].max(1) < height
    if not keep_f.any():
        return world
    return dataclasses.replace(
        world,
        faces_f3=world.faces_f3[keep_f],
        corner_uv_f32=world.corner_uv_f32[keep_f],
        face_texture_f=world.face_texture_f[keep_f],
        face_class_f=world.face_class_f[keep_f] if world.has_classes else world.face_class_f,
    )
