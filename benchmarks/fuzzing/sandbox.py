"""Reads one broken file after the other, and says what a reader must never do and did: the laws of every reader.

A case is fine where the reader accepts it, or refuses it with one line (`TransposeError`) that names a file. It is a
find where it raises anything else, takes more memory than the bound, reads or writes outside the project, or starts
a program, a connection or code. What ends or hangs the process itself is found by `fuzz.py`, which starts it.
"""

from __future__ import annotations

import ast
import random
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.mutations import mutated
from transpose.errors import TransposeError

_SPOKEN = re.compile(r"unable to allocate|allocation failed|can'?not allocate|can't allocate|bad.alloc", re.I)
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen")
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate")
_CODE = ("exec", "compile", "pickle.find_class", "marshal.loads")
Files = dict[str, bytes]


@dataclass(frozen=True)
class Reader:
    """One reader of files.

    Attributes:
        name: in the table.
        seeds: whole files, each a folder of them by name.
        read: reads all that such a folder holds.
        broken: names of the files that are broken, by ending; all where it is empty.
        share: of the cases that others get; for readers that build something with each.
    """

    name: str
    seeds: Callable[[Path], list[Files]]
    read: Callable[[Path], object]
    broken: tuple[str, ...] = ()
    share: float = 1.0


@dataclass
class Tally:
    """What came out of some cases; finds by what they are, with the number of the first case of each."""

    accepted: int = 0
    refused: int = 0
    finds: dict[str, int] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def find(self, what: str, case: int) -> None:
        """Notes a find."""
        self.finds.setdefault(what, case)
        self.counted[what] += 1


class Watch:
    """What Python does while a case is read, by its audit events; one for a process, for hooks cannot be taken away."""

    def __init__(self) -> None:
        self.root: Path | None = None
        self.seen: list[str] = []
        self._allowed = tuple({sys.prefix, sys.base_prefix, "/usr/", "/lib", "/sys/", "/proc/self/", *_site_paths()})
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None:
            return
        if event in _STARTS:
            self.seen.append(f"{event} {arguments[0]!r}"[:200])
        elif event in _CODE and not _imports():
            code = sys._getframe(1).f_code
            if code.co_filename != ast.__file__:  # where NumPy has literals parsed, which runs nothing
                self.seen.append(f"{event} by {Path(code.co_filename).name}, {code.co_name}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            writes = arguments[1] is not None and any(letter in str(arguments[1]) for letter in "wax+")
            self._path(arguments[0], "writes" if writes else "reads")
        elif event in _CHANGES:
            for each in arguments[:2]:
                if isinstance(each, str | bytes):
                    self._path(each, event)

    def _path(self, said: str | bytes, how: str) -> None:
        path = said.decode(errors="replace") if isinstance(said, bytes) else said
        root, self.root = self.root, None  # what follows may open files itself
        assert root is not None
        try:
            whole = str(Path(path).resolve()) if "\0" not in path else path
        except OSError:
            whole = path
        self.root = root
        if whole.startswith(str(root)) or (
            how == "reads" and path != "/proc/self/environ" and whole.startswith(self._allowed)
        ):
            return
        self.seen.append(f"{how} outside: {whole}"[:200])


def _site_paths() -> list[str]:
    return [path for path in sys.path if path]


def _imports() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def run_cases(
    reader: Reader,
    seeds: list[Files],
    place: Path,
    cases: range,
    seed: int,
    watch: Watch,
    begin: Callable[[int], None] = lambda case: None,
) -> Tally:
    """Runs cases of a reader; each depends on its number alone, so that any can be had again.

    Args:
        reader: that reads.
        seeds: its whole files.
        place: an empty folder, in which a project is made.
        cases: their numbers.
        seed: of them all.
        watch: of this process.
        begin: told each number before its case.
    """
    folder = place / "project" / "case"
    tally = Tally()
    (place / "outside.png").write_bytes(b"secret")
    for case in cases:
        begin(case)
        write_case(folder, broken_files(case_stream(seed, reader, case), reader, seeds))
        watch.root, watch.seen = folder.parent, []
        started = time.process_time()
        what = outcome(reader, folder)
        tally.slowest_s = max(tally.slowest_s, time.process_time() - started)
        watch.root = None
        for each in dict.fromkeys(watch.seen):
            tally.find(each.replace(str(place), ""), case)
        if what == "accepted":
            tally.accepted += 1
        elif what == "refused":
            tally.refused += 1
        else:
            tally.find(what.replace(str(place), ""), case)
    return tally


def case_stream(seed: int, reader: Reader, case: int) -> random.Random:
    """All that decides a case."""
    return random.Random(f"{seed} {reader.name} {case}")


def broken_files(rng: random.Random, reader: Reader, seeds: list[Files]) -> Files:
    """The files of one case: a seed, one or two of whose files are broken."""
    files = dict(rng.choice(seeds))
    names = [name for name in files if not reader.broken or name.endswith(reader.broken)]
    for name in rng.sample(names, min(len(names), rng.choice((1, 1, 2)))):
        ending = name.rpartition(".")[2]
        others = [other[each] for other in seeds for each in other if each.endswith(ending)]
        files[name] = mutated(rng, name, files[name], others)
    return files


def write_case(folder: Path, files: Files) -> None:
    """Writes files into a folder that holds nothing else afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def outcome(reader: Reader, folder: Path) -> str:
    """ "accepted", "refused", or what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
    except TransposeError as error:
        return _judged(error, folder)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {_where(error)}: {str(error)[:100]}"
    return "accepted"


def _judged(error: TransposeError, folder: Path) -> str:
    text = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or _SPOKEN.search(str(cause)[:300]):
            return f"more memory than the bound: {_where(cause)}: {str(cause)[:80]}"
        cause = cause.__cause__ or cause.__context__
    if str(folder) not in text:
        return f"names no file: {_where(error)}: {text[:100]}"
    return "refused"


def _where(error: BaseException) -> str:
    """The last line of ours on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/transpose/" in frame.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[:-3:-1])


def limit_memory(megabytes: int) -> None:
    """From now on this process may take so much more address space than it has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    bound = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
