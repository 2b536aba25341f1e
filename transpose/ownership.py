"""Who may write where: one process at a time, and what is left of those that died is removed.

Files and folders are written under a temporary name first (`storage`), and a process that is killed meanwhile leaves it
behind. The next one that has the folder to itself removes it.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transpose.errors import TransposeError
from transpose.locks import claim, give_up, locked

TEMPORARY_SUFFIX = ".partial"
_USE = "use"  # what the lock of a folder stands beside, in it
# What sections keep a file a frame in (`scenes.layout`).
_LAYERS = ("rgb", "poses", "calibration", "depth", "init", "normal", "semantics")
_OTHERS = {"section.json": "section", "scene.json": "scene", "world.json": "world"}
_MADE_BY = re.compile(rf"\.(\d+)-[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}$")


def temporary_name(path: Path) -> Path:
    """A name that no other process takes, be it on another machine with the same process number."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def sweep(folder: Path, name: str = "*", deep: bool = False) -> None:
    """Removes what processes that were killed left under temporary names.

    Args:
        folder: in which they wrote; who sweeps has to keep others out of it, on other machines too.
        name: of what they wrote.
        deep: in folders within it as well.
    """
    for path in (folder.rglob if deep else folder.glob)(f".{name}{TEMPORARY_SUFFIX}"):
        made = _MADE_BY.search(path.name)
        if made and not _is_alive(int(made[1])):
            with suppress(OSError):  # what may not be removed is in nobody's way
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _is_alive(process: int) -> bool:
    """Whether a process of this number runs here. Windows, which cannot tell, keeps what is open by itself."""
    if os.name != "posix":
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is someone else's
        return True
    return True


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing into a folder until the block ends, and removes what died ones left half done.

    The folder is made if need be, and goes again where nothing was written into it.

    Raises:
        TransposeError: another process is at work there, it cannot be a folder, it lies in one of a section's, or it is
            a section, a scene or a world.
    """
    use = folder / _USE
    refuse_layers(folder)
    _refuse_others(folder)
    with _made(folder):
        mine = claim(use, folder)
        try:
            if mine:
                sweep(folder)
            yield
        finally:
            if mine:
                give_up(use)


def refuse_layers(folder: Path) -> None:
    """Refuses folders of a section's own files: one beside its images would be taken for one of its frames.

    Raises:
        TransposeError: it is one, or lies in one.
    """
    for each in (folder.absolute(), *folder.absolute().parents):
        if each.name in _LAYERS and all((each.parent / name).is_dir() for name in ("rgb", "poses")):
            raise TransposeError(f"{each} holds a section's own files; name another folder than {folder}")


def _refuse_others(folder: Path) -> None:
    """Refuses what is made anew as a whole, and what lies in it with it, and what holds such folders."""
    what = next((what for name, what in _OTHERS.items() if (folder / name).is_file()), None)
    if what is None and all((folder / name).is_dir() for name in ("rgb", "poses")):
        what = "section"
    if what is not None:
        raise TransposeError(f"{folder} is a {what}; name a folder of its own for what is made")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder, and removes it, and those around it, where it was not there before and nothing came into it."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise TransposeError(
            f"{folder} cannot be a folder for results, it is or lies in a file; name another"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # something is in it
            for each in missing:
                each.rmdir()


def await_use(folder: Path, waiting: Callable[[], None]) -> None:
    """Until nobody else has sole use of a folder; calls `waiting` where that is not at once."""
    if folder.is_dir():
        with locked(folder / _USE, waiting):
            pass


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keeps other processes from making a folder anew, which is replaced when it is whole, until the block ends.

    Raises:
        TransposeError: another process is making it.
    """
    with _made(path.parent):
        mine = begin_writing(path)
        try:
            yield
        finally:
            if mine:
                end_writing(path)


def begin_writing(path: Path) -> bool:
    """As at the beginning of `sole_writer`; whether it is for who calls to say `end_writing`.

    Raises:
        TransposeError: another process is making the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = claim(_writing(path), path)
    if mine:
        sweep(path.parent, f"{glob.escape(path.name)}.*")
    return mine


def end_writing(path: Path) -> None:
    """Lets other processes make the folder."""
    give_up(_writing(path))


def _writing(path: Path) -> Path:
    return path.with_name(f"{path.name}.writing")
