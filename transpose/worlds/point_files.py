"""Coloured point clouds from LAS, LAZ and PLY, in chunks: no file is ever in memory as a whole."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import TransposeError
from transpose.storage import refuse_pointer
from transpose.worlds.las_points import LasFile
from transpose.worlds.ply_points import PlyFile
from transpose.worlds.point_formats import way_in
from transpose.worlds.points import PointFile


def open_points(path: Path) -> PointFile:
    """A LAS, LAZ or PLY file.

    Raises:
        TransposeError: it is missing, of another format, broken, empty or without colour.
        MissingPackageError: laspy is not installed and the file is LAS or LAZ.
    """
    if path.is_dir():
        raise TransposeError(f"{path} is a folder; name the cloud in it")
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    ending = path.suffix.lower()
    if ending in (".las", ".laz"):
        return LasFile(path)
    if ending == ".ply":
        return PlyFile(path)
    raise TransposeError(f"{path} is no point cloud that can be read; {way_in(path, ending)}")
