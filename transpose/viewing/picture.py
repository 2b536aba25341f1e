"""The shown place as a picture, by the worlds' own renderer: the world, and lines over it where nothing hides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, transform
from transpose.viewing import colors
from transpose.viewing.content import CameraGroup, Content
from transpose.viewing.points import Points
from transpose.viewing.reduced import facing
from transpose.viewing.shapes import Ellipsoids
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World

WIDTH, HEIGHT = 1600, 1000
_FOCAL = 0.9  # of the picture's height
_BACKGROUND = (225, 228, 232)
_ELEVATION_DEG = 40.0
_AGREEING = 0.2  # the length of the mean of cameras' level directions, from which on they look one way
_AROUND = 0.3  # of the world's diagonal
_FILLED = 0.94  # of the picture, by the box that it shows
_STEPS = 24  # of a line, each hidden or not
_HIDDEN_SHARE = 0.01  # of the depth, by which a line may lie behind a surface and still be seen
_CIRCLE = 32
_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel


@dataclass(frozen=True)
class Lines:
    """Line segments relative to the scene's origin, (n, 2, 3), in one colour."""

    lines_n23: np.ndarray
    color: tuple[int, int, int]


def first_view(content: Content, points: Sequence[Points] = ()) -> tuple[Pose, np.ndarray]:
    """From where a place is looked at first, relative to its origin, and the point in the middle.

    All cameras are in the picture, and what of the world lies around them, seen from behind most cameras; where there
    are neither, the points that are drawn.
    """
    low_3, high_3 = _looked_at(content, points)
    middle_3, up_3 = (low_3 + high_3) / 2, content.up_3
    rise = np.radians(_ELEVATION_DEG)
    back_3 = np.sin(rise) * up_3 - np.cos(rise) * _ahead(content)
    turned = looking(back_3, np.zeros(3), up_3).R_wc
    corner_83 = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high_3 - low_3) + low_3
    x_8, y_8, z_8 = ((corner_83 - middle_3) @ turned).T
    half_width, half_height = (0.5 * _FILLED * side / (_FOCAL * HEIGHT) for side in (WIDTH, HEIGHT))
    distance = float(np.max([np.abs(x_8) / half_width - z_8, np.abs(y_8) / half_height - z_8]))
    return Pose(compose(turned, middle_3 + max(distance, 1e-6) * back_3)), middle_3


def _ahead(content: Content) -> np.ndarray:
    """The level direction in which most cameras look, (3,); some level direction where they look anywhere."""
    up_3 = content.up_3
    right_3 = np.cross(up_3, np.eye(3)[int(np.argmin(np.abs(up_3)))])
    poses = [pose for group in content.groups if group.visible for pose in group.poses]
    mean_3 = np.mean([pose.R_wc[:, 2] for pose in poses], axis=0) if poses else np.zeros(3)
    level_3 = mean_3 - (mean_3 @ up_3) * up_3
    chosen_3 = level_3 if np.linalg.norm(level_3) > _AGREEING else right_3
    return np.asarray(chosen_3 / np.linalg.norm(chosen_3))


