"""`transpose convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.models.published import Published


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
    """SCENE/SECTION whose camera photos have where nothing else is known of them."""
    focal: float | None = None
    """Instead of --like: focal length in pixels of images of --size."""
    size: tuple[int, int] = (640, 480)
    """Width and height that --focal is for."""
    overwrite: bool = False
    """Replace a run that exists."""

    def run(self) -> None:
        """Converts."""
        from transpose import runs
        from transpose.app.console import say
        from transpose.errors import TransposeError

        if (self.out / runs.MODEL_FILE).exists() and not self.overwrite:
            raise TransposeError(f"{self.out} holds a run already; choose another folder or --overwrite")
        camera = self._camera()
        published = self._published()
        self.out.mkdir(parents=True, exist_ok=True)
        say(str(runs.save_model(self.out, self._model(published, camera))))

    def _camera(self) -> Camera:
        from transpose.errors import TransposeError
        from transpose.geometry.cameras import Camera
        from transpose.scenes.layout import open_section

        if self.like is not None:
            return open_section(self.like).frames[0].camera
        if self.focal is None:
            raise TransposeError("a checkpoint knows no camera: give --like SCENE/SECTION, or --focal and --size")
        try:
            return Camera.from_focal(self.focal, *self.size)
        except ValueError as error:
            raise TransposeError(f"--focal and --size: {error}") from None

    def _published(self) -> Published:
        from transpose import runs
        from transpose.errors import TransposeError
        from transpose.models import published

        if (self.as_ == "ace") != (self.encoder is not None):
            raise TransposeError("--encoder is the file of ACE's encoder: ace needs it, the others have their own")
        state = runs.load_foreign(self.checkpoint)
        try:
            if self.encoder is not None:
                return published.ace(state, runs.load_foreign(self.encoder))
            return published.dsacstar(state) if self.as_ == "dsacstar" else published.crossloc(state)
        except TransposeError as error:
            raise TransposeError(f"{self.checkpoint}: {error}") from None

    def _model(self, published: Published, camera: Camera) -> dict[str, Any]:
        import dataclasses

        import transpose

        return {
            "kind": "scene_coordinates",
            "preset": self.as_,
            "code_version": transpose.__version__,
            "converted_from": str(self.checkpoint),
            "network": published.network,
            "network_config": published.config,
            "weights": published.weights,
            "uncertainty": published.uncertainty,
            "height": published.height,
            "camera": dataclasses.asdict(camera),
            "origin": [0.0, 0.0, 0.0],
            "config": {},
            "frames": 0,
            "complete": True,
            "steps_done": 0,
            "train_seconds": None,
        }
