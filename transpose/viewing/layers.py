"""What viser draws of a place: one node of its scene for each thing that is shown and hidden by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from transpose.geometry.poses import quaternion_wxyz
from transpose.viewing import colors
from transpose.viewing.content import CameraGroup, Content
from transpose.viewing.glb import world_glb
from transpose.viewing.picture import first_view, picture_camera
from transpose.viewing.points import Points
from transpose.viewing.reduced import reduced
from transpose.viewing.shapes import Ellipsoids, pyramid_scales

_PYRAMID_V3 = np.array([(0, 0, 0), (-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], np.float32)
_PYRAMID_F3 = np.array([(0, 2, 1), (0, 3, 2), (0, 4, 3), (0, 1, 4), (1, 2, 3), (1, 3, 4)], np.uint32)
_LINE_PX, _CHOSEN_PX = 1.5, 4.0
_POINT_SHARE = 0.12  # of a frustum's depth: a landmark


def show_place(server: Any, content: Content) -> None:
    """The first view, the light, and the world."""
    pose, middle_3 = first_view(content)
    server.scene.set_up_direction(content.up_3)
    server.scene.configure_environment_map(None)  # the world's colours hold their light already
    start = server.initial_camera
    start.position, start.look_at, start.up = pose.center, middle_3, content.up_3
    camera = picture_camera()
    start.fov = float(2 * np.arctan(camera.height / (2 * camera.fy)))
    reach = float(np.linalg.norm(pose.center - middle_3))
    start.near, start.far = reach / 1000, 100 * reach


def show_world(server: Any, content: Content) -> Any:
    """The world, with so many triangles as a browser holds."""
    if content.world is None:
        return None
    return server.scene.add_glb("/world", world_glb(reduced(content.world), content.both_sides), cast_shadow=False)


def show_group(server: Any, content: Content, group: CameraGroup, number: int, clickable: bool = True) -> list[Any]:
    """The outlines of a group's cameras, and pyramids that can be clicked."""
    if not len(group):
        return []
    name = f"/cameras/{number}"
    lines_n23 = content.lines_of(group).reshape(-1, 2, 3)
    shown = [_lines(server, f"{name}/outlines", lines_n23, group.color, _LINE_PX, group.visible)]
    if clickable:
        local = [content.local(pose) for pose in group.poses]
        shown.append(
            server.scene.add_batched_meshes_simple(
                f"{name}/pyramids",
                _PYRAMID_V3,
                _PYRAMID_F3,
                batched_wxyzs=np.array([quaternion_wxyz(pose.R_wc) for pose in local]),
                batched_positions=np.array([pose.center for pose in local]),
                batched_scales=pyramid_scales(group.cameras, content.depth),
                batched_colors=group.color,
                opacity=0.25,
                side="double",
                lod="off",
                cast_shadow=False,
                receive_shadow=False,
                visible=group.visible,
            )
        )
    return shown


def show_errors(server: Any, content: Content) -> Any:
    """Lines from estimates to the truth."""
    if content.errors is None or not len(content.errors.lines_n23):
        return None
    return _lines(server, "/errors", content.errors.lines_n23, colors.ERROR, 2 * _LINE_PX)


def show_ellipsoids(server: Any, ellipsoids: Ellipsoids, magnified: float) -> Any:
    """Ellipsoids of 90 %, so many times as large as they are."""
    import trimesh

    if not len(ellipsoids):
        return None
    sphere = trimesh.creation.icosphere(subdivisions=2)
    return server.scene.add_batched_meshes_simple(
        "/ellipsoids",
        np.asarray(sphere.vertices, np.float32),
        np.asarray(sphere.faces, np.uint32),
        batched_wxyzs=np.array([quaternion_wxyz(R_33) for R_33 in ellipsoids.R_n33]),
        batched_positions=ellipsoids.centers_n3,
        batched_scales=np.maximum(magnified * ellipsoids.radii_n3, 1e-9),
        batched_colors=colors.ESTIMATE,
        opacity=0.45,
        lod="off",
        cast_shadow=False,
        receive_shadow=False,
    )


def show_points(server: Any, name: str, points: Points, content: Content) -> Any:
    """Landmarks or covered places."""
    size = _POINT_SHARE * content.depth if points.size is None else points.size
    return server.scene.add_point_cloud(
        name,
        points.points_n3,
        points.rgb_n3,
        point_size=size,
        precision="float32",
        point_shape="circle",
        point_shading="flat",
    )


def show_chosen(server: Any, content: Content, group: CameraGroup, number: int) -> Any:
    """The outline of one camera, thick."""
    one = CameraGroup("", group.frames[number : number + 1], group.poses[number : number + 1], group.color)
    return _lines(server, "/chosen", content.lines_of(one).reshape(-1, 2, 3), colors.ERROR, _CHOSEN_PX)


def _lines(
    server: Any, name: str, lines_n23: np.ndarray, color: tuple[int, int, int], width_px: float, visible: bool = True
) -> Any:
    return server.scene.add_line_segments(
        name, lines_n23, color, thickness=width_px, thickness_units="screen", visible=visible
    )
