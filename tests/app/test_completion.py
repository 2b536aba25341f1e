"""What shells complete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from transpose.app.cli import main
from transpose.app.command_table import COMMANDS


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("completion")


@pytest.fixture
def script(request: pytest.FixtureRequest, scripts: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = scripts / request.param
    if not path.exists():
        assert main(["completion", request.param]) == 0
        path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def completed(script: Path, line: str) -> list[str]:
    """What bash makes of a line whose last word is being written; nothing is left to its completion of paths."""
    *words, last = line.split(" ")
    array = " ".join(f"'{word}'" for word in [*words, last])
    asked = f"source '{script}'; COMP_WORDS=({array}); COMP_CWORD={len(words)}; _transpose; echo \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("transpose ", list(COMMANDS)),
        ("transpose loc", ["localize"]),
        ("transpose build r", ["rgbd"]),
        ("transpose setup 7", ["7scenes"]),  # a choice that is no flag
        ("transpose completion ", ["bash", "zsh"]),
        ("transpose localize run photo.jpg --foc", ["--focal"]),
        ("transpose build mesh house.obj --up -", ["-x", "-y", "-z"]),
        ("transpose export run --to c", ["colmap"]),
        ("transpose localize ru", []),  # paths, which the shell knows
        ("transpose localize run --camera my", []),
        ("transpose build mesh --flip-winding ho", []),
        ("transpose localize build me", []),  # a run of the name of a command
        ("transpose localize it's", []),
    ],
)
def test_bash_offers_what_fits(script: Path, line: str, offered: list[str]) -> None:
    assert set(completed(script, line.replace("'", "'\\''"))) >= set(offered)
    if len(offered) < 2:
        assert completed(script, line.replace("'", "'\\''")) == offered


@pytest.mark.parametrize("script", ["bash", "zsh"], indirect=True)
def test_scripts_name_all_and_are_valid(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert all(f"'transpose {name}')" in text for name in COMMANDS) and "--focal" in text
    if shutil.which(script.name):
        subprocess.run([script.name, "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_asks_the_same(script: Path) -> None:
    asked = f"source '{script}'; _transpose_candidates ca transpose export run --to"
    done = subprocess.run(["zsh", "-f", "-c", asked], capture_output=True, text=True, check=True)
    assert "colmap" in done.stdout.split()
