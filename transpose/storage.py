"""Writing to disk so that a half-written result is never taken for a whole one: temporary name first, then rename."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError

TEMPORARY_SUFFIX = ".partial"


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; a block that ends well renames it, one that fails removes it."""
    temporary = _temporary_name(path)
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
    temporary = _temporary_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def write_json(path: Path, data: Any) -> None:
    """Writes `data` as JSON in one step."""
    with replacing_file(path) as temporary:
        temporary.write_text(json_text(data), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises `TransposeError` with the file's name where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TransposeError(f"{path} is not valid JSON ({error})") from None
