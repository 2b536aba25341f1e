"""HDF5 files read and written: what is truncated, missing or no number is said in one line."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError, first_few
from transpose.storage import refuse_pointer, replacing_file
from transpose.untrusted.packed import MOST_PACKED
from transpose.untrusted.values import BAD_VALUES


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Yields the file, open; what goes wrong with it in the block is said of it.

    Raises:
        TransposeError: it is missing, no HDF5 file, or ends before its data do.
        MissingPackageError: h5py is not installed.
    """
    h5py = require_h5py()
    if not path.is_file():
        raise TransposeError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; an HDF5 file is needed")
    refuse_pointer(path)
    if not h5py.is_hdf5(path):
        raise TransposeError(f"{path} is no HDF5 file; is its download whole?")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, *BAD_VALUES) as error:  # h5py raises all of them on files that were cut off
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip("'\"")
        raise TransposeError(f"{path} is truncated or broken ({reason}); copy it again") from None


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """Yields a new file, which stands at `path` once the block has ended well.

    Raises:
        MissingPackageError: h5py is not installed.
    """
    h5py = require_h5py()
    with replacing_file(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        yield file


def numbers_in(group: Any, name: str, path: Path) -> np.ndarray | None:
    """The numbers of a data set as float32, of whatever precision they were stored in; None where there is none.

    Raises:
        TransposeError: they are no numbers, or some are NaN or infinite.
    """
    data = group.get(name)
    if data is None:
        return None
    try:
        values = np.asarray(stored(data, path), np.float32)
    except (*BAD_VALUES, OSError):
        raise TransposeError(f"{path}: {name} of {photo_of(group)} holds no numbers") from None
    if unknown := int((~np.isfinite(values)).sum()):
        raise TransposeError(
            f"{path}: {unknown} of {values.size} numbers in {name} of {photo_of(group)} are NaN or infinite; extract "
            "the features of this photo again"
        )
    return values


def stored(data: Any, path: Path) -> np.ndarray:
    """All of a data set, where its bytes are in the file itself.

    HDF5 lets a file name others for its data, and promise a size without any; both are refused before a byte is read.

    Raises:
        TransposeError: it is no data set, is kept in another file, or is larger than the file can hold.
    """
    if not hasattr(data, "dtype") or not hasattr(data, "shape") or data.shape is None:
        raise TransposeError(f"{path}: {photo_of(data)} is no data set with numbers")
    if data.external is not None or data.is_virtual or Path(data.file.filename) != Path(path):
        raise TransposeError(f"{path}: {photo_of(data)} is kept in another file, which is not read; copy it into this")
    size = math.prod(data.shape) * data.dtype.itemsize
    if size > MOST_PACKED * path.stat().st_size:
        raise TransposeError(f"{path}: {photo_of(data)} is said to have {size} bytes, more than the file can hold")
    return np.asarray(data[()])


def photo_of(group: Any) -> str:
    """The name that a group has in its file: a photo's, or a pair's."""
    return str(group.name).lstrip("/")


def groups_with(file: Any, data: str) -> list[str]:
    """The names of all groups that hold a data set of a name, such as all photos with `keypoints`, sorted."""
    found: list[str] = []

    def visit(name: str, _: Any) -> None:
        folder, _, last = name.rpartition("/")
        if last == data and folder:
            found.append(folder)

    file.visititems(visit)
    return sorted(found)


def require_names(path: Path, wanted: Collection[str], held: Collection[str], what: str) -> None:
    """Refuses a file that lacks photos.

    Raises:
        TransposeError: says how many it lacks, and what it holds instead.
    """
    have = set(held)
    if lacking := sorted(name for name in set(wanted) if name not in have):
        others = first_few(sorted(have), 2) if have else "none at all"
        raise TransposeError(
            f"{path} has no {what} of {len(lacking)} of {len(set(wanted))} photos ({first_few(lacking, 3)}); it has "
            f"those of {others}; is it of another database, or are its names below another folder?"
        )


def require_h5py() -> Any:
    """The module, for commands that would otherwise miss it after long work.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingPackageError("h5py", "sfm", "for hloc's files") from None
    return h5py
