"""Setting up data sets for the commands that do: what `scenes.setup` needs of rooms above its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from transpose.app.console import progress, say, tell
from transpose.geometry.poses import Pose
from transpose.scenes.setup.photos import ToWorld
from transpose.scenes.setup.registry import Services, set_up
from transpose.scenes.setup.request import SetupRequest
from transpose.scenes.setup.swiss import Bounds
from transpose.scenes.setup.swiss_world import Degrees
from transpose.scenes.setup.unposed_photos import Placement, Progress, SharedCamera, UnposedPhoto


def run_setup(request: SetupRequest) -> None:
    """Sets up a data set and names its sections, or lists tiles, on stdout.

    Raises:
        TransposeError: see `registry.set_up`.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a video is said in one line
    for line in set_up(request, services()):
        say(line)


def services() -> Services:
    """The rooms above, and progress on stderr."""
    return Services(_to_world, _area, _built, _placed, progress, tell)


def _to_world(world: Path, named: Path) -> ToWorld:
    from transpose.worlds.registration import to_world_frame
    from transpose.worlds.world import read_metadata

    metadata = read_metadata(world)

    def in_world(crs: str | None, poses: list[Pose]) -> list[Pose]:
        return to_world_frame(crs, poses, metadata, named)

    return in_world


def _area(name: str) -> Degrees:
    from transpose.worlds.areas import AREAS

    return AREAS[name].longitude, AREAS[name].latitude


def _placed(photos: Sequence[UnposedPhoto], cameras: Sequence[SharedCamera], seed: int, shown: Progress) -> Placement:
    from transpose.mapping.sfm.place import place_photos

    return place_photos(photos, cameras, seed, shown)


def _built(files: dict[str, list[Path]], bounds_m: Bounds, folder: Path) -> Path:
    from transpose.app.services.building import save_with_preview, world_facts
    from transpose.worlds.terrain import TerrainOptions, build_terrain

    world = build_terrain(files["dsm"], files["ortho"], files["las"], TerrainOptions(detail_area=bounds_m))
    path = save_with_preview(world, folder)
    tell(world_facts(world, path))
    return path
