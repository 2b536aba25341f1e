"""`transpose serve` from outside: its address, its end, and what it refuses to begin."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.stubs import save_run
from tests.serving.conftest import REFUSED, photo
from transpose.app.cli import main
from transpose.worlds.world import World, save_world

pytest.importorskip("uvicorn", reason="needs the extra serve")

# The service with made-up answers: a photo is placed or refused by how bright it is.
SERVED = """
import sys
import transpose.localization
from tests.evaluation.stubs import Plain
transpose.localization.load = lambda *_, **__: Plain()
from transpose.app.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""

MAP = "document.getElementById('map').src"
VERDICT = "document.getElementById('verdict').textContent"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(tmp_path / "run", tmp_path / "scene")


class Served:
    """The service in a process of its own."""

    def __init__(self, *words: str, **environment: str) -> None:
        everything = {**os.environ, **environment}
        everything["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), everything.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVED, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=everything,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_it_says_its_address_answers_and_ends_well(run: Path) -> None:
    with Served(str(run), "--port", "0") as served:
        with urllib.request.urlopen(f"{served.url}/healthz") as answer:
            assert json.load(answer)["status"] == "ok"
        served.process.send_signal(signal.SIGTERM)
        _, told = served.process.communicate(timeout=30)
        assert served.process.returncode == 0 and "Traceback" not in told and "error" not in told


def test_others_are_let_in_with_a_warning(run: Path) -> None:
    with Served(str(run), "--port", "0", "--host", "0.0.0.0") as served:
        served.process.send_signal(signal.SIGINT)
        _, told = served.process.communicate(timeout=30)
        assert "TRANSPOSE_API_KEY" in told
    with Served(str(run), "--port", "0", "--host", "0.0.0.0", TRANSPOSE_API_KEY="secret") as served:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{served.url}/runs")
        served.process.send_signal(signal.SIGINT)
        _, told = served.process.communicate(timeout=30)
        assert "TRANSPOSE_API_KEY" not in told


def test_what_it_does_not_begin(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        wrong = {
            ("--port", port): "in use",
            ("--port", "70000"): "--port",
            ("--host", "192.0.2.1"): "192.0.2.1",
            ("--seconds", "0"): "--seconds must be positive",
            ("--port", "0", "--world", str(tmp_path / "a"), str(tmp_path / "b")): "1 runs, 2 worlds",
            ("--port", "0", "--world", str(tmp_path / "a")): "is not a world",
            (str(run), "--port", "0"): "named twice",
            (str(tmp_path / "none"), "--port", "0"): "none",
        }
        for words, says in wrong.items():
            assert main(["serve", str(run), *words]) == 1
            told = capsys.readouterr().err
            assert says.lower() in told.lower() and "Traceback" not in told, (words, told)


def test_a_person_drops_photos(run: Path, tmp_path: Path, box_world: World) -> None:
    driver = _chromium()
    world = save_world(box_world, tmp_path / "world")
    photos = []
    for index in (1, REFUSED):
        photos.append(tmp_path / f"{index}.png")
        photos[-1].write_bytes(photo(index))
    with Served(str(run), "--world", str(world), "--port", "0") as served, driver.browser(390, 800) as page:
        page.open(served.url)
        assert page.wait(30, lambda: page.value("document.body.dataset.ready") == "yes")
        for path, said in zip(photos, ("Taken at", "Not placed"), strict=True):
            _drop(page, path)
            assert page.wait(30, lambda said=said: str(page.value(VERDICT)).startswith(said)), page.value(VERDICT)
        assert page.value("document.getElementById('list').children.length") == 2
        assert page.wait(30, lambda: page.value(MAP))
        before = page.value(MAP)
        os.utime(run / "model.pt", (1, 1))  # another model, as far as the service can tell
        _drop(page, photos[0])
        assert page.wait(30, lambda: page.value(MAP) != before)
        assert page.wait(30, lambda: page.value("document.getElementById('place').hidden") is False)
        assert page.errors == []
        assert all(each.startswith((served.url, "blob:", "data:")) for each in page.requests if each != "about:blank")


def _drop(page: Any, path: Path) -> None:
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)


def _chromium() -> Any:
    pytest.importorskip("websockets", reason="needs websockets, which comes with the extra viewer")
    from benchmarks import chromium as driver

    if driver.PROGRAM is None:
        pytest.skip("no Chromium here")
    return driver
