"""Which test calls which functions of the package, and how long it takes: a plugin of pytest, and its table."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = str(ROOT / "transpose") + os.sep


class Recorder:
    """Notes for each test that passes its seconds of processor time and the functions that it called, by file."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self._seen: set[Any] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._seen, started = set(), time.process_time()
        for setter in (sys.settrace, threading.settrace):
            setter(self._called)
        try:
            return (yield)
        finally:
            for setter in (sys.settrace, threading.settrace):
                setter(None)
            functions: dict[str, list[str]] = {}
            for code in self._seen:
                if code.co_filename.startswith(PACKAGE):
                    functions.setdefault(str(Path(code.co_filename).relative_to(ROOT)), []).append(code.co_qualname)
            seconds = time.process_time() - started
            self.tests.setdefault(item.nodeid, {}).update(seconds=seconds, functions=functions)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.tests.setdefault(report.nodeid, {})["passed"] = True

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        self._seen.add(frame.f_code)


class Table:
    """What `Recorder` noted of each file of tests, kept in a JSON file; a changed file of tests is recorded anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def stale(self, files: list[str]) -> list[str]:
        """Those of some files of tests that are new or have changed."""
        return [file for file in files if self.files.get(file, {}).get("hash") != _hash(file)]

    def record(self, file: str, tests: dict[str, dict[str, Any]], modules: list[str]) -> None:
        """Keeps what one file's tests did, and which modules of others were imported at its end."""
        passed = {name: noted for name, noted in tests.items() if noted.pop("passed", False)}
        self.files[file] = {"hash": _hash(file), "tests": passed, "modules": modules}
        self.path.write_text(json.dumps(self.files), encoding="utf-8")

    def calling(self, module: str, function: str | None) -> list[tuple[str, float]]:
        """Tests that call a function (None: any) of a module's file, with their seconds, the quickest first."""
        found = []
        for noted in self.files.values():
            for test, what in noted["tests"].items():
                called = what["functions"].get(module, [])
                if any(_within(name, function) for name in called):
                    found.append((test, what["seconds"]))
        return sorted(found, key=lambda one: one[1])

    def modules(self) -> list[str]:
        """Modules of others that the tests import."""
        return sorted({name for noted in self.files.values() for name in noted["modules"]})


def foreign_modules() -> list[str]:
    """The modules that are imported now, but for the project's own and what is not a file's name."""
    ours = ("transpose", "tests", "mutating", "__main__", "conftest", "__mp_main__", "benchmarks")
    return [name for name in sys.modules if not name.startswith(ours)]


def _within(called: str, function: str | None) -> bool:
    """Module level runs at import: every function counts. A function counts with all that is defined in it."""
    return function is None or called == function or called.startswith(f"{function}.<locals>")


def _hash(file: str) -> str:
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()
