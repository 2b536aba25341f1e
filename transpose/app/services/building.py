"""Building worlds, for commands that do more than that as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transpose.app.console import say, tell

if TYPE_CHECKING:
    from transpose.worlds.world import World


@dataclass(frozen=True)
class VillageRequest:
    """Which village is wanted where, in the words of `transpose build village`, whose flags these fields are."""

    out: Path
    """The world's folder."""
    seed: int = 0
    """Another seed, another village."""
    season: Literal["summer", "autumn", "winter"] = "summer"
    """Colours of plants and fields."""
    moved: int = 0
    """0: the day of the survey; 1, 2, ...: later days on which cars and other small things stand elsewhere."""
    surroundings: bool = True
    """Hills and fields around, so that oblique views do not end at the edge of a slab."""


def build_village_world(request: VillageRequest) -> Path:
    """Builds a village; returns its folder."""
    from transpose.village import build_village

    return save_built(
        build_village(request.seed, request.season, request.moved, surroundings=request.surroundings), request.out
    )


def save_built(world: World, out: Path) -> Path:
    """Writes a world that was built and says so on stdout and its facts on stderr; returns its folder."""
    path = save_with_preview(world, out)
    say(str(path))
    tell(world_facts(world, path))
    return path


def save_with_preview(world: World, out: Path) -> Path:
    """Writes a world and a small picture of it; returns its folder."""
    from transpose.worlds.summary import preview
    from transpose.worlds.world import save_world

    return save_world(world, out, preview(world))


def world_facts(world: World, folder: Path) -> str:
    """The line by which a person checks what came out of a build."""
    from transpose.worlds.summary import facts_line

    return f"{facts_line(world)}; see {folder / 'preview.png'}"
