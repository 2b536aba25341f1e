"""Showing a place in the browser, as a picture or as a page that needs no server."""

from __future__ import annotations

import contextlib
import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transpose.app.console import say, tell
from transpose.app.outputs import check_file
from transpose.errors import TransposeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transpose.viewing.content import Content
    from transpose.viewing.controls import Later
    from transpose.viewing.folders import Chosen
    from transpose.viewing.points import Points
    from transpose.worlds.renderer import Renderer

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class ViewRequest:
    """What is shown, and how.

    Attributes:
        folder: a world, a scene, a section, a run or the results of a test.
        world, scene, results: that go with it; None: those that are recorded.
        landmarks: whether the run's landmarks are computed before the place is shown, not when a person asks.
        coverage: a section whose coverage is, likewise.
        picture, html: files to write instead of serving a page.
        host, port: of the page.
        browser: whether it is opened.
        device: as PyTorch names it.
    """

    folder: Path
    world: Path | None = None
    scene: Path | None = None
    results: Path | None = None
    landmarks: bool = False
    coverage: str | None = None
    picture: Path | None = None
    html: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    browser: bool = True
    device: str = "cpu"


@dataclass(frozen=True)
class _Place:
    """What was read: folders, content, and the renderer of its world."""

    chosen: Chosen
    content: Content
    renderer: Renderer | None


def view(request: ViewRequest) -> None:
    """Writes the files that are asked for, or serves the page until a person stops it.

    Raises:
        TransposeError: a folder is not what it is taken for or broken, or no port is free.
    """
    from transpose.app.local_server import free_port

    check_file(request.picture, "--picture")
    if request.picture is not None and request.picture.suffix.lower() not in _PICTURES:
        raise TransposeError(f"--picture writes {', '.join(_PICTURES)}, not {request.picture.name}")
    check_file(request.html, "--html")
    serves = request.picture is None and request.html is None
    port = free_port(request.host, request.port) if serves else 0
    place = _read(request)
    points = _points(request, place)
    if request.picture is not None:
        _write_picture(request.picture, place, points)
    if request.html is not None:
        _write_html(request.html, place, points)
    if serves:
        if port != request.port:
            tell(f"port {request.port} is in use; the page is on {port}")
        _serve(request, place, points, port)


def _read(request: ViewRequest) -> _Place:
    from transpose.viewing.content import read_content
    from transpose.viewing.folders import choose
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import load_world

    chosen = choose(request.folder, request.world, request.scene, request.results)
    renderer = Renderer(load_world(chosen.world)) if chosen.world is not None else None
    content = read_content(chosen, renderer)
    _tell_of(chosen, content)
    return _Place(chosen, content, renderer)


def _tell_of(chosen: Chosen, content: Content) -> None:
    for note in content.notes:
        tell(note)
    named = {"world": chosen.world, "scene": chosen.scene, "run": chosen.run, "results": chosen.results}
    shown = [f"{name} {path}" for name, path in named.items() if path is not None]
    cameras = [f"{len(group)} of {group.name}" for group in content.groups]
    tell("; ".join(["showing " + ", ".join(shown), *(["cameras: " + ", ".join(cameras)] if cameras else [])]))
    if content.world is not None:
        _tell_what_is_smaller(content)


def _tell_what_is_smaller(content: Content) -> None:
    from transpose.viewing.glb import shown_textures
    from transpose.viewing.reduced import MOST_TRIANGLES

    world = content.world
    assert world is not None
    if len(world.faces_f3) > MOST_TRIANGLES:
        tell(f"the browser gets at most {MOST_TRIANGLES:,} of {len(world.faces_f3):,} triangles, near ones joined")
    textures = shown_textures(world)
    if any(a is not b for a, b in zip(textures, world.textures, strict=True)):
        before, after = (sum(t.shape[0] * t.shape[1] for t in each) / 1e6 for each in (world.textures, textures))
        tell(
            f"the browser gets textures of {after:.0f} megapixels, shrunk from {before:.0f}; renders have them in full"
        )


def _points(request: ViewRequest, place: _Place) -> dict[str, Points]:
    """The layers that are computed before the place is shown."""
    from transpose.errors import TransposeError

    later, found = _later(request, place), {}
    wanted = ["landmarks"] if request.landmarks else []
    if request.coverage is not None:
        wanted.append(f"coverage by {request.coverage}")
    for name in wanted:
        if name not in later:
            have = ", ".join(later) or "none"
            raise TransposeError(f"{request.folder} has no {name}; layers that can be computed here: {have}")
        points = later[name]()
        if points is None:
            raise TransposeError(f"{request.folder}: there are no {name}")
        tell(points.legend.replace("**", ""))
        found[name] = points
    return found


def _later(request: ViewRequest, place: _Place) -> Later:
    from functools import partial

    from transpose.viewing.points import coverage_points, landmark_points

    content, run = place.content, place.chosen.run
    layers: Later = {}
    if run is not None and (run / "model.pt").is_file():
        estimates = next((group for group in content.groups if group.results), None)
        layers["landmarks"] = partial(landmark_points, run, content.origin_3, estimates, request.device)
    for section in content.sections:
        layers[f"coverage by {section.name}"] = partial(coverage_points, section, content.origin_3)
    return layers


def _write_picture(path: Path, place: _Place, points: dict[str, Points]) -> None:
    import cv2

    from transpose.storage import replacing_file
    from transpose.viewing.picture import draw_picture, first_view, lines_of, picture_camera

    content = place.content
    pose, _ = first_view(content, list(points.values()))
    lines = lines_of(content, tuple(group for group in content.groups if group.visible))
    rgb_hw3 = draw_picture(content.world, content.both_sides, lines, list(points.values()), picture_camera(), pose)
    _, data = cv2.imencode(path.suffix.lower(), rgb_hw3[..., ::-1])
    with replacing_file(path) as temporary:
        temporary.write_bytes(data.tobytes())
    say(str(path))


def _write_html(path: Path, place: _Place, points: dict[str, Points]) -> None:
    from transpose.viewing.page import Page, write_html

    with _server("127.0.0.1", 0, place) as server:
        size = write_html(Page(server, place.content, None, points, clickable=False), path)
    tell(f"{size / 1e6:.1f} MB; it opens without a server or a network")
    say(str(path))


def _serve(request: ViewRequest, place: _Place, points: dict[str, Points], port: int) -> None:
    from transpose.app.local_server import forwarding_line, open_browser
    from transpose.viewing.controls import Controls
    from transpose.viewing.page import Page

    with _server(request.host, port, place) as server:
        page = Page(server, place.content, place.renderer, points)
        later = {name: make for name, make in _later(request, place).items() if name not in points}
        controls = Controls(page, later, place.content.notes)
        shown = "localhost" if request.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else request.host
        url = f"http://{shown}:{server.get_port()}"
        opened = request.browser and open_browser(url)
        say(url)
        if not opened:
            tell(f"open it in a browser; from another machine: {forwarding_line(server.get_port())}")
        tell("Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        controls.stop()


@contextlib.contextmanager
def _server(host: str, port: int, place: _Place) -> Iterator[Any]:
    """viser's server, which says good-bye on stdout, where results go."""
    from transpose.viewing.page import start_server

    server = start_server(host, port, f"TransPose: {place.content.title}")
    try:
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()
