"""`transpose setup`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class Setup:
    """Set up a data set as a scene folder."""

    dataset: tyro.conf.Positional[Literal["7scenes", "colmap", "nerfstudio", "photos"]]
    """What the source folder holds. photos: images/ and poses.json."""
    source: Path
    """The data set as it was published."""
    out: Path
    """The scene folder; sections are added to it."""
    poses: Path | None = None
    """SfM pseudo ground truth that replaces the shipped poses: lines of `frame qw qx qy qz tx ty tz [focal]`."""
    section: str | None = None
    """Set up only this section, under this name."""
    list_file: Annotated[Path | None, tyro.conf.arg(name="list")] = None
    """The frames of --section, one `stem` or `seq-XX/stem` a line."""
    world: Path | None = None
    """photos: the world into whose frame the poses are brought."""

    def run(self) -> None:
        """Sets up and names the sections."""
        from transpose.app.console import say
        from transpose.errors import TransposeError

        if self.list_file and not self.section:
            raise TransposeError("--list needs --section, the name of the section that gets these frames")
        for path in _SET_UP[self.dataset](self):
            say(str(path))


def _seven_scenes(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.sevenscenes import setup_7scenes

    return setup_7scenes(asked.source, asked.out, asked.poses, asked.section, asked.list_file, _shown)


def _colmap(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.colmap import setup_colmap

    return setup_colmap(asked.source, asked.out, asked.section or "train", asked.list_file, _shown)


def _nerfstudio(asked: Setup) -> list[Path]:
    from transpose.scenes.setup.nerfstudio import setup_nerfstudio

    return setup_nerfstudio(asked.source, asked.out, asked.section, asked.list_file, _shown)


def _photos(asked: Setup) -> list[Path]:
    from transpose.errors import TransposeError
    from transpose.scenes.setup.photos import setup_photos
    from transpose.worlds.placing import placed
    from transpose.worlds.world import read_about

    if asked.world is None:
        raise TransposeError("setup photos needs --world, the world in whose frame the poses are wanted")
    about = read_about(asked.world)
    return setup_photos(
        asked.source,
        asked.out,
        asked.section or "test",
        lambda crs, poses: placed(crs, poses, about, asked.source / "poses.json"),
        asked.list_file,
        _shown,
    )


def _shown(frames: Sequence[Any], section: str) -> Iterable[Any]:
    from transpose.app.console import progress

    return progress(frames, f"setting up {section}")


# One row a data set: what it reads of the command's options and which function it calls.
_SET_UP: dict[str, Callable[[Setup], list[Path]]] = {
    "7scenes": _seven_scenes,
    "colmap": _colmap,
    "nerfstudio": _nerfstudio,
    "photos": _photos,
}
