"""Points of PLY files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.ply_headers import is_whole
from transpose.worlds.point_formats import SAVE_AGAIN, without_color
from transpose.worlds.points import CHUNK_POINTS, Points

_LONGEST_LINE = 10_000
_PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


class PlyFile:
    """PLY vertices with colour, ascii or binary; an integer property named class, label or scalar_Classification
    counts as ASPRS classes."""

    crs = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._format, self.count, properties, self._start = self._header()
        properties = [(name.lower(), kind) for name, kind in properties]
        names = [name for name, _ in properties]
        if not {"x", "y", "z"} <= set(names):
            raise TransposeError(f"{path} has no vertices with x, y and z (properties: {', '.join(names)}){SAVE_AGAIN}")
        if self.count == 0:
            raise TransposeError(f"{path} holds no points")
        self._rgb = next(
            (c for c in (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
             if set(c) <= set(names)),
            None,
        )  # fmt: skip
        if self._rgb is None:
            raise TransposeError(f"{path} {without_color(names)}")
        self._class = next((n for n in names if n in ("class", "label", "scalar_classification")), None)
        self.white = 255.0 if dict(properties)[self._rgb[0]] == "u1" else None
        order = ">" if self._format == "binary_big_endian" else "<"
        if len(set(names)) < len(names):
            raise TransposeError(f"{path}: a property of its vertices stands there twice{SAVE_AGAIN}")
        self._dtype = np.dtype([(name, order + kind) for name, kind in properties])
        least = 2 * len(names) if self._format == "ascii" else self._dtype.itemsize  # bytes of a row
        if self.count * least > path.stat().st_size + least:
            raise TransposeError(
                f"{path} is truncated: {self.count} points do not go into {path.stat().st_size} bytes; copy it again"
            )

    def _header(self) -> tuple[str, int, list[tuple[str, str]], int]:
        kind, count, properties, in_vertex = "", -1, [], False
        with self.path.open("rb") as file:
            if file.readline().strip() != b"ply":
                raise TransposeError(f"{self.path} is no PLY file (empty, or something else under this name)")
            for raw in iter(lambda: file.readline(_LONGEST_LINE), b""):
                words = raw.decode(errors="replace").split()
                if not is_whole(words):
                    raise TransposeError(f"{self.path}: its header has the line `{' '.join(words)[:80]}`{SAVE_AGAIN}")
                if words[:1] == ["format"]:
                    kind = words[1]
                elif words[:1] == ["element"]:
                    in_vertex = words[1] == "vertex"
                    if in_vertex:
                        count = int(words[2])
                    elif count < 0:
                        raise TransposeError(
                            f"{self.path}: vertices must be the first element of the PLY file{SAVE_AGAIN}"
                        )
                elif words[:1] == ["property"] and in_vertex:
                    if words[1] not in _PLY_TYPES:
                        raise TransposeError(
                            f"{self.path}: a property of its vertices is no number: {' '.join(words[1:])}{SAVE_AGAIN}"
                        )
                    properties.append((words[2], _PLY_TYPES[words[1]]))
                elif words[:1] == ["end_header"]:
                    return kind, max(count, 0), properties, file.tell()
        raise TransposeError(f"{self.path} is truncated: its header has no end; copy it again")

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """All points in the order of the file; raises `TransposeError` where it ends early."""
        with self.path.open("rb") as file:
            file.seek(self._start)
            for first in range(0, self.count, points):
                expected = min(points, self.count - first)
                if self._format == "ascii":
                    rows = self._ascii(file, expected)
                else:
                    rows = np.frombuffer(file.read(expected * self._dtype.itemsize), np.uint8)
                    rows = rows[: len(rows) // self._dtype.itemsize * self._dtype.itemsize].view(self._dtype)
                if len(rows) != expected:
                    raise TransposeError(
                        f"{self.path} is truncated: {first + len(rows)} of {self.count} points; copy it again"
                    )
                yield self._points(rows)

    def _ascii(self, file: Any, expected: int) -> np.ndarray:
        lines = [line for _, line in zip(range(expected), file, strict=False)]
        try:
            values_nk = np.array([line.split() for line in lines], np.float64).reshape(len(lines), -1)
        except ValueError:
            raise TransposeError(f"{self.path}: a row of vertices is no row of numbers") from None
        rows = np.empty(len(lines), self._dtype)
        if values_nk.shape[1] < len(self._dtype.names or ()):
            raise TransposeError(f"{self.path}: rows of vertices have too few numbers")
        for k, name in enumerate(self._dtype.names or ()):
            rows[name] = values_nk[:, k]
        return rows

    def _points(self, rows: np.ndarray) -> Points:
        xyz_n3 = np.stack([rows[axis].astype(np.float64) for axis in "xyz"], axis=1)
        rgb_n3 = np.nan_to_num(np.stack([rows[name] for name in self._rgb or ()], axis=1))
        class_n = None if self._class is None else np.clip(rows[self._class], 0, 255).astype(np.uint8)
        keep_n = np.isfinite(xyz_n3).all(1)
        return Points(xyz_n3[keep_n], rgb_n3[keep_n], None if class_n is None else class_n[keep_n])
