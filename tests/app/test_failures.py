import errno
import subprocess
import sys

import numpy as np
import pytest
import torch

from transpose.app import cli
from transpose.app.failures import message_of


def test_cuda_out_of_memory_gets_the_right_advice() -> None:
    message = message_of(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."))
    assert "out of memory on the GPU" in message
    assert "--batch" in message
    assert "--height" in message
    assert "unexpected" not in message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you tried ..."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_main_memory_that_ran_out_is_said(error: Exception) -> None:
    assert message_of(error).startswith("out of memory;")


def test_arrays_that_do_not_fit_are_no_riddle() -> None:
    with pytest.raises(MemoryError) as raised:
        np.empty((2**50,))
    assert "--buffer-megabytes" in message_of(raised.value)
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50)
    assert "--buffer-megabytes" in message_of(refused.value)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("1000 requested and 512 written")]
)
def test_a_full_disk_is_said(error: OSError) -> None:
    assert message_of(error).startswith("the disk is full; make room")


def test_what_is_not_known_is_reported_as_such() -> None:
    assert message_of(KeyError("x")).startswith("unexpected error (KeyError: 'x')")
    assert message_of(ValueError()).startswith("unexpected error (ValueError: no message)")


def test_a_failing_command_says_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB")

    monkeypatch.setattr("transpose.app.commands.doctor.Doctor.run", fail)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: out of memory on the GPU")


def test_an_error_before_pytorch_is_loaded_does_not_load_it() -> None:
    code = (
        "import sys\nfrom transpose.app.failures import message_of\n"
        "assert 'unexpected' in message_of(RuntimeError('x'))\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
