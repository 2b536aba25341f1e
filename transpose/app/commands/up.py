"""`transpose up`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class Up:
    """From what you have to a page that tells where a photo was taken: builds, renders, trains, and opens it."""

    source: tyro.conf.Positional[tuple[Path, ...]]
    """A mesh (OBJ, GLB, glTF, PLY), a point cloud (LAS, LAZ, PLY), a surface model and its orthophoto (two GeoTIFFs or
    their folder), an OpenDroneMap, COLMAP or Nerfstudio project, RGB-D (7-Scenes, 12-Scenes, TUM), a phone's scan
    (Stray Scanner, Polycam, Record3D, 3D Scanner App), a scene of Cambridge Landmarks, photos, a video; or a world,
    scene or run of TransPose."""
    out: Path | None = None
    """Folder for all that is made; by default beside the input, NAME-transpose."""
    kind: (
        Literal[
            "run",
            "world",
            "scene",
            "7scenes",
            "12scenes",
            "cambridge",
            "crossloc",
            "tum",
            "stray",
            "polycam",
            "record3d",
            "arkit",
            "nerfstudio",
            "colmap",
            "odm",
            "terrain",
            "model",
            "video",
            "reconstruct",
        ]
        | None
    ) = None
    """What a folder is taken for, where it could be several things; model: a mesh or cloud in it, reconstruct: photos
    whose poses are to be found."""
    minutes: float = 4.0
    """About how long all may take: about half of it goes into training, and it decides how many views are rendered."""
    views: int | None = None
    """Views to render; 120 a minute by default, 960 at most."""
    indoor: bool = False
    """The model is of rooms, to be stood in; else its size and ceilings decide."""
    aerial: bool = False
    """The model is to be flown over."""
    viewpoints: str | None = None
    """Where to render from, as `transpose render --viewpoints` has it; else it is guessed."""
    serve: bool = True
    """Open the page in the end; --no-serve stops before it."""
    device: str = "cpu"
    """cpu, cuda, ... to train on."""
    seed: int = 0
    """Of views and training."""

    def run(self) -> None:
        """Goes all the way; what an earlier call finished is taken as it is."""
        from transpose.app.console import tell
        from transpose.app.services import going_up
        from transpose.app.services.recognizing import recognize
        from transpose.app.services.serving import missing_packages
        from transpose.app.services.up_stages import UpRequest
        from transpose.errors import TransposeError

        if self.indoor and self.aerial:
            raise TransposeError("--indoor and --aerial exclude each other; give one of them")
        if not 0 < self.minutes < 1e5 or (self.views is not None and self.views < 1):
            raise TransposeError("--minutes and --views must be positive")
        if not self.source:
            raise TransposeError("name a model, a recording, photos, or a folder with one of them")
        named = [path.absolute() for path in self.source]
        found, notes = recognize(named, self.kind)
        tell(f"{found.source} is taken for {found.what}: it has {found.saw}")
        if self.serve and missing_packages():
            tell("note: the page in the end needs: pip install 'transpose-loc[serve]'; all before it is done without")
        for note in notes:
            tell(f"note: {note}")
        setting: Literal["indoor", "aerial"] | None = "indoor" if self.indoor else "aerial" if self.aerial else None
        out = (self.out or going_up.beside(named[0] if named[0].is_dir() else found.source)).absolute()
        request = UpRequest(out, self.minutes, self.views, setting, self.viewpoints, self.device, self.seed)
        goal = going_up.go_up(found, request)
        if self.serve:
            going_up.serve(goal)
