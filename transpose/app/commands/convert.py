"""`transpose convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.scenes.unit import SceneUnit


@dataclass(frozen=True)
class Convert:
    """Make a run folder of a checkpoint that DSAC*, ACE or CrossLoc has trained."""

    checkpoint: tyro.conf.Positional[Path]
    """DSAC*'s or CrossLoc's .net, or ACE's head (.pt)."""
    as_: Annotated[Literal["dsacstar", "ace", "crossloc"], tyro.conf.arg(name="as")]
    """Whose it is."""
    out: Path
    """The run folder."""
    encoder: Path | None = None
    """ace: the encoder that all of its maps share (ace_encoder_pretrained.pt)."""
    like: Path | None = None
    """SCENE/SECTION whose camera photos have where nothing else is known of them, and whose unit is the checkpoint's."""
    focal: float | None = None
    """Instead of --like: focal length in pixels of images of --size."""
    size: tuple[int, int] | None = None
    """Width and height that --focal is for."""
    height: int | None = None
    """Rows to which images are resized first, as they were in training; 480 for what is published."""
    overwrite: bool = False
    """Replace a run that exists."""

    def run(self) -> None:
        """Converts."""
        from transpose.app.console import say
        from transpose.training.conversion import CheckpointFile, convert

        source = CheckpointFile(self.checkpoint, self.as_, self.encoder, self.height)
        camera, unit = self._camera_and_unit()
        say(str(convert(source, camera, self.out, self.overwrite, unit)))

    def _camera_and_unit(self) -> tuple[Camera, SceneUnit]:
        from transpose.errors import TransposeError
        from transpose.geometry.cameras import Camera
        from transpose.scenes.layout import open_section
        from transpose.scenes.unit import METRE, unit_as_it_is

        if self.like is not None and self.focal is None and self.size is None:
            section = open_section(self.like)
            return section.frames[0].camera, unit_as_it_is(section)
        if self.like is not None or self.focal is None or self.size is None:
            raise TransposeError(
                "a checkpoint knows no camera: give either --like SCENE/SECTION, or both --focal and --size"
            )
        try:
            return Camera.from_focal(self.focal, *self.size), METRE
        except ValueError as error:
            raise TransposeError(f"--focal and --size: {error}") from None
