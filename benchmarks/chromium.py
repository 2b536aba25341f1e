"""A headless Chromium with WebGL in software, driven over its DevTools protocol; for tests and benchmarks."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


class RefusedError(RuntimeError):
    """The browser could not do it, as while it goes from one page to another."""


class Browser:
    """One page. `errors` are its console errors and uncaught exceptions, `requests` the addresses that it asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what happens meanwhile is noted."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=120))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RefusedError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Of JavaScript, as JSON; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Asks until something holds, between pages as well; whether it did in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(RefusedError):
                if until():
                    return True
            time.sleep(0.1)
        return False

    def screenshot(self) -> bytes:
        """PNG.

        Raises:
            RefusedError: there is no page at this moment.
        """
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)
            time.sleep(0.15)

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])


@contextmanager
def browser(width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A browser with one page of a size; it is ended afterwards, with everything that it wrote."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        words = [str(PROGRAM), *_FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _port(Path(folder) / "DevToolsActivePort")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                page = next(each for each in json.load(answer) if each["type"] == "page")
            with connect(page["webSocketDebuggerUrl"], max_size=None) as connection:
                yield Browser(connection)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _port(path: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.is_file() and (lines := path.read_text(encoding="utf-8").splitlines()):
            return lines[0]
        time.sleep(0.1)
    raise TimeoutError("Chromium did not start")
