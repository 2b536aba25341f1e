"""What a process learns of the others, and what a user is told where they cannot work together."""

import os
import signal
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from transpose.errors import TransposeError
from transpose.training.ranks import ALONE, joined, refuse_shared_devices

CPU = torch.device("cpu")
LAUNCHED = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
needs_processes = pytest.mark.skipif(not dist.is_available(), reason="this PyTorch cannot run several processes")
_ONE = """
import torch, warnings
warnings.simplefilter("error", FutureWarning)
from torch.nn.parallel import DistributedDataParallel
from transpose.training.ranks import joined
with joined(torch.device("cpu")) as ranks:
    module = ranks.wrapped(torch.nn.Linear(2, 1))
    module(torch.ones(1, 2)).sum().backward()
    print(ranks.world, ranks.is_main, isinstance(module, DistributedDataParallel), ranks.mean(torch.ones(2)).tolist())
"""


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a launcher starts the only process of a job."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # finds a port that is free
    port = store.port
    del store
    for name, value in {**LAUNCHED, "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)


def test_no_group_is_joined_without_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LAUNCHED, "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with joined(CPU) as ranks:
        assert ranks is ALONE
        assert not dist.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TransposeError, match="several processes, but RANK, MASTER_ADDR, MASTER_PORT is not set"):
        with joined(CPU):
            pass


@needs_processes
def test_one_process_of_torchrun_goes_the_way_of_many() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "--no-python"]
    done = subprocess.run(
        [*command, sys.executable, "-c", _ONE],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "1 True True [1.0, 1.0]", done.stderr[-2000:]


@needs_processes
@pytest.mark.parametrize(
    "error, words",
    [
        (dist.DistBackendError("NCCL error in: x.cpp:1, invalid usage\nncclInvalidUsage\nLast error:\nDuplicate GPU"),
         r"cannot work together \(NCCL error in: x.cpp:1, invalid usage ... Duplicate GPU\); .*--device cuda"),
        (dist.DistBackendError("NCCL error in: x.cpp:1, remote process exited or there was a network error"),
         "was lost; .*--resume"),
        (dist.DistNetworkError("Failed to recv, got 0 bytes. Connection was likely closed."), "was lost; .*--resume"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:1"), "was lost; .*--resume"),
        (RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 1000ms for recv"), "was lost"),
    ],
)  # fmt: skip
def test_a_lost_process_and_a_wrong_start_get_their_own_advice(launched: None, error: Exception, words: str) -> None:
    with pytest.raises(TransposeError, match=words), joined(CPU):
        raise error
    assert not dist.is_initialized()


@needs_processes
def test_other_errors_pass(launched: None) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), joined(CPU):
        raise RuntimeError("size mismatch")


@needs_processes
def test_a_port_that_is_taken_is_no_lost_process(launched: None) -> None:
    taken = dist.TCPStore("127.0.0.1", int(os.environ["MASTER_PORT"]), is_master=True, wait_for_workers=False)
    with pytest.raises(TransposeError, match=r"do not find each other .*address and port"), joined(CPU):
        pass
    del taken


@pytest.mark.parametrize("rank, world", [("5", "2"), ("2", "2"), ("x", "2"), ("-1", "2"), ("0", "two")])
def test_ranks_that_cannot_be_are_refused(
    launched: None, monkeypatch: pytest.MonkeyPatch, rank: str, world: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(TransposeError, match=f"RANK is {rank} and WORLD_SIZE {world}: .*use torchrun"), joined(CPU):
        pass


_WAITS = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
from transpose.app import cli
from transpose.training import ranks
ranks._SILENT_S, ranks._MEETING_S = 0.2, float(sys.argv[1])
class Meeting:
    def run(self):
        ranks.joined(torch.device("cpu")).__enter__()
cli.read = lambda words: Meeting()
sys.exit(cli.main(["meet"]))
"""


@needs_processes
@pytest.mark.parametrize("by, seconds", [(signal.SIGTERM, "60"), (signal.SIGINT, "60"), (None, "0.2")])
def test_who_waits_for_the_others_says_so_and_ends(
    launched: None, monkeypatch: pytest.MonkeyPatch, by: signal.Signals | None, seconds: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    waiting = subprocess.Popen([sys.executable, "-c", _WAITS, seconds], stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    assert "process 0 waits at 127.0.0.1:" in waiting.stderr.readline()
    if by is not None:
        waiting.send_signal(by)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    words = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted", None: "not all 2 were there"}
    assert errors.startswith("error: ") and words[by] in errors and "Traceback" not in errors


def test_two_processes_on_one_gpu_are_refused() -> None:
    refuse_shared_devices([None, None])
    refuse_shared_devices(["GPU-a", "GPU-b", None])
    with pytest.raises(TransposeError, match=r"processes 0 and 2 .*same GPU \(GPU-a\).*--device cuda"):
        refuse_shared_devices(["GPU-a", "GPU-b", "GPU-a"])