def _looked_at(content: Content, points: Sequence[Points]) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box that the first view shows."""
    centers_n3, world = content.centers_n3, content.world
    if not len(centers_n3):
        if world is not None:
            return world.bounds
        drawn_n3 = np.concatenate([np.zeros((0, 3)), *(each.points_n3 for each in points)])
        if not len(drawn_n3):
            return -np.ones(3), np.ones(3)
        low_3, high_3 = np.quantile(drawn_n3, (0.02, 0.98), axis=0)
        return low_3, high_3
    low_3, high_3 = centers_n3.min(0) - 2 * content.depth, centers_n3.max(0) + 2 * content.depth
    if world is None:
        return low_3, high_3
    # What cameras look at lies beside them, as far as they reach or a part of the world that shows what it is.
    size = float(np.linalg.norm(world.bounds[1] - world.bounds[0]))
    reach = max(float(np.linalg.norm(high_3 - low_3)), _AROUND * size)
    near_v = np.linalg.norm(world.vertices_v3 - (low_3 + high_3) / 2, axis=1) < reach
    if not near_v.any():
        return low_3, high_3
    around_23 = np.quantile(world.vertices_v3[near_v], (0.02, 0.98), axis=0)
    return np.minimum(around_23[0], low_3), np.maximum(around_23[1], high_3)


def looking(eye_3: np.ndarray, at_3: np.ndarray, up_3: np.ndarray) -> Pose:
    """The pose at a point that looks at another one, upright (OpenCV axes)."""
    ahead_3 = (at_3 - eye_3) / np.linalg.norm(at_3 - eye_3)
    right_3 = np.cross(ahead_3, up_3)
    if np.linalg.norm(right_3) < 1e-6:
        right_3 = np.cross(ahead_3, np.eye(3)[int(np.argmin(np.abs(ahead_3)))])
    right_3 /= np.linalg.norm(right_3)
    return Pose(compose(np.stack([right_3, np.cross(ahead_3, right_3), ahead_3], 1), eye_3))


def picture_camera(width: int = WIDTH, height: int = HEIGHT, fov_y_rad: float | None = None) -> Camera:
    """A camera of a picture; its vertical field of view is that of `first_view` where none is given."""
    focal_px = _FOCAL * height if fov_y_rad is None else height / (2 * np.tan(fov_y_rad / 2))
    return Camera.from_focal(float(focal_px), width, height)


def lines_of(
    content: Content,
    groups: tuple[CameraGroup, ...],
    magnified: float = 1.0,
    errors: bool = True,
    ellipsoids: bool = True,
) -> list[Lines]:
    """All lines of cameras, and those of `errors` and `ellipsoids` where they are shown and there are any."""
    found = [Lines(content.lines_of(group).reshape(-1, 2, 3), group.color) for group in groups]
    if content.errors is not None and errors:
        found.append(Lines(content.errors.lines_n23, colors.ERROR))
    if content.errors is not None and ellipsoids:
        found.append(Lines(ellipsoid_lines(content.errors.ellipsoids, magnified), colors.ESTIMATE))
    return found


def ellipsoid_lines(ellipsoids: Ellipsoids, magnified: float = 1.0) -> np.ndarray:
    """Three great circles of each ellipsoid, (n, 2, 3)."""
    turn_k = np.linspace(0, 2 * np.pi, _CIRCLE + 1)
    circle_k3 = np.stack([np.cos(turn_k), np.sin(turn_k), 0 * turn_k], -1)
    unit_ck3 = np.array([np.roll(circle_k3, c, axis=1) for c in range(3)])
    scaled_nck3 = unit_ck3 * (magnified * ellipsoids.radii_n3)[:, None, None]
    points_nck3 = np.einsum("nij,nckj->ncki", ellipsoids.R_n33, scaled_nck3) + ellipsoids.centers_n3[:, None, None]
    return np.stack([points_nck3[:, :, :-1], points_nck3[:, :, 1:]], 3).reshape(-1, 2, 3)


def draw_picture(
    world: World | None,
    both_sides: bool,
    lines: list[Lines],
    points: list[Points],
    camera: Camera,
    pose: Pose,
) -> np.ndarray:
    """A picture (height, width, 3) uint8.

    Args:
        world: None: a white page.
        both_sides: whether its faces are seen from behind.
        lines: over it.
        points: over it.
        camera: of the picture.
        pose: relative to the origin of the scene.
    """
    rgb_hw3 = np.full((camera.height, camera.width, 3), _BACKGROUND, np.uint8)
    depth_hw = np.full((camera.height, camera.width), np.inf, np.float32)
    if world is not None:
        shown = world if both_sides else facing(world, pose.center)
        view = Renderer(shown).view(camera, Pose(compose(pose.R_wc, pose.center + world.origin_3)))
        rgb_hw3 = np.where(view.seen_hw[..., None], view.rgb_hw3, rgb_hw3)
        depth_hw = np.where(view.seen_hw, view.depth_hw, depth_hw)
    for each in points:
        _draw_points(rgb_hw3, depth_hw, each, camera, pose)
    for some in lines:
        _draw_lines(rgb_hw3, depth_hw, some, camera, pose)
    return rgb_hw3


def _draw_lines(rgb_hw3: np.ndarray, depth_hw: np.ndarray, lines: Lines, camera: Camera, pose: Pose) -> None:
    import cv2

    if not len(lines.lines_n23):
        return
    share_k1 = np.linspace(0, 1, _STEPS + 1)[:, None]
    start_n13, end_n13 = lines.lines_n23[:, :1], lines.lines_n23[:, 1:]
    points_nk3 = start_n13 + share_k1 * (end_n13 - start_n13)
    px_nk2, seen_nk = _projected(points_nk3, depth_hw, camera, pose)
    piece_m22 = np.stack([px_nk2[:, :-1], px_nk2[:, 1:]], 2)[seen_nk[:, :-1] & seen_nk[:, 1:]]
    fixed = ((piece_m22 - 0.5) * (1 << _SHIFT)).round().astype(np.int32)
    cv2.polylines(rgb_hw3, list(fixed), False, lines.color, 1, cv2.LINE_AA, _SHIFT)


def _draw_points(rgb_hw3: np.ndarray, depth_hw: np.ndarray, points: Points, camera: Camera, pose: Pose) -> None:
    px_n2, seen_n = _projected(points.points_n3, depth_hw, camera, pose)
    order = np.flatnonzero(seen_n)
    order = order[np.argsort(points.amount_n[order], kind="stable")]  # the rare large amounts on top
    column_n, row_n = px_n2[order].astype(np.int64).T
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            row_m, column_m = (row_n + down).clip(0, camera.height - 1), (column_n + right).clip(0, camera.width - 1)
            rgb_hw3[row_m, column_m] = points.rgb_n3[order]


def _projected(
    points_n3: np.ndarray, depth_hw: np.ndarray, camera: Camera, pose: Pose
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (..., 2), and which of them (...,) are in the picture and not hidden."""
    camera_n3 = transform(pose.T_cw, points_n3)
    px_n2 = camera.project(camera_n3)
    with np.errstate(invalid="ignore"):
        inside_n = np.asarray(((px_n2 >= 0) & (px_n2 < (camera.width, camera.height))).all(-1))
    column_n, row_n = np.moveaxis(np.where(inside_n[..., None], px_n2, 0).astype(np.int64), -1, 0)
    hidden_n = camera_n3[..., 2] > (1 + _HIDDEN_SHARE) * depth_hw[row_n, column_n]
    return px_n2, np.asarray(inside_n & ~hidden_n)
