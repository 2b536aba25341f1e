"""`transpose export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class Export:
    """Write a run as ONNX, or poses that it estimated for COLMAP, Nerfstudio, evo, maps or ROS (docs/export.md)."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    to: Literal["onnx", "colmap", "nerfstudio", "tum", "geojson", "kml", "ros"]
    """onnx: the networks, for transpose.onnx. All others: poses, of --results or --answers."""
    out: Path
    """onnx, colmap, nerfstudio: a folder, new or empty. tum, geojson, kml, ros: a file, which is replaced."""
    results: Path | None = None
    """What transpose test wrote (its --out)."""
    answers: Path | None = None
    """Or a file of the lines that transpose localize printed."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Of onnx. float16: weights are kept so; int8: the encoder also computes so."""
    images: Path | None = None
    """Of onnx in int8: photos or renders of the place, for the ranges of its numbers; else those it learned from."""
    text: bool = False
    """Of colmap: text files in place of binary ones."""
    rate: float = 1.0
    """Of tum and ros: images a second; the first is at 0 s."""
    times: Literal["even", "names"] = "even"
    """Of tum and ros. even: by --rate; names: the last number in an image's name is its time in seconds."""
    world: Path | None = None
    """Of geojson and kml: the world, which names its map projection; else the one that the run was trained with."""
    frame_id: str = "map"
    """Of ros: the name of the frame that the place is in."""

    def run(self) -> None:
        """Exports, and says how many images without a pose are left out."""
        from transpose.app.console import say
        from transpose.app.services.exporting import ExportRequest, export

        export(
            ExportRequest(
                self.run_folder,
                self.to,
                self.out,
                results=self.results,
                answers=self.answers,
                precision=self.precision,
                images=self.images,
                text=self.text,
                rate=self.rate,
                times=self.times,
                world=self.world,
                frame_id=self.frame_id,
            )
        )
        say(str(self.out))
