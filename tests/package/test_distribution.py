"""What is published: a source archive, the wheel made of it, and that wheel at work away from the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import transpose

CHECKOUT = Path(transpose.__file__).parents[1]
PACKED = ("transpose", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "CITATION.cff")


def ran(words: Sequence[object], folder: Path, path: Path | None = None) -> str:
    """Runs Python elsewhere, with `path` as the only place beside the installed packages; returns its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with source archive and wheel, built from a copy: a build leaves things in its folder."""
    pytest.importorskip("build", reason="extra dev")
    source = tmp_path_factory.mktemp("source")
    for name in PACKED:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, source)
    out = tmp_path_factory.mktemp("dist")
    ran(["-m", "build", "--no-isolation", "--outdir", out, source], out)
    return out


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as pip does with a package of pure Python."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(installed: Path) -> None:
    kept = {path.relative_to(CHECKOUT) for path in (CHECKOUT / "transpose").rglob("*") if path.is_file()}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    packed = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    packed = {path for path in packed if not path.parts[0].endswith(".dist-info")}
    assert packed == kept


def test_the_archives_pass_the_index_s_check(dist: Path) -> None:
    pytest.importorskip("twine", reason="extra dev")
    told = ran(["-m", "twine", "check", "--strict", *sorted(dist.iterdir())], dist)
    assert told.count("PASSED") == 2


def test_the_wheel_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = ran(["-c", "import transpose; print(transpose.__file__)"], tmp_path, installed)
    assert Path(where.strip()).is_relative_to(installed)
    assert ran(["-m", "transpose", "--version"], tmp_path, installed).strip() == f"transpose {transpose.__version__}"
    assert "the way of the data" in ran(["-m", "transpose", "--help"], tmp_path, installed)
    # With coarse textures, which take less time.
    code = (
        "import functools, sys, transpose.village as village\n"
        "from transpose.app.cli import main\n"
        "village.build_village = functools.partial(village.build_village, detail=0.125)\n"
        "sys.exit(main(['build', 'village', '--out', 'village']))"
    )
    ran(["-c", code], tmp_path, installed)
    assert (tmp_path / "village" / "world.json").exists()
    # What it reads out of itself: the weights of the error models, and the page's template and style.
    code = (
        "from importlib import resources as r\n"
        "print(*(r.files('transpose').joinpath(p).is_file() for p in "
        "('localization/error_models.json', 'pages/report.html', 'pages/report.css')))"
    )
    assert ran(["-c", code], tmp_path, installed).split() == ["True"] * 3


def test_versions_agree() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    cited = re.search(r"^version: (.+)$", (CHECKOUT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited is not None and transpose.__version__ == version == cited[1]
    assert f"## {version}" in (CHECKOUT / "CHANGELOG.md").read_text("utf-8")
