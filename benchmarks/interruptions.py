"""Commands of the program that are cut off, and what is left of them; what `unbreakable.py` is made of.

Each command runs in a process forked from one that has loaded what commands load, so that a kill falls into its work
and not into the start of Python, and hundreds of them take minutes. The fork is killed as any process is (SIGKILL).
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")
# What no two runs share: how long they took, and on what.
_TIMES = re.compile(r"seconds|machine|per_second")
_NOT_COMPARED = re.compile(r"costs_.*\.png|benchmark\.(md|csv|html)|(train|test)\.log")
_CAP_DAC_OVERRIDE, _PR_CAPBSET_DROP, _CAPABILITIES_V3 = 1, 24, 0x20080522


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: the signal), wall-clock seconds, what it said on stderr."""

    code: int
    seconds: float
    errors: str

    @property
    def complaint(self) -> str | None:
        """What is wrong with how it failed: None for exit code 1, one line that begins with `error: `, no traceback."""
        told = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        if self.code != 1:
            return f"exit code {self.code}"
        if "Traceback" in self.errors or "Exception ignored" in self.errors:
            return "a traceback"
        if len(told) != 1:
            return f"{len(told)} lines of error"
        return told[0] if "unexpected error" in told[0] else None


Hook = Callable[[], None]


class Running:
    """A command in a process of its own.

    Args:
        work: what it does there; returns the exit code.
        log: takes its stderr and its stdout.
    """

    def __init__(self, work: Callable[[], int], log: Path) -> None:
        self._log, self._started = log, time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.setsid()
                descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                for each in (1, 2):
                    os.dup2(descriptor, each)
                code = work()
                sys.stdout.flush()
                sys.stderr.flush()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 70
            finally:
                os._exit(code)

    def wait(self, limit_s: float = PATIENCE_S) -> Ended | None:
        """Until it ends; None where it has not after `limit_s` seconds."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            seconds = time.monotonic() - self._started
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return Ended(code, seconds, self._log.read_text(encoding="utf-8", errors="replace"))
            if seconds > limit_s:
                return None
            time.sleep(0.002)

    def has_ended(self) -> bool:
        """Whether it has, without asking for how."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self, group: bool) -> None:
        """As `kill -9` does: this process, or all that it started as well."""
        with suppress(ProcessLookupError):  # it has no group of its own yet
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)

    def left_over(self) -> bool:
        """Whether processes that it started are alive; they are ended."""
        for _ in range(600):  # those that are still loading end when that is done
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.1)
        os.killpg(self.pid, signal.SIGKILL)
        return True


class Steps:
    """Counts what this process changes on the disk below a folder, and does something just before the nth change."""

    def __init__(self, below: Path, nth: int = 0, action: Hook = lambda: None) -> None:
        self.done, self._below, self._nth, self._action = 0, str(below), nth, action
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and self._writes(arguments)):
            if not self._is_below(arguments[0]):
                return
            self.done += 1
            if self.done == self._nth:
                self._action()

    def _writes(self, arguments: tuple[Any, ...]) -> bool:
        flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def _is_below(self, path: Any) -> bool:
        # Removing a tree names files by a descriptor of their folder and a name.
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return text.startswith(self._below) or (bool(text) and os.sep not in text)


def obey_permissions() -> None:
    """Takes from a process of the administrator (Linux) the right to write where nobody may."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)
    header, data = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    for i in range(3):
        data[i] &= ~(1 << _CAP_DAC_OVERRIDE)
    libc.capset(header, data)


def set_writable(folder: Path, writable: bool) -> None:
    """Makes all folders from `folder` down read-only, or not."""
    mode = 0o755 if writable else 0o555
    if writable:
        folder.chmod(mode)
    for at, folders, _ in os.walk(folder):
        for name in folders:
            Path(at, name).chmod(mode)
    folder.chmod(mode)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes at `folder`; the administrator of a Linux machine may have one."""
    options = f"size={max(4096, size)},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    """Makes room on a `small_disk`."""
    subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file from a folder down, by its path; of models and tables without how long they took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        # A lock may stay behind, which keeps nobody out.
        if path.is_file() and not _NOT_COMPARED.fullmatch(path.name) and path.suffix != ".lock":
            found[path.relative_to(folder).as_posix()] = _digest(path)
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> str | None:
    """What differs between two folders, in words; None: nothing."""
    words = [f"{name} is missing" for name in expected if name not in found]
    words += [f"{name} is too much" for name in found if name not in expected]
    words += [f"{name} differs" for name in expected if found.get(name, expected[name]) != expected[name]]
    return "; ".join(words[:4]) or None


def broken_file(folder: Path) -> str | None:
    """A file that has its final name and cannot be read; None: there is none. Logs are written line by line."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.suffix == ".jsonl":
            continue
        try:
            _content(path)
        except Exception as error:  # whatever a reader raises of a file that was cut off
            return f"{path.name} is broken ({type(error).__name__}: {error})"[:200]
    return None


def _digest(path: Path) -> str:
    content = _content(path)
    data = content if isinstance(content, bytes) else repr(_timeless(content)).encode()
    return hashlib.sha256(data).hexdigest()


def _content(path: Path) -> Any:
    """Bytes, or what a file says whose bytes tell the time."""
    import cv2
    import torch

    if path.suffix in (".pt", ".dat"):
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content if path.suffix == ".pt" else path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        return [json.loads(line) for line in _records(path)]
    if path.name.startswith("test_") and path.suffix == ".txt":
        return path.read_text(encoding="utf-8").split()[:2]
    if path.suffix in (".png", ".jpg"):
        if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
            raise ValueError("no image")
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            archive.testzip()
    return path.read_bytes()


def _records(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _timeless(content: Any) -> Any:
    """Tables without times, tensors as digests."""
    import torch

    if isinstance(content, dict):
        return {key: _timeless(value) for key, value in content.items() if not _TIMES.search(str(key))}
    if isinstance(content, list | tuple):
        return [_timeless(value) for value in content]
    if isinstance(content, torch.Tensor):
        data = content.detach().contiguous().flatten().view(torch.uint8) if content.ndim else content
        return str(content.dtype), list(content.shape), hashlib.sha256(data.numpy().tobytes()).hexdigest()
    return content


def empty(folder: Path) -> None:
    """Removes what is in a folder, whatever its permissions."""
    if folder.exists():
        set_writable(folder, True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def preload(modules: Sequence[str]) -> None:
    """Loads modules that commands were seen to load; what does not load alone is left to them."""
    for name in modules:
        try:
            __import__(name)
        except Exception:  # parts of packages that only load from within
            continue
