"""Coloured point clouds from LAS, LAZ and PLY, in chunks: no file is ever in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from transpose.errors import MissingPackageError, TransposeError
from transpose.storage import refuse_pointer
from transpose.worlds.las_crs import las_crs
from transpose.worlds.point_formats import SAVE_AGAIN, way_in, without_color

CHUNK_POINTS = 1_000_000
_NOISE = (7, 18)  # ASPRS: low and high noise
_WIRES = (13, 14, 16)  # ASPRS: wires and their connectors, which are no surface
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


@dataclass(frozen=True)
class Points:
    """Some points of a file: float64 coordinates, colours as stored (any range), ASPRS classes or None."""

    xyz_n3: np.ndarray
    rgb_n3: np.ndarray
    class_n: np.ndarray | None

    def __len__(self) -> int:
        return len(self.xyz_n3)


class PointFile(Protocol):
    """A point cloud on disk that can be read again and again."""

    @property
    def path(self) -> Path:
        """Named in errors."""
        ...

    @property
    def count(self) -> int:
        """How many points the header promises."""
        ...

    @property
    def white(self) -> float | None:
        """The number of a full colour, where the format prescribes one."""
        ...

    @property
    def crs(self) -> Any:
        """Whatever pyproj understands, or None."""
        ...

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """All points in the order of the file; raises `TransposeError` where the file ends early."""
        ...


def open_points(path: Path) -> PointFile:
    """A LAS, LAZ or PLY file.

    Raises:
        TransposeError: it is missing, of another format, broken, empty or without colour.
        MissingPackageError: laspy is not installed and the file is LAS or LAZ.
    """
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    ending = path.suffix.lower()
    if ending in (".las", ".laz"):
        return LasFile(path)
    if ending == ".ply":
        return PlyFile(path)
    raise TransposeError(f"{path} is no point cloud that can be read; {way_in(path, ending)}")


@dataclass(frozen=True)
class TurnedPoints:
    """A point cloud whose coordinates are turned or scaled by a matrix."""

    file: PointFile
    matrix_33: np.ndarray

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def count(self) -> int:
        return self.file.count

    @property
    def white(self) -> float | None:
        return self.file.white

    @property
    def crs(self) -> Any:
        return self.file.crs

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """The points of the file, turned."""
        for part in self.file.chunks(points):
            yield Points(part.xyz_n3 @ self.matrix_33.T, part.rgb_n3, part.class_n)


class LasFile:
    """LAS 1.0 to 1.4, LAZ by lazrs. Points flagged withheld and ASPRS noise and wires are left out."""

    white = None  # 65535 by the standard; files with numbers of 8 or 12 bits are common

    def __init__(self, path: Path, needs_color: bool = True) -> None:
        try:
            import laspy
        except ImportError as error:
            raise MissingPackageError(f"laspy ({error})", "geo", "to read LAS and LAZ files") from None
        self._laspy = laspy
        self.path, self._needs_color = path, needs_color
        with self._open() as reader:
            header = reader.header
            self.count = header.point_count
            scales_3 = np.array(header.scales)
            names = set(header.point_format.dimension_names)
        if self.count == 0 and needs_color:
            raise TransposeError(f"{path} holds no points")
        if not (np.isfinite(scales_3).all() and (scales_3 != 0).all()):
            raise TransposeError(
                f"{path} is broken: its coordinates have the scale {scales_3.tolist()}; export it again"
            )
        if needs_color and "red" not in names:
            raise TransposeError(
                f"{path} has no colour (point format {header.point_format.id}); colour it from an orthophoto first, "
                "or use its heights and classes: transpose build terrain DSM --ortho TIF --las FILE"
            )

    def _open(self) -> Any:
        try:
            return self._laspy.open(self.path)
        # laspy and lazrs raise whatever the broken header makes them stumble over.
        except Exception as error:
            raise TransposeError(
                f"{self.path} cannot be read as LAS ({type(error).__name__}: {error}); is it complete?"
            ) from None

    @cached_property
    def crs(self) -> Any:
        """The reference system, looked at only where nobody names another; raises `TransposeError` as `las_crs`."""
        with self._open() as reader:
            return las_crs(self.path, reader.header)

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        read = 0
        with self._open() as reader:
            iterator = reader.chunk_iterator(points)
            while True:
                try:
                    chunk = next(iterator)
                except StopIteration:
                    break
                except Exception as error:  # see above
                    raise self._truncated(read, str(error)) from None
                read += len(chunk)
                yield self._points(chunk)
        if read != self.count:
            raise self._truncated(read, "it ends early")

    def _truncated(self, read: int, why: str) -> TransposeError:
        return TransposeError(
            f"{self.path} is truncated or broken: {read} of {self.count} points could be read ({why}); copy it again"
        )

    def _points(self, chunk: Any) -> Points:
        class_n = np.asarray(chunk.classification, np.uint8)
        keep_n = ~np.isin(class_n, (*_NOISE, *_WIRES)) & ~np.asarray(chunk.withheld, bool)
        xyz_n3 = np.stack([np.asarray(chunk.x), np.asarray(chunk.y), np.asarray(chunk.z)], axis=1)[keep_n]
        if self._needs_color:
            rgb_n3 = np.stack([np.asarray(chunk[name]) for name in ("red", "green", "blue")], axis=1)[keep_n]
        else:
            rgb_n3 = np.zeros((len(xyz_n3), 3), np.uint16)
        return Points(xyz_n3, rgb_n3, class_n[keep_n])


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
        self._dtype = np.dtype([(name, order + kind) for name, kind in properties])

    def _header(self) -> tuple[str, int, list[tuple[str, str]], int]:
        kind, count, properties, in_vertex = "", -1, [], False
        with self.path.open("rb") as file:
            if file.readline().strip() != b"ply":
                raise TransposeError(f"{self.path} is no PLY file (empty, or something else under this name)")
            for raw in file:
                words = raw.decode(errors="replace").split()
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
