"""Bounds of what packed files become: none is unpacked whose header promises more than its bytes can hold."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence

MOST_PACKED = 1100
"""Deflate packs at most 1032 to 1 (RFC 1951: 258 bytes by two bits); what says more lies."""
_SLACK = 1 << 16


def members_within(archive: zipfile.ZipFile, size: int) -> Sequence[zipfile.ZipInfo]:
    """The members of a ZIP, of which none is larger than its bytes can be, and no two share theirs.

    Args:
        archive: open.
        size: of its file, bytes.

    Raises:
        ValueError: a member is encrypted, or one or all together become more than the file can hold.
    """
    members = archive.infolist()
    packed = sum(member.compress_size for member in members)
    if packed > size:
        raise ValueError(f"its members take {packed} bytes, the file has {size}")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        if member.file_size > (member.compress_size if stored else MOST_PACKED * member.compress_size + _SLACK):
            raise ValueError(f"{member.filename!r} promises {member.file_size} bytes of {member.compress_size}")
        if member.flag_bits & 1:
            raise ValueError(f"{member.filename!r} is encrypted")
    return members
