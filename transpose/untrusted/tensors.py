"""PyTorch's files: tensors and plain values, never code; nothing is allocated that the file does not hold.

`torch.load(weights_only=True)` runs no code of a file, but lets it construct tensors and byte arrays of any size. So
the pickle is looked through before: it may build tensors of storages, whose bytes are in the file, and plain values.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transpose.untrusted.packed import members_within

if TYPE_CHECKING:
    from torch import Tensor

_BUILT = re.compile(
    r"collections (OrderedDict|Counter)|torch (\w+Storage|Size|device)|torch\.storage (Un|T)ypedStorage"
    r"|torch (u?int\d+|b?float\d*\w*|bool|half|double|long|short|int|complex\d+)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)|torch\.nn\.parameter Parameter|_codecs encode"
    r"|torch\.serialization _get_layout|builtins (set|complex)|__builtin__ (set|complex)"
)
_PICKLES_BEFORE_STORAGES = 5  # of the format before PyTorch 1.6: magic number, version, system, content, keys


class UnknownGlobalError(ValueError):
    """A file asks for something that is no tensor and no plain value.

    Attributes:
        name: of it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}")
        self.name = name


def load_tensors(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    Raises:
        UnknownGlobalError: it asks for something that is no tensor and no plain value.
        Exception: whatever PyTorch stumbles over in a broken file; ValueError where it promises more than it holds.
    """
    import torch

    _look_through(path)
    # PyTorch warns of some of what it refuses a moment later.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _tensors(content):
        _check(tensor)
    return content


def _look_through(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # of which no read is beyond its end
                for _ in range(_PICKLES_BEFORE_STORAGES):
                    _look_through_pickle(data, size)
            return
    with zipfile.ZipFile(path) as archive:
        for member in members_within(archive, size):
            if member.compress_type != zipfile.ZIP_STORED:  # PyTorch packs nothing
                raise ValueError(f"{member.filename!r} is packed")
            if member.filename.endswith(".pkl"):
                _look_through_pickle(io.BytesIO(archive.read(member)), size)


def _look_through_pickle(file: Any, size: int) -> None:
    """Raises an error for anything built beside tensors, and for a storage larger than the file."""
    numbers: list[int] = []
    for operation, argument, _ in pickletools.genops(file):
        match operation.name:
            case "GLOBAL" if not _BUILT.fullmatch(str(argument)):
                raise UnknownGlobalError(str(argument).replace(" ", "."))
            case "STACK_GLOBAL" | "INST" | "OBJ" | "EXT1" | "EXT2" | "EXT4":
                raise UnknownGlobalError(operation.name)
            case "MARK":
                numbers = []
            case "BINPERSID" | "PERSID" if max(numbers, default=0) > size:
                raise ValueError(f"a storage of {max(numbers)} numbers is promised in {size} bytes")
            case _ if isinstance(argument, int) and operation.name.startswith(("BININT", "INT", "LONG")):
                numbers.append(argument)


def _tensors(content: Any) -> Iterator[Tensor]:
    """All tensors in dictionaries and lists; each of those once, for a file may put one into itself."""
    import torch

    waiting, seen = [content], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, torch.Tensor):
            yield each
        elif isinstance(each, dict | list | tuple | set) and id(each) not in seen:
            seen.add(id(each))
            waiting += each.values() if isinstance(each, dict) else each


def _check(tensor: Tensor) -> None:
    """Raises ValueError for one that a copy would make larger than its bytes in the file."""
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ValueError("it holds tensors that are sparse, quantized, or of no storage")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} repeats {tensor.untyped_storage().nbytes()} bytes")
