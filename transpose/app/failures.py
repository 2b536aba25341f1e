"""What a person reads when a command fails: one line that says what to do."""

from __future__ import annotations

import errno
import re
import sys

from transpose.errors import TransposeError

# What PyTorch's allocator for main memory (Linux, Windows) and OpenCV's say; both raise general errors.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # NumPy's word for a full disk
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Insufficient memory")


def message_of(error: Exception) -> str:
    """One line on an error, expected or not."""
    if isinstance(error, TransposeError):
        return str(error)
    if _is_out_of_device_memory(error):
        return (
            "out of memory on the GPU; use a smaller --batch or --height, or have a batch done in parts (--accumulate)"
        )
    if isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
        return (
            "out of memory; use a smaller --batch, --height or --buffer-megabytes, fewer or smaller views, or fewer "
            "--threads"
        )
    if isinstance(error, OSError):
        return _of_the_system(error)
    detail = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {detail[0] if detail else 'no message'}"
    return f"unexpected error ({reason}); run again with --debug and report what it prints"


def _is_out_of_device_memory(error: Exception) -> bool:
    """`torch.OutOfMemoryError` is a RuntimeError. Who has not loaded PyTorch cannot have met it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _of_the_system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOMEM:
        return f"out of memory{where}; use fewer --threads, or fewer or smaller views"
    if error.errno in _NO_ROOM or _CUT_SHORT.fullmatch(str(error)):
        return f"the disk is full{where}; make room and run the command again, it goes on where it can"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"there is a file where a folder is needed{where}; name another place"
    return f"{error.strerror or error}{where}"
