"""Which world the poses of a run are refined by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.localization.checkpoints import checkpoint
from transpose.localization.refine_world import shown_world, world_folder
from transpose.runs import Provenance
from transpose.scenes.facts import write_section_facts
from transpose.worlds.world import World, save_world


def test_the_world_of_rendered_sections_is_taken(tmp_path: Path, box_world: World) -> None:
    """Of runs that were trained before worlds were noted."""
    world = save_world(box_world, tmp_path / "world")
    for name, shown in (("a", world), ("b", world), ("other", tmp_path / "elsewhere")):
        (tmp_path / name).mkdir()
        facts = {"rendered": True, "semantics": "classes", "depth": "png_mm", "metric": True}
        write_section_facts(tmp_path / name, {**facts, "plan": {"world": str(shown)}})
    assert shown_world([tmp_path / "a", tmp_path / "b"]) == world
    assert shown_world([tmp_path / "a", tmp_path / "other"]) is None
    old = checkpoint(provenance=Provenance(scene=str(tmp_path), sections=("a", "b")))
    assert world_folder(old, tmp_path) == world
    gone = replace(old, provenance=replace(old.provenance, scene=str(tmp_path / "moved")))
    with pytest.raises(Exception, match="--world"):
        world_folder(gone, tmp_path)
