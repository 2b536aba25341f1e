"""A command that another one started ends when that one is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

_CHILD = """
import time
from transpose.app.parent import follow_parent

follow_parent()
print("follows", flush=True)
time.sleep(60)
"""
_PARENT = """
import os, subprocess, sys
from transpose.app.parent import environment_of_child

child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=environment_of_child(), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows does not tell that a parent is gone")
def test_a_child_ends_with_its_killed_parent() -> None:
    words = [sys.executable, "-c", _PARENT, _CHILD]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    assert has_ended(child)


def has_ended(process: int, patience_s: float = 30.0) -> bool:
    """Whether a process ends of itself; one that does not is ended."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    return False
