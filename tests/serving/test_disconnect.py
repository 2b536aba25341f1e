"""Clients that go away, over a real connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.evaluation.stubs import Plain
from tests.serving.conftest import photo
from transpose.localization import Query
from transpose.serving.api import make_app
from transpose.serving.limits import Limits
from transpose.solvers import PoseEstimate

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra serve")


class Held(Plain):
    """Works on a photo until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.gate = threading.Event()

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        index = round(float(query.image_hw3.mean()) / 40)
        self.begun.append(index)
        assert self.gate.wait(30)
        self.ended.append(index)
        return super().localize_query(query, seed)


@contextmanager
def served(place: Any) -> Iterator[int]:
    """The service in a thread of its own, at a port."""
    app = make_app([place], Limits(seconds=60))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def sent(port: int, path: str, *indices: int) -> socket.socket:
    """A connection on which photos were sent, whose answer nobody has read."""
    field = "image" if path == "/localize" else "images"
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'.encode()
    body = b"".join(head + photo(index) + b"\r\n" for index in indices) + b"--x--\r\n"
    lines = (f"POST {path} HTTP/1.1", "Host: here", "Content-Type: multipart/form-data; boundary=x")
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall("\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body)
    return connection


def waits(port: int, count: int) -> bool:
    """Whether the service comes to have so many requests queued or under way."""
    for _ in range(600):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            said = b"".join(iter(lambda: connection.recv(4096), b""))
        if b'"waiting":%d' % count in said:
            return True
        time.sleep(0.05)
    return False


def test_a_photo_in_the_queue_whose_client_goes_is_not_begun(place: Callable[..., Any]) -> None:
    method = Held()
    with served(place(method=method)) as port:
        first, second, third = (sent(port, "/localize", index) for index in (1, 2, 1))
        assert waits(port, 3)
        second.close()
        assert waits(port, 2)  # its place is free
        method.gate.set()
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in (first, third))
        first.close()
        third.close()
        assert waits(port, 0)
    assert method.begun == [1, 1]


def test_what_is_under_way_goes_on_and_the_rest_of_a_batch_does_not(place: Callable[..., Any]) -> None:
    method = Held()
    with served(place(method=method)) as port:
        batch = sent(port, "/localize/batch", 1, 2)
        assert waits(port, 1)
        batch.close()
        time.sleep(0.2)
        assert waits(port, 1) and method.begun == [1]
        method.gate.set()
        assert waits(port, 0)
    assert method.begun == method.ended == [1]
