"""What cannot be written is told before the work: no run, section or world is read for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from transpose.app.cli import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `folder` and a file `file`, in the working directory, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("report run --scene scene --sections test --out folder", "--out folder is a folder; name a file in it"),
        ("report run --scene scene --sections test --world lost --out page.html", "lost"),
        ("calibrate run photo.jpg --out folder", "--out folder is a folder; name a file in it"),
        ("view run --picture folder", "--picture folder is a folder; name a file in it"),
        ("view run --picture house.gif", "--picture writes .png, .jpg, .jpeg, .webp, not house.gif"),
        ("view run --html folder", "--html folder is a folder; name a file in it"),
        ("similarity scene --section test --out file", "--out file is a file; name a folder"),
        ("hloc run scene --section test --out file", "--out file is a file; name a folder"),
        ("export run --to tum --results folder --out folder", "--out folder is a folder; name a file in it"),
        ("export run --to colmap --results folder --out file", "--out file is a file; name a folder"),
    ],
)
def test_a_name_of_the_wrong_kind_is_told_first(
    place: Path, line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 1
    printed = capsys.readouterr()
    assert told in printed.err and len(printed.err.splitlines()) == 1 and printed.out == ""
    assert sorted(each.name for each in place.iterdir()) == ["file", "folder"]
    assert (place / "file").read_text(encoding="utf-8") == "mine"
