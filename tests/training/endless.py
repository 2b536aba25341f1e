"""A training of a small network without end, which ends as `transpose train` does: endless.py SCENE RUN [--resume]."""

import sys
from pathlib import Path

from transpose.app import cli
from transpose.models.heads import HeadConfig
from transpose.training.request import Request
from transpose.training.start import train


class Endless:
    def run(self) -> None:
        request = Request(Path(sys.argv[1]), ["sim"], Path(sys.argv[2]), resume="--resume" in sys.argv)
        head = HeadConfig(width=32, blocks=1, anchors=8)
        settings = {"steps": 10**5, "batch": 64, "views": 30, "head": head, "precision": "float32", "map_points": 0}
        train(request, settings=settings | {"report_every": 25})


if __name__ == "__main__":
    cli.read = lambda words: Endless()  # type: ignore[assignment, return-value]
    sys.exit(cli.main())
