"""The original's set-up scripts, as aliases of `transpose setup`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class _SetupAlias:
    """Set up a data set that is on disk (alias of setup)."""

    dataset_dir: Path
    """The data set as it was published."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["--output-dir"])] = None
    """The scene folder; datasets/NAME by default, datasets/NAME_lhs_sim of a bare TOPO-DataGen folder."""

    def run(self) -> None:
        """Sets up."""
        from transpose.app.services.setting_up import run_setup
        from transpose.scenes.setup.request import SetupRequest

        name = type(self).__name__.removeprefix("Setup").lower()
        scene = f"{name}_lhs_sim" if any(self.dataset_dir.glob("*_poses.npy")) else name
        run_setup(SetupRequest(name, self.out or Path("datasets") / scene, self.dataset_dir))


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
