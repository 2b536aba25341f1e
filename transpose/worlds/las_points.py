"""Points of LAS and LAZ files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError
from transpose.untrusted.values import is_of_the_file
from transpose.worlds.las_bounds import check_layers, points_of_a_chunk, refuse_impossible
from transpose.worlds.las_crs import las_crs
from transpose.worlds.points import CHUNK_POINTS, Points

_NOISE = (7, 18)  # ASPRS: low and high noise
_LARGEST_CHUNK = 1 << 28  # bytes; LASzip's own have 50 000 points
_WIRES = (13, 14, 16)  # ASPRS: wires and their connectors, which are no surface


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
        one_by_one = (laspy.LazBackend.Lazrs, laspy.LazBackend.Laszip)
        self._unpacking = tuple(backend for backend in one_by_one if backend.is_available())
        with self._open() as reader:
            header = reader.header
            self.count = header.point_count
            scales_3 = np.array(header.scales)
            names = set(header.point_format.dimension_names)
            is_packed = header.are_points_compressed
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
        if is_packed and self._has_small_chunks():
            self._unpacking = laspy.LazBackend.detect_available()

    def _open(self) -> Any:
        try:
            refuse_impossible(self.path)
            return self._laspy.open(self.path, laz_backend=self._unpacking)
        # laspy and lazrs raise whatever the broken header makes them stumble over.
        except BaseException as error:
            if not is_of_the_file(error):
                raise
            raise TransposeError(
                f"{self.path} cannot be read as LAS ({type(error).__name__}: {error}); is it complete?"
            ) from None

    @cached_property
    def crs(self) -> Any:
        """The reference system, looked at only where nobody names another; raises `TransposeError` as `las_crs`."""
        with self._open() as reader:
            return las_crs(self.path, reader.header)

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """All points in the order of the file; raises `TransposeError` where it is damaged or ends early."""
        read = 0
        with self._open() as reader:
            iterator = reader.chunk_iterator(points)
            while True:
                try:
                    chunk = next(iterator)
                except StopIteration:
                    break
                except BaseException as error:  # see above
                    if not is_of_the_file(error):
                        raise
                    raise self._truncated(read, str(error)) from None
                read += len(chunk)
                yield self._points(chunk)
        if read != self.count:
            raise self._truncated(read, "it ends early")

    def _has_small_chunks(self) -> bool:
        """Whether threads may unpack chunks of a LAZ; they make room for whole ones, and abort where there is none.

        Raises:
            TransposeError: chunks or their layers promise more than the file holds, which would abort any reader.
        """
        try:
            import lazrs
        except ImportError:  # another backend of laspy
            return False
        try:
            with self._open() as reader, self.path.open("rb") as file:
                row, record = reader.header.point_format.size, reader.header.vlrs.get("LasZipVlr")[0].record_data
                start = reader.header.offset_to_point_data
                file.seek(start)
                chunks = lazrs.read_chunk_table(file, lazrs.LazVlr(record))
                check_layers(file, record, start, row, [size for _, size in chunks])
        except BaseException as error:
            if not is_of_the_file(error) or isinstance(error, TransposeError):
                raise
            raise self._truncated(0, str(error)) from None
        points = points_of_a_chunk(record)
        return max([count for count, _ in chunks] + [points]) * row <= _LARGEST_CHUNK

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
