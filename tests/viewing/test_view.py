"""`transpose view`: its doors, the file that needs no server, and the page in a browser."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.app.test_command_line import fails
from transpose.app import local_server
from transpose.app.cli import main
from transpose.errors import TransposeError


def test_a_picture_is_written_without_viser(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out" / "picture.png"
    assert main(["view", str(place / "results"), "--picture", str(out), "--coverage", "test"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out) and "coverage by test" in printed.err
    assert cv2.imread(str(out)).shape == (1000, 1600, 3)
    assert [path.name for path in out.parent.iterdir()] == ["picture.png"]


def test_one_page_is_written_in_one_step(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("viser", reason="needs the extra viewer")
    out = place / "page.html"
    assert main(["view", str(place / "scene"), "--world", str(place / "world"), "--html", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    before = out.read_bytes()
    assert b"__VISER_EMBED_DATA__" in before

    from transpose.viewing.page import Page

    def broken(_: Page) -> str:
        raise TransposeError("no room")

    monkeypatch.setattr(Page, "html", broken)
    assert main(["view", str(place / "scene"), "--html", str(out)]) == 1
    assert out.read_bytes() == before and not list(place.glob(".*"))


def test_bad_input_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "p.png"
    assert "does not exist" in fails(["view", place / "no"], capsys)
    assert "nothing that can be shown" in fails(["view", place], capsys)
    said = fails(["view", place / "results", "--coverage", "nowhere", "--picture", out], capsys)
    assert "has no coverage by nowhere; layers that can be computed here: landmarks, coverage by test" in said
    assert "has no landmarks" in fails(["view", place / "scene", "--landmarks", "--picture", out], capsys)
    assert "there are no landmarks" in fails(["view", place / "run", "--landmarks", "--picture", out], capsys)
    assert "--port must be" in fails(["view", place / "scene", "--port", "0"], capsys)
    assert "cannot listen on 192.0.2.1" in fails(["view", place / "scene", "--host", "192.0.2.1"], capsys)
    (place / "world" / "mesh.npz").write_bytes(b"cut off")
    assert "is broken" in fails(["view", place / "world", "--picture", out], capsys)
    assert not out.exists()


def test_without_viser_one_line_says_what_to_install(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    assert "pip install 'transpose-loc[viewer]'" in fails(["view", place / "scene", "--no-open"], capsys)


def test_a_busy_port_gives_way_to_the_next() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < local_server.free_port("127.0.0.1", port) < port + 50


def test_a_browser_is_left_alone_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    monkeypatch.setattr(local_server.webbrowser, "open", lambda _: pytest.fail("opened"))
    assert not local_server.open_browser("http://localhost:1")
    assert local_server.forwarding_line(8080).startswith("ssh -L 8080:localhost:8080 ")


def chromium() -> Any:
    """The driver of the benchmarks, or a skip where there is no Chromium."""
    pytest.importorskip("viser", reason="needs the extra viewer")
    from benchmarks import chromium as driver

    if driver.PROGRAM is None:
        pytest.skip("needs Chromium")
    return driver


def colorful(png: bytes) -> float:
    """The share of pixels with a colour."""
    bgr_hw3 = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)
    return float((np.ptp(bgr_hw3, axis=-1) > 40).mean())


def test_the_page_shows_the_place_and_asks_nobody_else(place: Path) -> None:
    driver = chromium()
    words = [sys.executable, "-m", "transpose", "view", str(place / "results"), "--no-open", "--port", "18300"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        with driver.browser() as page:
            page.open(url)
            assert page.wait(60, lambda: colorful(page.screenshot()) > 0.05)
            assert "Click a camera" in page.value("document.body.innerText")
            assert page.errors == []
            assert all(each.startswith((url, "data:", "blob:", "about:")) for each in page.requests)
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0


def test_the_file_opens_without_a_network(place: Path) -> None:
    driver = chromium()
    out = place / "page.html"
    assert main(["view", str(place / "results"), "--html", str(out)]) == 0
    with driver.browser() as page:
        page.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.open(out.as_uri())
        assert page.wait(60, lambda: colorful(page.screenshot()) > 0.05)
        assert page.errors == []
