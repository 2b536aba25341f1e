"""What is on disk after a crash at any moment, and when several write at once."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose import locks
from transpose.errors import TransposeError
from transpose.locks import locked
from transpose.storage import read_json, recover_folder, replacing_file, replacing_folder, write_json

# Replaces a folder and dies at the nth step on the disk, before it or just after it, as by a power cut.
_DYING = """
import os, shutil, sys
from pathlib import Path
from transpose import storage

path, nth, after = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"
steps = 0

def dying(real):
    def step(*args, **more):
        global steps
        steps += 1
        if steps == nth and not after:
            os._exit(9)
        result = real(*args, **more)
        if steps == nth:
            os._exit(9)
        return result
    return step

os.replace, os.unlink, os.rmdir = dying(os.replace), dying(os.unlink), dying(os.rmdir)
Path.replace = lambda self, target: os.replace(self, target)
with storage.replacing_folder(path) as temporary:
    (temporary / "a").write_text("new")
    (temporary / "b").write_text("new")
"""


def write_folder(path: Path, text: str) -> None:
    with replacing_folder(path) as temporary:
        for name in ("a", "b"):
            (temporary / name).write_text(text)


def content(path: Path) -> set[str]:
    return {(path / name).read_text() for name in ("a", "b")}


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


@pytest.mark.skipif(os.name != "posix", reason="steps on the disk are counted as POSIX has them")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_folder_is_whole_wherever_its_writer_died(tmp_path: Path, when: str) -> None:
    seen = set()
    for nth in itertools.count(1):
        path = tmp_path / str(nth) / "folder"
        write_folder(path, "old")
        code = subprocess.run([sys.executable, "-c", _DYING, path, str(nth), when], check=False).returncode
        recover_folder(path)  # what a reader does
        assert content(path) in ({"old"}, {"new"})
        seen |= content(path)
        write_folder(path, "again")  # what the next writer does
        assert content(path) == {"again"}
        assert [name for name in hidden(path.parent) if not name.endswith(".partial")] == []
        if code == 0:
            break
        assert code == 9
    assert seen == {"old", "new"} and nth > 4


def test_what_stood_aside_is_removed_or_brought_back(tmp_path: Path) -> None:
    path, aside = tmp_path / "train", tmp_path / ".train.old"
    write_folder(aside, "old")
    recover_folder(path)
    assert content(path) == {"old"} and hidden(tmp_path) == []
    write_folder(aside, "older")
    write_folder(path, "new")
    assert content(path) == {"new"} and hidden(tmp_path) == []


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "old")
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "a").write_text("new")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), replacing_file(tmp_path / "file") as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert content(tmp_path / "folder") == {"old"} and (tmp_path / "file").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(TransposeError, match="is a file, where a folder"):
        write_folder(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="links to folders need rights elsewhere")
def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", "theirs")
    (tmp_path / "x").symlink_to("elsewhere")
    write_folder(tmp_path / "x", "new")
    assert content(tmp_path / "x") == {"new"} and content(tmp_path / "elsewhere") == {"theirs"}
    assert hidden(tmp_path) == []


def add_one(path: Path) -> None:
    with locked(path):
        write_json(path, {"sum": (read_json(path)["sum"] if path.exists() else 0) + 1})


def test_no_update_is_lost_among_threads_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "sum.json"
    script = "import sys; from pathlib import Path; from tests.test_storage import add_one\n"
    script += "for _ in range(20): add_one(Path(sys.argv[1]))"
    others = [subprocess.Popen([sys.executable, "-c", script, path], cwd=Path(__file__).parents[1]) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add_one(path), range(100)))
    assert [other.wait() for other in others] == [0, 0]
    assert read_json(path) == {"sum": 140}
    assert os.name != "posix" or hidden(tmp_path) == []


def test_without_locks_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("_wait_for", "_take"):
        monkeypatch.setattr(locks, name, refused)
    write_folder(tmp_path / "x", "old")
    write_folder(tmp_path / "x", "new")
    assert content(tmp_path / "x") == {"new"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES)
def test_json_comes_back_but_for_what_is_no_number(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)

    def finite(each: object) -> object:
        if isinstance(each, dict):
            return {key: finite(inner) for key, inner in each.items()}
        if isinstance(each, list):
            return [finite(inner) for inner in each]
        return None if isinstance(each, float) and not math.isfinite(each) else each

    assert read_json(path) == finite(value)


def test_text_is_utf_8_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    # Some editors put a mark first, and PowerShell writes UTF-16.
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        path.write_text(json.dumps({"Zürich": "寺"}, ensure_ascii=False), encoding=encoding)
        assert read_json(path) == {"Zürich": "寺"}
    path.write_text(json.dumps({"Zürich": 1}, ensure_ascii=False), encoding="latin-1")
    with pytest.raises(TransposeError, match=r"x\.json is not text in UTF-8"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(TransposeError, match=r"x\.json is not valid JSON"):
        read_json(path)
    with pytest.raises(TransposeError, match="does not exist"):
        read_json(tmp_path / "y.json")
