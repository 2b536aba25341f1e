"""The controls beside the place: what is shown, the clicked camera, sequences, and saving."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.viewing.page import MAGNIFICATIONS, Page
from transpose.viewing.points import Points

log = logging.getLogger(__name__)
_PLAYED_SECONDS = 0.4
_BLANK_HW3 = np.full((9, 16, 3), 235, np.uint8)

Later = dict[str, Callable[[], Points | None]]
"""Layers of points by name that are computed when they are first shown."""


class Controls:
    """Adds the controls of a page.

    Args:
        page: that is controlled.
        later: layers that take a while.
        notes: shown on top, one a line.
    """

    def __init__(self, page: Page, later: Later, notes: tuple[str, ...] = ()) -> None:
        self._page, self._gui = page, page.server.gui
        self._current: tuple[int, int] | None = None
        self._playing = threading.Event()
        if notes:
            self._gui.add_markdown("  \n".join(notes))
        self._shown(later)
        self._camera()
        self._sequence()
        self._saving()

    def _shown(self, later: Later) -> None:
        page, content = self._page, self._page.content
        with self._gui.add_folder("show"):
            if page.world is not None and content.world is not None:
                self._box(f"world ({len(content.world.faces_f3):,} triangles)", [page.world])
            for group, nodes in zip(content.groups, page.groups, strict=True):
                self._box(f"{group.name} ({len(group)})", nodes)
            if content.errors is not None:
                self._box("lines to the truth", [page.errors])
                box = self._gui.add_checkbox("ellipsoids: 90 %", True)
                box.on_update(lambda _: self._show_ellipsoids(box.value))
                size = self._gui.add_dropdown("ellipsoids, times as large", MAGNIFICATIONS)
                size.on_update(lambda _: page.magnify(float(size.value)))
                if content.errors.refused:
                    self._gui.add_markdown(f"{content.errors.refused} frames without a pose")
            for name, points in page.points.items():
                self._box(name, [page.clouds[name]])
                self._gui.add_markdown(points.legend)
            for name, make in later.items():
                self._later(name, make)

    def _box(self, label: str, nodes: list[Any]) -> None:
        box = self._gui.add_checkbox(label, True)

        def update(_: Any) -> None:
            for node in filter(None, nodes):
                node.visible = box.value

        box.on_update(update)

    def _show_ellipsoids(self, visible: bool) -> None:
        if self._page.ellipsoids is not None:
            self._page.ellipsoids.visible = visible

    def _later(self, name: str, make: Callable[[], Points | None]) -> None:
        box = self._gui.add_checkbox(name, False, hint="computed when it is first shown")
        told = self._gui.add_markdown("", visible=False)
        turn = threading.Lock()

        def update(_: Any) -> None:
            with turn:
                if box.value and name not in self._page.clouds:
                    told.content, told.visible = "computing ...", True
                    told.content = self._made(name, make)
                if name in self._page.clouds:
                    self._page.clouds[name].visible = box.value
                told.visible = box.value

        box.on_update(update)

    def _made(self, name: str, make: Callable[[], Points | None]) -> str:
        try:
            points = make()
        except TransposeError as error:
            return f"cannot be shown: {error}"
        if points is None:
            return "there are none"
        self._page.add_points(name, points)
        return points.legend

    def _camera(self) -> None:
        with self._gui.add_folder("camera"):
            self._facts = self._gui.add_markdown("Click a camera to see its photo and the world from there.")
            self._image = self._gui.add_image(_BLANK_HW3, label="photo and render", visible=False, jpeg_quality=90)
            self._blend = self._gui.add_slider("photo ... render", 0.0, 1.0, 0.05, 0.5)
            look = self._gui.add_button("look from there", disabled=True)
        self._look = look
        self._blend.on_update(lambda _: self._draw())
        look.on_click(lambda event: self._page.go_to(*self._current, event.client) if self._current else None)
        for number, nodes in enumerate(self._page.groups):
            if len(nodes) > 1:
                nodes[1].on_click(lambda event, group=number: self.choose(group, event.instance_index))

    def choose(self, group: int, number: int | None) -> None:
        """Shows a camera's photo; what is wrong with it is said on the page."""
        if number is None or not 0 <= number < len(self._page.content.groups[group]):
            return
        try:
            view = self._page.choose(group, number)
        except TransposeError as error:
            self._facts.content = f"cannot be shown: {error}"
            return
        self._current = (group, number)
        self._facts.content = view.facts
        self._look.disabled = False
        self._draw()

    def _draw(self) -> None:
        view = self._page.view
        if view is not None:
            self._image.image = view.blended(float(self._blend.value))
            self._image.visible = True

    def _sequence(self) -> None:
        groups = [group for group in self._page.content.groups if len(group) > 1]
        if not groups:
            return
        names = tuple(group.name for group in groups)
        numbers = {group.name: i for i, group in enumerate(self._page.content.groups)}
        with self._gui.add_folder("sequence"):
            which = self._gui.add_dropdown("cameras of", names, initial_value=names[-1])
            frame = self._gui.add_slider("frame", 0, len(groups[-1]) - 1, 1, 0)
            play = self._gui.add_checkbox("play", False)

        def changed(_: Any) -> None:
            frame.max = len(self._page.content.groups[numbers[which.value]]) - 1
            frame.value = 0

        which.on_update(changed)
        frame.on_update(lambda _: self.choose(numbers[which.value], int(frame.value)))

        def played(_: Any) -> None:
            while play.value and not self._playing.is_set():
                frame.value = (int(frame.value) + 1) % (int(frame.max) + 1)
                time.sleep(_PLAYED_SECONDS)

        play.on_update(played)

    def _saving(self) -> None:
        with self._gui.add_folder("save"):
            picture = self._gui.add_button("picture (PNG)")
            html = self._gui.add_button("page that needs no server (HTML)")

        @picture.on_click
        def _(event: Any) -> None:
            import cv2

            _, data = cv2.imencode(".png", self._page.picture(event.client)[..., ::-1])
            event.client.send_file_download(f"{self._page.content.title}.png", data.tobytes(), save_immediately=True)

        @html.on_click
        def _(event: Any) -> None:
            data = self._page.html().encode()
            event.client.send_file_download(f"{self._page.content.title}.html", data, save_immediately=True)

    def stop(self) -> None:
        """Ends what plays."""
        self._playing.set()
