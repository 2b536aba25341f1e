"""One writer at a time: the second process is told, and what a killed one left is removed by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transpose.errors import TransposeError
from transpose.ownership import await_use, sole_use, sole_writer, sweep, temporary_name
from transpose.scenes.writer import SectionWriter
from transpose.storage import replacing_file, replacing_folder

_HOLDS = """
import sys
from pathlib import Path
from transpose.ownership import sole_use, sole_writer

with {"use": sole_use, "writing": sole_writer}[sys.argv[1]](Path(sys.argv[2])):
    print("has it", flush=True)
    sys.stdin.read()
"""
# Dies while it writes a file and a folder, as by a power cut.
_DIES = """
import os, sys
from pathlib import Path
from transpose.storage import replacing_file, replacing_folder

with replacing_folder(Path(sys.argv[1]) / "folder") as folder, replacing_file(Path(sys.argv[1]) / "file") as file:
    (folder / "a").write_text("half")
    file.write_text("half")
    os._exit(9)
"""


@contextmanager
def another_process(how: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has `path` to itself; `how` is "use" or "writing"."""
    words = [sys.executable, "-c", _HOLDS, how, str(path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "has it\n"
    try:
        yield process
    finally:
        process.communicate()


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_the_second_process_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with another_process("use", tmp_path / "run") as process:
        with pytest.raises(TransposeError, match=rf"another process \({process.pid} on .*\) is writing .*run; wait"):
            with sole_use(tmp_path / "run"):
                pass
    with sole_use(tmp_path / "run"):
        (tmp_path / "run" / "x").write_text("mine")
    with another_process("writing", tmp_path / "run"):
        with pytest.raises(TransposeError, match=r"another process .* is writing"), replacing_folder(tmp_path / "run"):
            pass
        with pytest.raises(TransposeError, match=r"another process .* is writing"):
            SectionWriter(tmp_path, "run", {})
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["x"] or os.name != "posix"


def test_a_killed_process_keeps_nobody_out(tmp_path: Path) -> None:
    with another_process("use", tmp_path / "run") as process:
        process.kill()
        process.wait()
        assert hidden(tmp_path / "run") == [".use.lock"]
        with sole_use(tmp_path / "run"), sole_use(tmp_path / "run"):  # this process may do so twice
            pass
    assert not (tmp_path / "run").exists() or hidden(tmp_path / "run") == [] or os.name != "posix"


def test_one_may_wait_for_the_first_to_end(tmp_path: Path) -> None:
    with another_process("use", tmp_path / "run") as process:
        await_use(tmp_path / "run", process.kill)
    await_use(tmp_path / "run", pytest.fail)
    await_use(tmp_path / "none", pytest.fail)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _DIES, str(tmp_path)], check=False)
    left = [name for name in hidden(tmp_path) if name.endswith(".partial")]
    assert [name.split(".")[1] for name in left] == ["file", "folder"]
    with replacing_file(tmp_path / "other") as mine:
        mine.write_text("whole")
        with replacing_folder(tmp_path / "folder") as folder:
            (folder / "a").write_text("whole")
            assert [name.split(".")[1] for name in hidden(tmp_path) if "partial" in name] == ["file", "folder", "other"]
        sweep(tmp_path)  # of this process, which lives, nothing
    assert [name for name in hidden(tmp_path) if name.endswith(".partial")] == []
    assert (tmp_path / "other").read_text() == (tmp_path / "folder" / "a").read_text() == "whole"


@pytest.mark.skipif(os.name != "posix", reason="links to folders need rights elsewhere")
def test_what_a_left_over_link_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("theirs")
    name = temporary_name(tmp_path / "x").name.replace(f".{os.getpid()}-", ".999999999-")
    (tmp_path / name).symlink_to("theirs")
    with sole_writer(tmp_path / "x"):
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "theirs" / "a").read_text() == "theirs"


def test_a_folder_into_which_nothing_was_written_goes_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), sole_use(tmp_path / "runs" / "one"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [] or os.name != "posix"
    (tmp_path / "mine").mkdir()
    with sole_use(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TransposeError, match="is or lies in a file"), sole_use(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("where", ["rgb", "poses", "depth/deeper"])
def test_no_results_go_among_a_section_s_own_files(tmp_path: Path, where: str) -> None:
    for layer in ("rgb", "poses", "depth"):
        (tmp_path / "scene" / "test" / layer).mkdir(parents=True)
    with pytest.raises(TransposeError, match="holds a section's own files"), sole_use(tmp_path / "scene/test" / where):
        pass
    with sole_use(tmp_path / "rgb" / "results"):  # a name alone says nothing
        pass


@pytest.mark.parametrize("kind", ["section", "scene", "world", "section of others"])
def test_a_section_a_scene_or_a_world_is_no_folder_for_results(tmp_path: Path, kind: str) -> None:
    """What is rendered or built anew takes the place of all that lies in it."""
    folder = tmp_path / "it"
    if kind == "section of others":
        for name in ("rgb", "poses"):
            (folder / name).mkdir(parents=True)
    else:
        folder.mkdir()
        (folder / f"{kind}.json").write_text("{}")
    with pytest.raises(TransposeError, match=f"it is a {kind.split()[0]}; name a folder of its own"), sole_use(folder):
        pytest.fail("let in")
    with sole_use(folder / "run"):  # beside the sections of a scene, or in a folder of one
        (folder / "run" / "model.pt").touch()
