"""Whether what a command is to write can have its name: asked before hours of work, not after them."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import TransposeError


def check_file(path: Path | None, flag: str = "--out") -> None:
    """Refuses a folder in the place of a file."""
    if path is not None and path.is_dir():
        raise TransposeError(f"{flag} {path} is a folder; name a file in it")


def check_folder(path: Path | None, flag: str = "--out") -> None:
    """Refuses a file in the place of a folder."""
    if path is not None and path.exists() and not path.is_dir():
        raise TransposeError(f"{flag} {path} is a file; name a folder")
