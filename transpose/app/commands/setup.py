"""`transpose setup`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Setup:
    """Set up a data set as a scene folder."""

    dataset: tyro.conf.Positional[Literal["7scenes"]]
    """What the source folder holds."""
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

    def run(self) -> None:
        """Sets up and names the sections."""
        from transpose.app.console import progress, say
        from transpose.errors import TransposeError
        from transpose.scenes.setup.sevenscenes import setup_7scenes

        if self.list_file and not self.section:
            raise TransposeError("--list needs --section, the name of the section that gets these frames")
        written = setup_7scenes(
            self.source,
            self.out,
            self.poses,
            self.section,
            self.list_file,
            lambda frames, section: progress(frames, f"setting up {section}"),
        )
        for path in written:
            say(str(path))
