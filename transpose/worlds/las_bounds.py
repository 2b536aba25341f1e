"""What a LAS file's header promises against the bytes that are there, before laspy and lazrs make room for it.

Offsets are those of the LAS 1.4 specification (ASPRS, R15), those of the table of chunks LASzip's (Isenburg, 2013).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_HEADER, _SHORTEST = 375, 227
_SIZES, _FORMAT, _ROW, _EXTENDED, _POINTS = 94, 104, 105, 235, 247
_MOST_PACKED = 20_000  # to one: points that are all alike take next to nothing in LAZ
_RECORD, _EXTENDED_RECORD = 54, 60
_LENGTH = 20  # where an extended record's length stands
_PACKED = 0xC0  # bits of the point format
# In LASzip's record: how points are packed, how many a chunk has, and of which items a point is made.
_CHUNK_POINTS, _ITEMS = 12, 32
_LAYERED, _VARIABLE = 3, 0xFFFFFFFF
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}  # of an item of that type; of extra bytes each has one
_EXTRA_BYTES = 14


def refuse_impossible(path: Path) -> None:
    """Raises ValueError where records or chunks are promised that the file cannot hold."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER)
        if head[:4] != b"LASF" or len(head) < _SHORTEST:
            raise ValueError("it is no LAS file, or cut off in its header")
        header, points, records = struct.unpack_from("<HII", head, _SIZES)
        if max(points, header + records * _RECORD) > size:
            raise ValueError(
                f"its header promises {records} records, and points from byte {points} on, of {size} bytes"
            )
        row, count = struct.unpack_from("<HI", head, _ROW)
        if head[25] >= 4 and len(head) >= _POINTS + 8:
            at, extended = struct.unpack_from("<QI", head, _EXTENDED)
            _check_extended(file, at, extended, size)
            (count,) = struct.unpack_from("<Q", head, _POINTS)
        packed = head[_FORMAT] & _PACKED
        if packed:
            _check_chunks(file, points, size)
        if count * row > size * (_MOST_PACKED if packed else 1):
            raise ValueError(f"its {count} points do not go into {size} bytes")


def points_of_a_chunk(record: bytes) -> int:
    """By LASzip's record; 0 where each chunk has another number."""
    points = int(struct.unpack_from("<I", record, _CHUNK_POINTS)[0])
    return 0 if points == _VARIABLE else points


def check_layers(file: BinaryIO, record: bytes, start: int, row: int, sizes: Sequence[int]) -> None:
    """Raises ValueError where chunks, or the layers that one is made of, are larger than the file or the chunk.

    A layered chunk has a point of `row` bytes, the number of points, and the bytes of each layer; then the layers.

    Args:
        file: open.
        record: LASzip's.
        start: where points begin, with the place of the table of chunks.
        row: bytes of a point.
        sizes: bytes of each chunk, by that table.
    """
    end = file.seek(0, 2)
    if start + 8 + sum(sizes) > end:
        raise ValueError(f"its chunks take {sum(sizes)} bytes, more than there are")
    if struct.unpack_from("<H", record)[0] != _LAYERED:
        return
    (items,) = struct.unpack_from("<H", record, _ITEMS)
    kinds = [struct.unpack_from("<HH", record, _ITEMS + 2 + 6 * item) for item in range(items)]
    layers = sum(width if kind == _EXTRA_BYTES else _LAYERS.get(kind, 0) for kind, width in kinds)
    at = start + 8
    for size in sizes:
        file.seek(at + row)
        head = file.read(4 + 4 * layers)
        if len(head) < 4 + 4 * layers or sum(struct.unpack_from(f"<{layers}I", head, 4)) > size:
            raise ValueError("the layers of a chunk are larger than the chunk")
        at += size


def _check_extended(file: BinaryIO, at: int, records: int, size: int) -> None:
    for _ in range(records):
        file.seek(min(at, size))
        record = file.read(_EXTENDED_RECORD)
        if len(record) == _EXTENDED_RECORD:
            at += _EXTENDED_RECORD + struct.unpack_from("<Q", record, _LENGTH)[0]
        if len(record) < _EXTENDED_RECORD or at > size:
            raise ValueError(f"its extended records reach beyond its {size} bytes")


def _check_chunks(file: BinaryIO, points: int, size: int) -> None:
    file.seek(points)
    at = _number(file, "<q", size)
    if at == -1:  # who wrote it could not go back; the last eight bytes say it
        file.seek(max(0, size - 8))
        at = _number(file, "<q", size)
    if not points <= at <= size - 8:
        raise ValueError("its table of chunks is not in the file")
    file.seek(at + 4)
    chunks = _number(file, "<I", size)
    if chunks > size:
        raise ValueError(f"its table promises {chunks} chunks in {size} bytes")


def _number(file: BinaryIO, form: str, size: int) -> int:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError(f"it ends after {size} bytes, within its table of chunks")
    return int(struct.unpack(form, data)[0])
