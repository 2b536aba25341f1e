"""Building worlds, for commands that do more than that as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transpose.app.console import say, tell

if TYPE_CHECKING:
    from transpose.worlds.fusion import FusionOptions
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
        request.out,
        lambda: build_village(request.seed, request.season, request.moved, surroundings=request.surroundings),
    )


def fused_world(section: Path, options: FusionOptions, correct_depth: bool) -> World:
    """A section's depth fused, as it was measured or without the errors of its sensor."""
    from transpose.app.console import progress
    from transpose.mapping.depth_error import depth_error_of
    from transpose.scenes.layout import open_section
    from transpose.worlds.fusion import as_measured, fuse_section
    from transpose.worlds.optional_open3d import import_open3d

    import_open3d()  # before anything slow
    opened = open_section(section)
    frames = [frame for frame in opened.frames if frame.has("depth")]
    error = None
    if correct_depth and frames and opened.facts.metric:
        error = depth_error_of(frames, lambda chosen: progress(chosen, "holding depth against photos"))
        unknown = (
            "the photos share too few points, or disagree, to tell errors of depth; it is fused as it was measured"
        )
        tell(f"{section}: {f'{error}; taken out (--no-correct-depth leaves it)' if error else unknown}")
    correct = as_measured if error is None else error.corrected
    world = fuse_section(opened, options, lambda each: progress(each, "fusing"), correct)
    return world if error is None else replace(world, facts={**world.facts, "depth_error": asdict(error)})


def save_built(out: Path, build: Callable[[], World]) -> Path:
    """Builds a world, writes it, and says so on stdout and its facts on stderr; returns its folder.

    Raises:
        TransposeError: it cannot be built, or another process is building it there.
    """
    from transpose.ownership import sole_writer
    from transpose.worlds.world import refuse_no_world

    with sole_writer(out):
        refuse_no_world(out)  # before anything slow
        world = build()
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
