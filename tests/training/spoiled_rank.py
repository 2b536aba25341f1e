"""A training of which rank 1 meets a NaN at its 31st step, for `torchrun`: spoiled_rank.py SCENE RUN."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from transpose.errors import TransposeError
from transpose.losses.cells import Cells
from transpose.models.heads import HeadConfig
from transpose.training import clock, start
from transpose.training.objectives import Likelihood
from transpose.training.presets import fast


@dataclass(frozen=True)
class Spoiled(Likelihood):
    rank: int = 0

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss_n, facts = super().__call__(raw_nk, cells, step)
        return loss_n * (float("nan") if self.rank == 1 and step == 30 else 1.0), facts


def main() -> None:
    rank = int(os.environ["RANK"])
    clock._SAVE_SECONDS = 0.0
    fast.Likelihood = lambda *of: Spoiled(*of, rank=rank)  # type: ignore[assignment, misc]
    request = start.Request(Path(sys.argv[1]), ["sim"], Path(sys.argv[2]))
    head = HeadConfig(width=32, blocks=1, anchors=8)
    settings = {"steps": 60, "batch": 64, "views": 30, "head": head, "precision": "float32", "map_points": 0}
    settings |= {"report_every": 20}
    try:
        start.train(request, settings=settings)
    except TransposeError as error:
        print(f"rank {rank}: {error}", flush=True)


if __name__ == "__main__":
    main()
