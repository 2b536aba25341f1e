"""What tests of bounds share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOM = 400 << 20


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more than 400 MB beyond what the process has: what is allocated by a promise fails."""
    resource = pytest.importorskip("resource", reason="Windows knows no bound of a process's memory")
    if not Path("/proc/self/statm").is_file():
        pytest.skip("how much memory this process has is not known here")
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
