"""What the original's users call scenes and runs, and what both stages of its training are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transpose.training.request import Request

_WEIGHTS = (".net", ".pth")


def scene_folder(scene: Path) -> Path:
    """A scene by its path, or by its name where it lies in `datasets/`.

    Raises:
        TransposeError: it is at neither place.
    """
    named = Path("datasets") / scene
    for folder in (scene, named):
        if folder.is_dir():
            return folder
    from transpose.errors import TransposeError

    places = str(scene) if scene.is_absolute() else f"{scene} nor {named}"
    raise TransposeError(f"the scene {scene.name} is not there: no folder {places}; make one with: transpose setup")


def default_section(scene: Path) -> str:
    """What the original trains on: `train`, or the renders of a scene that has CrossLoc's sections."""
    return "train_sim" if (scene / "train_sim").is_dir() and not (scene / "train").is_dir() else "train"


def new_run(named: Path) -> Path:
    """The run folder that `OUT.net` or `OUT.pth` asks for: OUT."""
    return named.with_suffix("") if named.suffix in _WEIGHTS else named


def trained_run(named: Path) -> Path:
    """The run folder that `X.net`, `X.pth`, `X` or `X/model.pt` names; another file is taken as it is."""
    if named.name == "model.pt":
        return named.parent
    folder = new_run(named)
    return named if named.is_file() and not folder.is_dir() else folder


def searched_folder(named: Path) -> Path:
    """Where --search_dir looks: a folder itself, and of weights such as `DIR/bpnp.pth` the folder DIR."""
    return named.parent if named.suffix in _WEIGHTS and not named.is_dir() else named


@dataclass(frozen=True, kw_only=True)
class TrainingAlias:
    """Flags that both stages of the original's training have."""

    sections: tuple[str, ...] = ()
    """Sections to learn from; train by default, or train_sim where there is no train."""
    val: str | None = None
    """Section for validation; without it a tenth of the last section is kept out."""
    seed: int = 0
    """Same seed, machine and thread count: same result."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    resume: bool = False
    """Go on with a run that was cut off."""
    overwrite: bool = False
    """Replace a run that exists."""

    def request(self, scene: Path, out: Path) -> Request:
        """Which run of which scene, by the original's names of both."""
        from transpose.training.request import Request

        folder = scene_folder(scene)
        sections = self.sections or (default_section(folder),)
        return Request(folder, sections, new_run(out), self.val, self.device, self.resume, self.overwrite)
