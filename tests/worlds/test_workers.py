import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.app.test_parent import has_ended
from tests.conftest import looking_down
from tests.worlds.worker_calls import blas_threads, depth_below, end_early
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.scenes import open_section
from transpose.worlds.render_section import render_frame, render_section, split_viewpoints
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.workers import Workers
from transpose.worlds.world import World, save_world


def test_workers_answer_for_every_item_and_say_when_one_is_lost(box_world: World, tmp_path: Path) -> None:
    folder = save_world(box_world, tmp_path / "w")
    heights = [2.0, 2.5, 3.0]
    with Workers(folder, 2) as workers:
        expected = [depth_below(Renderer(box_world), height) for height in heights]
        assert sorted(workers.run(depth_below, heights)) == sorted(expected)
        with pytest.raises(TransposeError, match="ended early"):
            list(workers.run(end_early, [0]))


_WORKING = """
import sys, time
from pathlib import Path
from tests.worlds.worker_calls import depth_below
from transpose.worlds.workers import Workers

with Workers(Path(sys.argv[1]), 1) as workers:
    list(workers.run(depth_below, [2.0]))
    print(*workers._pool._processes, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such kill")
def test_workers_end_with_a_process_that_was_killed(box_world: World, tmp_path: Path) -> None:
    folder = save_world(box_world, tmp_path / "w")
    with subprocess.Popen([sys.executable, "-c", _WORKING, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    ended = [has_ended(worker) for worker in workers]  # of each, so that none is left
    assert ended and all(ended)


_INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
from tests.worlds.worker_calls import depth_below
from transpose.worlds.workers import Workers, preload

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
preload()
signal.signal(signal.SIGINT, lambda *_: None)
for _ in range(10):
    time.sleep(0.1)
    os.killpg(0, signal.SIGINT)  # what a terminal does at Ctrl-C
with Workers(Path(sys.argv[1]), 1) as workers:
    print(len(list(workers.run(depth_below, [2.0]))))
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no groups of processes")
def test_an_interrupt_is_for_the_process_that_has_workers_even_while_they_load(
    box_world: World, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, str(save_world(box_world, tmp_path / "w"))]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_workers_take_one_thread_each_and_this_process_keeps_its_environment(box_world: World, tmp_path: Path) -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    before = dict(os.environ)
    with Workers(save_world(box_world, tmp_path / "w"), 1) as workers:
        assert list(workers.run(blas_threads, names)) == ["1"] * 3
    assert dict(os.environ) == before


def test_a_run_that_was_cut_off_goes_on_and_equals_one_process(
    box_world: World, camera: Camera, tmp_path: Path
) -> None:
    folder = save_world(box_world, tmp_path / "w")
    views = [Viewpoint(camera, looking_down(0.1 * i, 0, 2.5)) for i in range(4)]

    class CutOffError(Exception):
        pass

    def cut(stems, done: int, total: int):  # type: ignore[no-untyped-def]
        yield next(iter(stems))
        raise CutOffError

    with Workers(folder, 1) as workers:
        with pytest.raises(CutOffError):
            render_section(workers, views, (tmp_path / "s", "a"), {"n": 1}, progress=cut)
        assert not (tmp_path / "s" / "a").exists()
        before: list[int] = []

        def remember(stems, done: int, total: int):  # type: ignore[no-untyped-def]
            before.append(done)
            return stems

        section = open_section(render_section(workers, views, (tmp_path / "s", "a"), {"n": 1}, progress=remember))
    assert before[0] >= 1
    assert len(section) == 4
    renderer = Renderer(box_world)
    for frame, viewpoint in zip(section.frames, views, strict=True):
        expected = render_frame(renderer, viewpoint).labels
        assert np.allclose(frame.coordinates(), expected.coordinates_3hw, atol=1e-6, equal_nan=True)
        assert np.abs(frame.pose.T_wc - viewpoint.pose.T_wc).max() < 1e-12


def test_views_are_split_whole_and_without_overlap() -> None:
    views = [Viewpoint(Camera.from_focal(9.0, 16, 16), looking_down(0, 0, 3)) for _ in range(30)]
    parts = split_viewpoints(views, (40, 10, 50), seed=0)
    assert [len(part) for part in parts] == [12, 3, 15]
    assert sorted(view.stem for part in parts for view in part) == [f"view-{i:06d}" for i in range(30)]
    assert split_viewpoints(views, (40, 10, 50), seed=0) == parts
    with pytest.raises(TransposeError, match="none is left for train"):
        split_viewpoints(views[:1], (40, 10, 50), seed=0)
