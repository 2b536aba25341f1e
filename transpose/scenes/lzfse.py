"""Streams that Apple's LZFSE packed."""

from __future__ import annotations

import struct

from transpose.errors import MissingPackageError

_RAW, _END = b"bvx-", b"bvx$"
_KNOWN = (_RAW, _END, b"bvx1", b"bvx2", b"bvxn")


def unpacked_lzfse(data: bytes, size: int) -> bytes:
    """What a stream holds. Blocks that were left as they were are read here, packed ones by lzfse.

    Args:
        data: the stream.
        size: how many bytes it must hold.

    Raises:
        ValueError: it is no such stream, is truncated, or holds another number of bytes.
        MissingPackageError: lzfse is needed and not installed.
    """
    if data[:4] not in _KNOWN:
        raise ValueError("it is not packed with LZFSE")
    content = _of_raw_blocks(data)
    if content is None:
        content = _by_package(data)
    if len(content) != size:
        raise ValueError(f"it holds {len(content)} bytes, not {size}")
    return content


def _of_raw_blocks(data: bytes) -> bytes | None:
    """What a stream holds whose blocks are not packed: each a mark, its size, and the bytes; None of other streams."""
    found, at = b"", 0
    while data[at : at + 4] == _RAW:
        if len(data) < at + 8:
            raise ValueError("it is truncated")
        (size,) = struct.unpack_from("<I", data, at + 4)
        found += data[at + 8 : at + 8 + size]
        at += 8 + size
    if data[at : at + 4] == _END:
        return found
    if data[at : at + 4] in _KNOWN:
        return None
    raise ValueError("it is truncated")


def _by_package(data: bytes) -> bytes:
    try:
        import lzfse
    except ImportError:
        raise MissingPackageError("lzfse", "phones", "to read the depth of Record3D") from None
    try:
        content: bytes = lzfse.decompress(data)
    except lzfse.error as error:
        raise ValueError(f"it cannot be unpacked ({error})") from None
    return content
