"""Downloads from a server that breaks, forgets and lies."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from transpose.errors import TransposeError
from transpose.scenes.setup import download
from transpose.scenes.setup.download import fetch

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    asked: list[str | None]
    breaks: int
    ranges: bool

    def do_GET(self) -> None:
        cls = type(self)
        wanted = self.headers.get("Range")
        cls.asked.append(wanted)
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and cls.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT)
        if cls.breaks:
            cls.breaks -= 1
            end = start + (len(CONTENT) - start) // 2
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Fresh", (Handler,), {"asked": [], "breaks": 0, "ranges": True})
    httpd = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    yield f"http://127.0.0.1:{httpd.server_port}", handler
    httpd.shutdown()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_after_breaks(server: tuple[str, type[Handler]], tmp_path: Path, ranges: bool) -> None:
    url, handler = server
    handler.breaks, handler.ranges = 2, ranges
    seen: list[int] = []
    fetch(f"{url}/file", tmp_path / "a" / "f", len(CONTENT), SHA256, lambda done, total: seen.append(done))
    assert (tmp_path / "a" / "f").read_bytes() == CONTENT
    assert len(handler.asked) == 3
    assert handler.asked[1] == f"bytes={len(CONTENT) // 2}-"
    assert seen[-1] == len(CONTENT)
    fetch(f"{url}/file", tmp_path / "a" / "f", len(CONTENT), SHA256)
    assert len(handler.asked) == 3  # what is there is not fetched again


def test_what_broke_for_good_goes_on_later(server: tuple[str, type[Handler]], tmp_path: Path) -> None:
    url, handler = server
    handler.breaks = 100
    with pytest.raises(TransposeError, match=r"MB are kept, the same command goes on"):
        fetch(f"{url}/file", tmp_path / "f", len(CONTENT), SHA256)
    assert not (tmp_path / "f").exists()
    handler.breaks = 0
    fetch(f"{url}/file", tmp_path / "f", len(CONTENT), SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("promise", [{"sha256": "0" * 64}, {"size": 17}])
def test_another_file_is_refused_and_replaces_nothing(
    server: tuple[str, type[Handler]], tmp_path: Path, promise: dict[str, object]
) -> None:
    url, _ = server
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(TransposeError, match="not what it should be"):
        fetch(f"{url}/file", tmp_path / "f", **promise)  # type: ignore[arg-type]
    assert (tmp_path / "f").read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_servers_that_have_nothing_or_are_not_there(server: tuple[str, type[Handler]], tmp_path: Path) -> None:
    url, _ = server
    with pytest.raises(TransposeError, match="answers 404"):
        fetch(f"{url}/nothing", tmp_path / "f")
    with pytest.raises(TransposeError, match="could not be fetched"):
        fetch("http://127.0.0.1:9/file", tmp_path / "f")
    assert not (tmp_path / "f").exists()
