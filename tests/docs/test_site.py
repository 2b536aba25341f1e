"""The site: the reference made of the program itself, and a build of all pages."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.markdown import ROOT
from transpose.app.command_table import COMMANDS


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_tells_its_flags(reference: ModuleType) -> None:
    page = reference.commands_page()
    for name in COMMANDS:
        assert f"\n### {name}\n\n```text\nusage: transpose {name}" in page, name
    assert "\n#### build mesh\n\n```text\nusage: transpose build mesh" in page
    assert "\x1b" not in page


def test_the_python_page_has_the_names_that_people_rely_on(reference: ModuleType) -> None:
    page = reference.python_page()
    for name in ("transpose.load", "transpose.Query", "transpose.solvers.solve_pnp", "transpose.solvers.RansacOptions"):
        assert f"\n### {name}\n" in page, name
    assert "T_wc" in page and "```python\nsolve_pnp(" in page


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="extra docs")
    pytest.importorskip("material", reason="extra docs")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in ("index.html", "up/index.html", "generated/commands/index.html", "generated/python/index.html"):
        assert (tmp_path / page).is_file(), page
    assert "//fonts.g" not in (tmp_path / "index.html").read_text("utf-8")
