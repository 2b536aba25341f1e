"""The page in the browser: the place, its controls, and the camera that was clicked."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError
from transpose.geometry.poses import Pose, compose
from transpose.storage import replacing_file
from transpose.viewing import layers
from transpose.viewing.content import Content
from transpose.viewing.frame_view import FrameView, frame_view
from transpose.viewing.picture import draw_picture, lines_of, picture_camera
from transpose.viewing.points import Points
from transpose.worlds.renderer import Renderer

MAGNIFICATIONS = ("1", "3", "10", "30", "100")


def start_server(host: str, port: int, label: str) -> Any:
    """viser's server; nothing of it is shared beyond this machine.

    Raises:
        MissingPackageError: viser is not installed.
    """
    try:
        import viser
    except ImportError:
        raise MissingPackageError("viser", "viewer", "to show a place in the browser") from None
    with contextlib.redirect_stdout(io.StringIO()):  # its banner; results go to stdout
        server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
    return server


class Page:
    """A place on a server, as every browser that comes sees it.

    Args:
        server: of `start_server`.
        content: the place.
        renderer: of its world; None: there is none.
        points: layers of points by name, shown from the start.
        clickable: whether cameras can be clicked, which a page without a server cannot have.
    """

    def __init__(
        self,
        server: Any,
        content: Content,
        renderer: Renderer | None,
        points: dict[str, Points],
        clickable: bool = True,
    ) -> None:
        self.server, self.content, self.points = server, content, points
        self._renderer = renderer
        self._turn = threading.Lock()  # callbacks come from many threads
        self._chosen: Any = None
        self.magnified = 1.0
        self.view: FrameView | None = None
        with server.atomic():
            layers.show_place(server, content)
            self.groups = [layers.show_group(server, content, g, i, clickable) for i, g in enumerate(content.groups)]
            self.errors = layers.show_errors(server, content)
            self.ellipsoids: Any = None
            self.magnify(self.magnified)
            self.clouds: dict[str, Any] = {}
            for name, each in points.items():
                self.add_points(name, each)
            self.world = layers.show_world(server, content)

    def magnify(self, factor: float) -> None:
        """Shows the ellipsoids so many times as large as they are."""
        self.magnified = factor
        if self.content.errors is not None:
            shown = self.ellipsoids is None or self.ellipsoids.visible
            self.ellipsoids = layers.show_ellipsoids(self.server, self.content.errors.ellipsoids, factor)
            if self.ellipsoids is not None:
                self.ellipsoids.visible = shown

    def add_points(self, name: str, points: Points) -> None:
        """Another layer of points."""
        self.points[name] = points
        self.clouds[name] = layers.show_points(self.server, f"/points/{name}", points, self.content)

    def choose(self, group: int, number: int) -> FrameView:
        """Marks a camera and looks at it closely.

        Raises:
            TransposeError: its photo is missing or broken.
        """
        with self._turn:
            view = frame_view(self.content.groups[group], number, self._renderer)
            self.view = view
            self._chosen = layers.show_chosen(self.server, self.content, self.content.groups[group], number)
        return view

    def go_to(self, group: int, number: int, client: Any) -> None:
        """Puts a browser's view where a camera is."""
        chosen = self.content.groups[group]
        pose = self.content.local(chosen.poses[number])
        camera = chosen.cameras[number]
        with client.atomic():
            client.camera.fov = float(2 * np.arctan(camera.height / (2 * camera.fy)))
            client.camera.up_direction = -pose.R_wc[:, 1]
            client.camera.position = pose.center
            client.camera.look_at = pose.center + self.content.depth * pose.R_wc[:, 2]

    def picture(self, client: Any) -> np.ndarray:
        """What a browser shows, by the worlds' own renderer."""
        from transpose.geometry.poses import rotation_from_quaternion

        pose = Pose(compose(rotation_from_quaternion(client.camera.wxyz), np.asarray(client.camera.position)))
        height = max(1, int(client.camera.image_height or 1000))
        width = max(1, int(client.camera.image_width or 1600))
        camera = picture_camera(width, height, client.camera.fov)
        groups = tuple(g for g, s in zip(self.content.groups, self.groups, strict=True) if s and s[0].visible)
        points = [self.points[name] for name, cloud in self.clouds.items() if cloud.visible]
        world = self.content.world if self.world is not None and self.world.visible else None
        shown = (each is not None and bool(each.visible) for each in (self.errors, self.ellipsoids))
        lines = lines_of(self.content, groups, self.magnified, *shown)
        return draw_picture(world, self.content.both_sides, lines, points, camera, pose)

    def html(self) -> str:
        """The page as one file that needs neither a server nor a network; what can be clicked is left out."""
        return str(self.server.scene.as_html())


def write_html(page: Page, path: Path) -> int:
    """Writes the page as one file in one step; returns its bytes."""
    data = page.html().encode("utf-8")
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)
    return len(data)
