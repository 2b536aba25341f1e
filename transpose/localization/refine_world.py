"""Which world the poses of a run are refined by."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import TransposeError
from transpose.runs import Checkpoint
from transpose.scenes.facts import read_section_facts

_NAME_ONE = "name one of the same place: --world WORLD"


def world_folder(checkpoint: Checkpoint, run: Path, given: Path | None = None) -> Path:
    """The world that was given, else the one that the run notes, else the one that its sections were rendered from.

    Raises:
        TransposeError: none is known, or the one that is known is not there any more.
    """
    if given is not None:
        return given
    noted = checkpoint.provenance.world
    known = Path(noted) if noted is not None else _of_sections(checkpoint)
    if known is None:
        raise TransposeError(f"{run} notes no world to refine poses by; {_NAME_ONE}")
    if not (known / "world.json").is_file():
        raise TransposeError(f"the world {known}, which {run} notes as that of its place, is not there; {_NAME_ONE}")
    return known


def _of_sections(checkpoint: Checkpoint) -> Path | None:
    """The one world of the rendered sections of an older run, where those are still there."""
    provenance = checkpoint.provenance
    if provenance.scene is None:
        return None
    return shown_world([Path(provenance.scene) / name for name in provenance.sections])


def shown_world(sections: list[Path]) -> Path | None:
    """The folder of the world that sections were rendered from; None where that is none, or more than one."""
    worlds = {facts.world for facts in map(read_section_facts, sections) if facts.rendered and facts.world}
    return Path(worlds.pop()) if len(worlds) == 1 else None
