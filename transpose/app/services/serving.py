"""The HTTP service of a command: runs are loaded, the address is taken, and uvicorn serves until it is told to stop."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transpose.app.console import say, tell
from transpose.app.local_server import forwarding_line, is_remote, open_browser
from transpose.errors import MissingPackageError, TransposeError

if TYPE_CHECKING:
    from transpose.serving.limits import Limits
    from transpose.serving.places import Place

KEY_VARIABLE = "TRANSPOSE_API_KEY"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_GRACE_S = 10
_HIGHEST = 65535


def missing_packages() -> list[str]:
    """Modules of the extra `serve` that are not installed."""
    needed = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    return [name for name in needed if find_spec(name) is None]


@dataclass(frozen=True)
class ServeRequest:
    """What is served, where and within which limits; see `transpose.app.commands.serve.Serve`."""

    runs: tuple[Path, ...]
    worlds: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    browser: bool = False
    risk: float | None = None
    megabytes: float = 30.0
    megapixels: float = 60.0
    seconds: float = 60.0
    waiting: int = 32
    device: str = "cpu"


def serve(request: ServeRequest) -> None:
    """Serves until it is interrupted.

    Raises:
        TransposeError: a run or world is broken, the address is taken, or a flag makes no sense.
        MissingPackageError: the extra `serve` is not installed.
    """
    uvicorn = _uvicorn()
    limits = _limits(request)
    if not request.runs:
        raise TransposeError("name at least one run folder")
    if request.worlds and len(request.worlds) != len(request.runs):
        raise TransposeError(
            f"--world names one world a run, in order: {len(request.runs)} runs, {len(request.worlds)} worlds"
        )
    with _listening(request.host, request.port) as listener:  # before what is slow
        places = _places(request)
        from transpose.serving.api import make_app

        key = os.environ.get(KEY_VARIABLE, "")
        app = make_app(places, limits, key)
        _warm_up(places)
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=_GRACE_S, server_header=False, access_log=False
        )
        with suppress(KeyboardInterrupt):  # raised anew when all that was begun is answered: the end that was asked for
            server = _announcing(uvicorn.Server, partial(_tell, request, listener.getsockname()[1], key))
            server(config).run(sockets=[listener])


def _announcing(server: type[Any], announce: Callable[[], None]) -> type[Any]:
    """uvicorn's server that announces itself once it answers, and ends well when it is told to from then on."""

    class Announcing(server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                announce()

    return Announcing


def _uvicorn() -> Any:
    if lacking := missing_packages():
        raise MissingPackageError(lacking[0], "serve", "a page and a service for photos")
    import uvicorn

    return uvicorn


def _limits(request: ServeRequest) -> Limits:
    from transpose.serving.limits import Limits

    try:
        return Limits(request.megabytes, request.megapixels, request.seconds, request.waiting)
    except ValueError as error:
        raise TransposeError(f"--{error}") from None


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _HIGHEST:
        raise TransposeError(f"--port must be between 0 and {_HIGHEST}, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = error.strerror or str(error)
        raise TransposeError(f"cannot listen on {host}, port {port}: {why}; name another with --host, --port") from None


def _places(request: ServeRequest) -> list[Place]:
    from transpose.localization import load
    from transpose.serving.places import Place, names_of
    from transpose.worlds.world import read_metadata

    for world in request.worlds:
        read_metadata(world)
    worlds: tuple[Path | None, ...] = request.worlds or (None,) * len(request.runs)
    loading = partial(load, device=request.device, risk=request.risk)
    named = zip(names_of(request.runs), request.runs, worlds, strict=True)
    return [Place(name, run, world, loading) for name, run, world in named]


def _warm_up(places: list[Place]) -> None:
    """What the first client would wait for: worlds, maps."""
    for place in places:
        if place.overhead is None:
            tell(f"{place.name}: no map, and no model to be drawn")
        elif place.renderer is None:
            tell(f"{place.name}: no world is there to be drawn over photos; name one with --world")


def _tell(request: ServeRequest, port: int, key: str) -> None:
    public = request.host not in _LOOPBACK
    shown = "localhost" if request.host in (*_LOOPBACK, "0.0.0.0", "::") else request.host
    url = f"http://{shown}:{port}"
    if public and not key:
        tell(f"everybody who reaches {request.host} may use this; set {KEY_VARIABLE} to ask for a key")
    if is_remote() and not public:
        tell(f"from another machine: {forwarding_line(port)}")
    tell("Ctrl-C ends it")
    say(url)
    if request.browser:  # beside the server, which a browser may ask before it returns
        threading.Thread(target=open_browser, args=(url,), daemon=True).start()
