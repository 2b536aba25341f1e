"""Writing to disk so that a half-written result is never taken for a whole one, and two writers never meet.

A file or folder is written under a temporary name first and renamed when it is whole. A folder cannot be renamed over
another one, so for a moment the one that it replaces stands aside as `.NAME.old`; who dies in this moment leaves both,
and the next use brings the old one back or removes it (`recover_folder`). What is left under a temporary name by who
died is removed by whoever writes there next (`ownership`).
"""

from __future__ import annotations

import codecs
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from transpose.errors import TransposeError, first_few
from transpose.locks import locked
from transpose.ownership import sole_writer, temporary_name

# How every pointer of Git LFS begins.
_POINTER = b"version https://git-lfs.github.com/spec/"
_HEAD_BYTES = 1 << 16


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; a block that ends well renames it, one that fails removes it."""
    temporary = temporary_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; a block that ends well puts it in the place of `path`.

    What stood at `path` before is removed only after the new folder is complete.
    """
    temporary = temporary_name(path)
    with sole_writer(path):
        temporary.mkdir()
        try:
            yield temporary
            replace_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(ready: Path, path: Path) -> None:
    """Puts a folder that is whole in the place of another one, or of none, beside it.

    At every moment one of both is whole under one of its names, and whoever uses `path` next finds it there.

    Raises:
        TransposeError: a file is at `path`.
    """
    with locked(path):
        _recover(path)
        if path.is_file():
            raise TransposeError(f"{path} is a file, where a folder is to be written; move it, or name another folder")
        if path.exists():
            path.replace(_aside(path))
        ready.replace(path)
        _remove(_aside(path))


def refuse_foreign(folder: Path, own: Callable[[Path], bool], what: str) -> None:
    """Refuses to put something in the place of a folder that holds what its writer never wrote: that would be lost.

    Args:
        folder: that is to be replaced; nothing need be there.
        own: whether the writer writes such an entry.
        what: the writer writes, as a person reads it.

    Raises:
        TransposeError: it holds something else; hidden files do not count.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    foreign = [path.name for path in entries if not path.name.startswith(".") and not own(path)]
    if foreign:
        raise TransposeError(
            f"{folder} holds {first_few(foreign)}, which {'are' if len(foreign) > 1 else 'is'} no part of {what}, and "
            "would be replaced with all that is in it; name another folder, or move that away first"
        )


def recover_folder(path: Path) -> None:
    """Undoes what a process left that died while it replaced a folder; nothing where there is nothing to undo.

    A folder beside which nothing may be written is left as it is.
    """
    if _aside(path).exists():
        with suppress(OSError), locked(path):
            _recover(path)


def _recover(path: Path) -> None:
    aside = _aside(path)
    if path.exists():
        _remove(aside)
        if aside.exists():  # it may not be removed, but must not be in the way of the next one
            aside.replace(temporary_name(path))
    elif aside.exists():
        aside.replace(path)


def _remove(folder: Path) -> None:
    if folder.is_symlink():  # what it points to is someone else's
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def json_text(data: Any) -> str:
    """JSON with one key a line; infinite and undefined numbers become `null`, which every reader understands."""
    return json.dumps(_finite(data), indent=2) + "\n"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def save_tensors(path: Path, content: Any) -> None:
    """Writes tensors and plain values in one step, as `torch.load` reads them; the same bytes for the same content.

    Raises:
        OSError: the disk is full, or whatever else the system says.
    """
    import torch

    # Given a path, PyTorch keeps the temporary name in the file.
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # PyTorch's, which hides the system's
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def write_json(path: Path, data: Any) -> None:
    """Writes `data` as JSON in one step."""
    with replacing_file(path) as temporary:
        temporary.write_text(json_text(data), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises `TransposeError` with the file's name, and the place where it is broken."""
    return parsed_json(read_text(path), str(path))


def parsed_json(text: str, name: str) -> Any:
    """What JSON says that is in no file of its own; errors as of `read_json`, with the name that is given."""
    try:
        content = json.loads(text)
        if "\\ud" in text.lower():  # perhaps half of a character, which no file name and no output can hold
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "JSON knows no comments and no comma before a bracket that closes"
        raise TransposeError(f"{name} is not valid JSON ({where}: {error.msg}); {hint}") from None
    except RecursionError:
        raise TransposeError(f"{name} is not valid JSON (nested too deeply)") from None
    except ValueError as error:  # a whole number of more digits than Python reads, or half of a character
        raise TransposeError(f"{name} is not valid JSON ({error})") from None


def read_text(path: Path, errors: Literal["strict", "replace"] = "strict") -> str:
    """Text as UTF-8, whatever the machine's own encoding, or as UTF-16, which PowerShell writes.

    Without the mark that some editors put first.

    Args:
        path: of the file.
        errors: "replace": bytes that are no text become U+FFFD instead of an error.

    Raises:
        TransposeError: the file is missing, cannot be read, is in another encoding, or stayed with Git LFS.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except OSError as error:
        raise TransposeError(f"{path} cannot be read ({error.strerror})") from None
    _refuse_pointer(path, data)
    encoding = _encoding(data)
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        raise TransposeError(f"{path} is not text in {name} ({error.reason}); save it in UTF-8") from None


def head_of(path: Path) -> bytes:
    """The first 65536 bytes of a file.

    Raises:
        TransposeError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise TransposeError(f"{path} cannot be read ({error.strerror or error})") from None


def refuse_pointer(path: Path) -> None:
    """Says so where a file is only what Git leaves of a large one that was not fetched. For readers that failed.

    Raises:
        TransposeError: it is a pointer of Git LFS.
    """
    with suppress(OSError), path.open("rb") as file:
        _refuse_pointer(path, file.read(len(_POINTER)))


def _refuse_pointer(path: Path, data: bytes) -> None:
    if data.startswith(_POINTER):
        raise TransposeError(f"{path} is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`")


def _encoding(data: bytes) -> str:
    """By the mark at the start; without one, the zeros of UTF-16 betray it, for text begins with Latin letters here."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data[:2] and len(data) > 1:
        return "utf-16-be" if data[0] == 0 else "utf-16-le"
    return "utf-8-sig"
