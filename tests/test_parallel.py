import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import pytest
import torch

from transpose import parallel
from transpose.errors import TransposeError
from transpose.parallel import available_cores, one_thread_each, use_threads, wait_quietly, worker_count


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `use_threads` changes comes back."""
    monkeypatch.setattr(parallel, "_limit", None)
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(name, os.environ.get(name, "2"))
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("?", 8)]
)
def test_quota_of_control_groups_2(tmp_path: Path, eight_cores: None, quota: str, cores: int) -> None:
    written(tmp_path / "proc/self/cgroup", "0::/user.slice/job\n")
    written(tmp_path / "sys/fs/cgroup/user.slice/job/cpu.max", quota)
    assert available_cores(tmp_path) == cores


def test_the_tightest_quota_above_counts(tmp_path: Path, eight_cores: None) -> None:
    written(tmp_path / "proc/self/cgroup", "0::/user.slice/job\n")
    written(tmp_path / "sys/fs/cgroup/user.slice/job/cpu.max", "600000 100000")
    written(tmp_path / "sys/fs/cgroup/user.slice/cpu.max", "300000 100000")
    assert available_cores(tmp_path) == 3


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path, eight_cores: None) -> None:
    """The path is the host's, the tree is the container's."""
    written(tmp_path / "proc/self/cgroup", "0::/docker/0123abcd\n")
    written(tmp_path / "sys/fs/cgroup/cpu.max", "400000 100000")
    assert available_cores(tmp_path) == 4


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("250000", 3)])
@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpu"])
def test_quota_of_control_groups_1(tmp_path: Path, eight_cores: None, controllers: str, quota: str, cores: int) -> None:
    written(tmp_path / "proc/self/cgroup", f"9:memory:/m\n4:{controllers}:/docker/abc\n3:cpuset:/\n0::/\n")
    group = tmp_path / "sys/fs/cgroup" / controllers / "docker/abc"
    written(group / "cpu.cfs_quota_us", quota)
    written(group / "cpu.cfs_period_us", "100000")
    assert available_cores(tmp_path) == cores


def test_affinity_counts_where_there_is_no_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 6, 7}, raising=False)
    assert available_cores(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores(tmp_path) == 6


def test_processes_of_torchrun_share_the_cores(eight_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_quota", lambda _: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert worker_count() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100")
    assert worker_count() == 1


@pytest.mark.parametrize(
    "own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": "200"}, {"OMP_NUM_THREADS": "2"}]
)
def test_a_users_own_setting_stays(own: dict[str, str]) -> None:
    environment = dict(own)
    wait_quietly(environment)
    assert own.items() <= environment.items()
    if "OMP_NUM_THREADS" in own:
        assert "OPENBLAS_NUM_THREADS" not in environment  # OpenBLAS obeys OMP_NUM_THREADS
    else:
        assert not {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"} & (environment.keys() - own.keys())


def test_a_quota_below_what_openmp_sees_limits_its_threads(eight_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(parallel, "_quota", lambda _: 1.5)
    wait_quietly(environment)
    assert environment["OMP_NUM_THREADS"] == "2"
    environment = {}
    monkeypatch.setattr(parallel, "_quota", lambda _: None)
    wait_quietly(environment)
    assert "OMP_NUM_THREADS" not in environment


def test_the_command_line_sets_the_policy_before_pytorch_and_a_library_does_not() -> None:
    # Other tests' commands have set it for this process.
    ours = ("OMP", "KMP", "BLAS")
    bare = {name: value for name, value in os.environ.items() if not any(word in name for word in ours)}
    code = (
        "import os, sys\nimport transpose\nassert 'GOMP_SPINCOUNT' not in os.environ\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'numpy'): assert 'GOMP_SPINCOUNT' in os.environ, name\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from transpose.app.cli import main\nmain(['localize', 'nowhere', os.devnull])\n"
        "import numpy, transpose.localization\nassert os.environ['GOMP_SPINCOUNT'] == '1000'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_limit_holds_for_pools_and_for_what_is_loaded(_restored: None, eight_cores: None) -> None:
    use_threads(1)
    assert (worker_count(), torch.get_num_threads(), cv2.getNumThreads()) == (1, 1, 1)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    with pytest.raises(TransposeError, match="--threads must be 1 or more, not 0"):
        use_threads(0)


def counts() -> tuple[int, int]:
    return torch.get_num_threads(), cv2.getNumThreads()


def test_thread_counts_come_back_when_the_last_one_leaves() -> None:
    before = counts()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        first, second = ExitStack(), ExitStack()
        first.enter_context(one_thread_each())
        second.enter_context(one_thread_each())
        first.close()  # the first to come is not the last to go
        assert counts() == (1, 1)
        second.close()
        assert counts() == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
