"""`transpose train-e2e`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from transpose.app.services.original_names import TrainingAlias, trained_run


@dataclass(frozen=True)
class TrainEndToEnd(TrainingAlias):
    """Train on from a run through the pose itself: DSAC*'s second stage, or back-propagation through PnP."""

    scene: tyro.conf.Positional[Path]
    """The scene folder, or its name in datasets/."""
    source: tyro.conf.Positional[Path]
    """The run to start from; X.net and X.pth name the folder X."""
    out: tyro.conf.Positional[Path]
    """The run folder that comes out; OUT.net and OUT.pth name the folder OUT."""
    through: Literal["dsac", "bpnp", "epro"] | None = None
    """bpnp: implicit derivative of the pose. dsac: expected loss over hypotheses. epro: likelihood of the true pose. By
    default bpnp, with measured depth dsac."""
    mode: Literal[1, 2] = 1
    """1: from the image alone. 2: with measured depth."""
    steps: Annotated[int, tyro.conf.arg(aliases=["--iterations"])] = 2000
    """Training steps."""
    batch: int | None = None
    """Images a step, over all processes: 2 for a whole network, 16 views for a head on frozen features."""
    learning_rate: Annotated[float | None, tyro.conf.arg(aliases=["--learningrate"])] = None
    """The largest of the schedule: 1e-5 for a whole network, 1e-3 for a head on frozen features."""
    coordinate_weight: float = 1.0
    """Of the first stage's loss, a likelihood, beside the log of the pose loss."""
    passes: int | None = None
    """Augmented views of each frame, 4 by default (heads on frozen features)."""

    def run(self) -> None:
        """Trains."""
        from transpose.app.services.training import callbacks, say_model
        from transpose.training.start import train_end_to_end

        names = ("through", "steps", "batch", "learning_rate", "coordinate_weight", "passes", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        request, settings = self.request(self.scene, self.out), given | {"rgbd": self.mode == 2}
        say_model(train_end_to_end(request, trained_run(self.source), settings, callbacks()))
