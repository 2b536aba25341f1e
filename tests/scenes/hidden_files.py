"""What macOS leaves beside files on disks of other systems: `._NAME`, of a few hundred bytes that are no picture."""

from __future__ import annotations

from pathlib import Path

_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200)


def with_hidden_twins(folder: Path) -> Path:
    """The folder, with a hidden file beside each file."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(_APPLE_DOUBLE)
    return folder
