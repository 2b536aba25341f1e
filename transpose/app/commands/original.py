"""The original's commands, with its flags and in its order of arguments: aliases of ours."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

_MODES: dict[int, Literal["rgb", "model", "rgbd"]] = {0: "rgb", 1: "model", 2: "rgbd"}


def scene_folder(scene: Path) -> Path:
    """A scene by its path, or by its name where it lies in `datasets/`."""
    named = Path("datasets") / scene
    return named if not scene.exists() and named.is_dir() else scene


def default_section(scene: Path) -> str:
    """What the original trains on: `train`, or the renders of a scene that has CrossLoc's sections."""
    return "train_sim" if (scene / "train_sim").is_dir() and not (scene / "train").is_dir() else "train"


def run_folder(named: Path) -> Path:
    """The run folder that `OUT.net` or `OUT.pth` names; an existing file or folder is taken as it is."""
    return named.with_suffix("") if named.suffix in (".net", ".pth") and not named.exists() else named


@dataclass(frozen=True)
class TrainInit:
    """The original's first stage: train DSAC*'s network on coordinates (alias of train --preset dsacstar)."""

    scene: tyro.conf.Positional[Path]
    """The scene folder, or its name in datasets/."""
    out: tyro.conf.Positional[Path]
    """The run folder; OUT.net and OUT.pth name the folder OUT."""
    learningrate: float = 1e-4
    """Of Adam."""
    iterations: int = 1_000_000
    """Steps, of one image each."""
    inittolerance: float = 0.1
    """Metres by which a coordinate may be off before its pixel error counts."""
    mindepth: float = 0.1
    """Metres in front of the camera at which a point must lie."""
    maxdepth: float = 1000.0
    """Metres at which a point may lie at most."""
    targetdepth: float = 10.0
    """Metres along the ray at which points are put where nothing is known (mode 0)."""
    softclamp: float = 100.0
    """Pixels beyond which an error counts by its root."""
    hardclamp: float = 1000.0
    """Pixels beyond which a point is wrong."""
    mode: Literal[0, 1, 2] = 1
    """0: images and poses; 1: and a model's labels; 2: and measured depth."""
    sparse: bool = False
    """Labels are the sparse ones of init/, also where there is depth."""
    tiny: bool = False
    """The network with 128 channels."""
    uncertainty: bool = False
    """Learn how far off each coordinate may be (KFNet's likelihood)."""
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

    def run(self) -> None:
        """Trains."""
        from transpose.app.commands.train import callbacks
        from transpose.app.console import say
        from transpose.losses.coordinates import InitTolerances
        from transpose.losses.uncertainty import Uncertainty
        from transpose.training.start import Request, train

        settings: dict[str, Any] = {
            "steps": self.iterations,
            "learning_rate": self.learningrate,
            "mode": _MODES[self.mode],
            "sparse": self.sparse,
            "tiny": self.tiny,
            "seed": self.seed,
            "tolerances": InitTolerances(
                tolerance_m=self.inittolerance,
                min_depth_m=self.mindepth,
                max_depth_m=self.maxdepth,
                target_depth_m=self.targetdepth,
                soft_clamp_px=self.softclamp,
                hard_clamp_px=self.hardclamp,
            ),
            "uncertainty": Uncertainty("isotropic" if self.uncertainty else "none"),
        }
        scene = scene_folder(self.scene)
        sections = self.sections or (default_section(scene),)
        request = Request(scene, sections, run_folder(self.out), self.val, self.device, self.resume, self.overwrite)
        say(str(train(request, "dsacstar", settings, callbacks())))


@dataclass(frozen=True)
class TestBpnp:
    """The original's test: localize a section with one run, or with every run below a folder (alias of test)."""

    scene: tyro.conf.Positional[Path]
    """The scene folder, or its name in datasets/."""
    weights: tyro.conf.Positional[Path]
    """The run folder; X.net and X.pth name the folder X. With --search_dir: a folder with runs below it."""
    mode: Literal[0, 1, 2] = 1
    """0 and 1: from the image alone; 2: with measured depth."""
    sparse: bool = False
    """Errors of coordinates are measured against the sparse labels of init/, also where there is depth."""
    section: str = "test"
    """The section to localize."""
    search_dir: bool = False
    """Test every run found, and write one table with the best."""
    save_map: bool = False
    """Write coordinates, uncertainty and truth of every frame."""
    out: Path | None = None
    """Where results go; results/SCENE_SECTION/RUN by default."""
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Tests."""
        from transpose.app.commands.test import summary_line
        from transpose.app.console import progress, say, tell
        from transpose.evaluation.search import tested_below, write_table
        from transpose.scenes.layout import open_section

        scene = scene_folder(self.scene)
        open_section(scene / self.section)  # before every run fails on it
        out = self.out or Path("results") / f"{scene.resolve().name}_{self.section}"
        if not self.search_dir:
            weights = run_folder(self.weights)
            say(summary_line(self._tested(scene, weights, out / weights.name if self.out is None else out)))
            return

        def one(run: Path) -> dict[str, Any]:
            tell(str(run))
            return self._tested(scene, run, out / "_".join(run.relative_to(self.weights).parts or (run.name,)))

        candidates = tested_below(self.weights, one, lambda runs: progress(runs, "testing runs"))
        say(write_table(candidates, out / f"search_{scene.resolve().name}_{self.section}.tsv"))

    def _tested(self, scene: Path, weights: Path, out: Path) -> dict[str, Any]:
        from transpose.app.commands.test import Test

        mode: Literal[1, 2] = 2 if self.mode == 2 else 1
        test = Test(weights, scene, self.section, out, mode=mode, save_map=self.save_map, device=self.device)
        return dataclasses.replace(test, sparse=self.sparse).tested()


@dataclass(frozen=True)
class _SetupAlias:
    """Set up a data set that is on disk (alias of setup)."""

    dataset_dir: Path
    """The data set as it was published."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["--output-dir"])] = None
    """The scene folder; datasets/NAME by default, datasets/NAME_lhs_sim of a bare TOPO-DataGen folder."""

    def run(self) -> None:
        """Sets up."""
        from transpose.app.commands.setup import Setup

        name: Any = type(self).__name__.removeprefix("Setup").lower()
        scene = f"{name}_lhs_sim" if any(self.dataset_dir.glob("*_poses.npy")) else name
        Setup(name, self.out or Path("datasets") / scene, self.dataset_dir).run()


class Setup7scenes(_SetupAlias):
    """Set up 7-Scenes (alias of setup 7scenes)."""


class Setup12scenes(_SetupAlias):
    """Set up 12-Scenes (alias of setup 12scenes)."""


class SetupCambridge(_SetupAlias):
    """Set up Cambridge Landmarks (alias of setup cambridge)."""


class SetupEpfl(_SetupAlias):
    """Set up CrossLoc's Urbanscape (alias of setup epfl)."""


class SetupComballaz(_SetupAlias):
    """Set up CrossLoc's Naturescape (alias of setup comballaz)."""
