"""Where the page is served: a free port, the line for SSH, and the browser."""

from __future__ import annotations

import errno
import getpass
import os
import socket
import sys
import webbrowser
from contextlib import suppress

from transpose.errors import TransposeError

DEFAULT_PORT = 8080
_TRIED = 50
_HIGHEST = 65535


def free_port(host: str, port: int) -> int:
    """The first port from `port` on to which nothing listens yet.

    Raises:
        TransposeError: the address is none of this machine, the port none that may be used, or all are taken.
    """
    if not 1 <= port <= _HIGHEST:
        raise TransposeError(f"--port must be between 1 and {_HIGHEST}, not {port}")
    last = min(port + _TRIED, _HIGHEST + 1)
    for tried in range(port, last):
        try:
            _bind(host, tried)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            why = error.strerror or str(error)
            raise TransposeError(
                f"cannot listen on {host}, port {tried}: {why}; name others with --host, --port"
            ) from None
        return tried
    raise TransposeError(f"ports {port} to {last - 1} of {host} are all in use; name another one with --port")


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as tried:
        if sys.platform != "win32":  # there it would let two listen to one port
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(address)


def is_remote() -> bool:
    """Whether a person sits at another machine."""
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


def has_display() -> bool:
    """Whether a browser could open a window here."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def forwarding_line(port: int) -> str:
    """The command with which the page is reached from another machine by SSH."""
    user = "USER"
    with suppress(OSError, KeyError):
        user = getpass.getuser()
    return f"ssh -L {port}:localhost:{port} {user}@{socket.gethostname()}"


def open_browser(url: str) -> bool:
    """Opens the page where a person would see it; whether that was tried with success."""
    if is_remote() or not has_display():
        return False
    with suppress(webbrowser.Error):
        return webbrowser.open(url)
    return False
