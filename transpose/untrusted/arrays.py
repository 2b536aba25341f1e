"""NumPy's files, .npy and .npz: an array is allocated only where the file holds it."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from transpose.untrusted.packed import members_within

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_array(path: Path) -> np.ndarray:
    """The array of an .npy file; none of Python's objects.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, holds objects, or ends before its array does.
    """
    with _understood(), path.open("rb") as file:
        return _array(file, path.stat().st_size)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; none of Python's objects.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, holds objects, or promises more than its bytes can hold.
    """
    with _understood(), zipfile.ZipFile(path) as archive:
        arrays = {}
        for member in members_within(archive, path.stat().st_size):
            with archive.open(member) as file:
                arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
        return arrays


@contextmanager
def _understood() -> Iterator[None]:
    """What zipfile and NumPy raise on broken files, as one kind of error."""
    try:
        yield
    except (EOFError, KeyError, TypeError, NotImplementedError, OverflowError, RuntimeError, RecursionError) as error:
        raise ValueError(str(error) or "it is cut off") from None
    except (zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError) as error:
        raise ValueError(str(error)) from None


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open .npy file of so many bytes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its format {version[0]}.{version[1]} is not 1.0 or 2.0")
    shape, by_columns, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds objects of Python, not numbers")
    promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or promised > there:
        raise ValueError(f"its array {shape} of {dtype} takes {promised} bytes, {max(there, 0)} are there")
    data = file.read(promised)
    if len(data) < promised:
        raise ValueError(f"it is cut off: {len(data)} of {promised} bytes")
    order: Any = "F" if by_columns else "C"
    return np.ndarray(shape, dtype, bytearray(data), order=order)
