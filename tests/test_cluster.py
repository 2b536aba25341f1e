"""Work on a ray cluster, workers of which are killed: nothing is missing and nothing comes twice."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from transpose.cluster import Cluster
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.scenes.layout import open_section
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.workers import ClusterWorkers
from transpose.worlds.world import World, save_world

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")


def worker_pids() -> list[int]:
    """Processes that ray named after our worker."""
    names = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    return [int(path.parent.name) for path, name in names.items() if name.startswith(b"ray::_Worker")]


def made() -> str:
    return "state"


def slowly(state: str, item: int) -> tuple[int, int, str]:
    time.sleep(0.05)
    return item, os.getpid(), state


def deadly(state: str, item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def failing(state: str, item: int) -> int:
    raise TransposeError(f"item {item} is broken")


@pytest.fixture(scope="module", autouse=True)
def local_cluster() -> object:
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    yield
    ray.shutdown()


def test_a_killed_worker_costs_nothing() -> None:
    with Cluster(made, workers=2) as cluster:
        results, killed = [], 0
        for item, pid, state in cluster.run(slowly, range(30)):
            results.append(item)
            assert state == "state"
            if len(results) in (4, 12):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed == 2
    assert Counter(results) == Counter(range(30))


def test_an_item_that_kills_and_one_that_fails_are_named() -> None:
    with Cluster(made, workers=2) as cluster, pytest.raises(TransposeError, match="workers died at the same item"):
        list(cluster.run(deadly, range(6)))
    with Cluster(made, workers=1) as cluster, pytest.raises(TransposeError, match="item 0 is broken"):
        list(cluster.run(failing, range(2)))


def test_a_section_is_rendered_whole_though_a_worker_is_killed(tmp_path: Path, box_world: World) -> None:
    camera = Camera.from_focal(90.0, 128, 96)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    viewpoints = latin_hypercube(Renderer(box_world), camera, 16, 0, ranges, ViewCheck())
    world = save_world(box_world, tmp_path / "world")
    seen: list[str] = []

    def progress(stems: object, done: int, total: int) -> object:
        for stem in stems:  # type: ignore[attr-defined]
            seen.append(stem)
            if len(seen) == 3:
                os.kill(worker_pids()[0], signal.SIGKILL)
            yield stem

    with ClusterWorkers(world, processes=2) as workers:
        render_section(workers, viewpoints, (tmp_path / "scene", "sim"), {}, progress=progress)
    alone = render_section(world, viewpoints, (tmp_path / "scene", "alone"), {}, processes=1)
    assert Counter(seen) == Counter(frame.stem for frame in open_section(alone).frames)
    for a, b in zip(open_section(tmp_path / "scene" / "sim").frames, open_section(alone).frames, strict=True):
        assert np.array_equal(a.image(), b.image()) and np.array_equal(a.depth(), b.depth(), equal_nan=True)
