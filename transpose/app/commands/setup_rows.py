"""What `transpose setup` calls for each data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from transpose.app.commands.setup import Setup


def _seven_scenes(asked: Setup) -> list[Path]:
    from transpose.errors import TransposeError
    from transpose.scenes.setup.sevenscenes import setup_7scenes

    scenes = sorted({path.parent for path in asked.given.glob("*/seq-*")})
    if any(asked.given.glob("seq-*")) or not scenes:
        return setup_7scenes(asked.given, asked.out, asked.poses, asked.section, asked.list_file, _shown)
    if asked.poses or asked.section:
        names = ", ".join(scene.name for scene in scenes)
        raise TransposeError(f"{asked.given} holds several scenes ({names}); --poses and --section are for one of them")
    return [path for scene in scenes for path in setup_7scenes(scene, asked.out / scene.name, progress=_shown)]


def _twelve_scenes(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.twelvescenes import setup_12scenes

    return setup_12scenes(asked.given, asked.out, asked.section, asked.list_file, _shown)


def _cambridge(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.cambridge import setup_cambridge

    return setup_cambridge(asked.given, asked.out, asked.section, asked.list_file, _shown)


def _colmap(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.colmap import setup_colmap

    return setup_colmap(asked.given, asked.out, asked.section or "train", asked.list_file, _shown)


def _nerfstudio(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.nerfstudio import setup_nerfstudio

    return setup_nerfstudio(asked.given, asked.out, asked.section, asked.list_file, _shown)


def _photos(asked: Setup) -> list[Path]:
    from transpose.errors import TransposeError
    from transpose.scenes.setup.photos import setup_photos
    from transpose.worlds.registration import to_world_frame
    from transpose.worlds.world import read_metadata

    if asked.world is None:
        raise TransposeError("setup photos needs --world, the world in whose frame the poses are wanted")
    about = read_metadata(asked.world)
    return setup_photos(
        asked.given,
        asked.out,
        asked.section or "test",
        lambda crs, poses: to_world_frame(crs, poses, about, asked.given / "poses.json"),
        asked.list_file,
        _shown,
    )


def _crossloc(asked: Setup) -> list[Path]:
    from transpose.errors import TransposeError
    from transpose.scenes.setup.crossloc import CrossLocRelease

    if asked.section or asked.poses:
        raise TransposeError(
            f"setup {asked.dataset} sets up all sections with the release's poses: no --section, --list or --poses; "
            f"a split of your own goes into {asked.dataset}_GROUP_split.txt in --source"
        )
    return CrossLocRelease(asked.dataset, asked.given, asked.out, asked.copy, _shown).run()


def _swiss(asked: Setup) -> list[str]:
    from transpose.app.commands.setup_swiss import set_up_swiss
    from transpose.errors import TransposeError

    if asked.area is None:
        raise TransposeError("setup swiss needs --area epfl, comballaz or demo")
    return set_up_swiss(asked.area, asked.source, asked.out, asked.margin, asked.download)


def _shown(frames: Sequence[Any], section: str) -> Iterable[Any]:
    from transpose.app.console import progress

    return progress(frames, f"setting up {section}")


# One row a data set: what it reads of the command's options and which function it calls.
SET_UP: dict[str, Callable[[Setup], Sequence[Path | str]]] = {
    "7scenes": _seven_scenes,
    "12scenes": _twelve_scenes,
    "cambridge": _cambridge,
    "epfl": _crossloc,
    "comballaz": _crossloc,
    "colmap": _colmap,
    "nerfstudio": _nerfstudio,
    "photos": _photos,
    "swiss": _swiss,
}
