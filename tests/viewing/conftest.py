"""A small place of everything that can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.stubs import make_results, make_section, save_run
from transpose.evaluation.testing import frame_log, write_results
from transpose.runs import write_config
from transpose.worlds.world import World, save_world


@pytest.fixture
def place(tmp_path: Path, box_world: World) -> Path:
    """A folder with world, scene, run and results that name each other."""
    save_world(box_world, tmp_path / "world")
    section = make_section(tmp_path / "scene", "test")
    make_section(tmp_path / "scene", "train_x")
    run = save_run(tmp_path / "run", tmp_path / "scene")
    named = {"scene": str(tmp_path / "scene"), "sections": ["train_x"], "world": str(tmp_path / "world")}
    write_config(run, named)
    results = make_results()
    with frame_log(section, tmp_path / "results") as record:
        for result in results:
            record(result)
    write_results(results, section, run, tmp_path / "results")
    return tmp_path
