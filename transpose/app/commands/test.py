"""`transpose test`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tyro


@dataclass(frozen=True)
class Test:
    """Localize every frame of a section and measure the errors."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    section: str
    """The section to localize."""
    out: Path
    """Where results.json, poses_*.txt, test_*.txt and the plots go."""
    use: Literal["auto", "landmarks", "coordinates"] = "auto"
    """auto: landmarks where enough are met, else predicted coordinates; or one of them alone."""
    mode: Literal[1, 2] = 1
    """1: from the image alone. 2: with the section's depth, by predicted coordinates."""
    samples: int = 0
    """Write so many poses of each frame, drawn as its coordinates are uncertain, and their modes, to samples.json."""
    save_map: bool = False
    """Write coordinates, uncertainty and truth of every frame to maps/ (see transpose visualize)."""
    sparse: bool = False
    """Coordinates are held against the sparse labels of init/, also where there is depth."""
    cluster: str | None = None
    """Spread the frames over a ray cluster: its address, or local for this machine (extra cluster)."""
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Tests."""
        from transpose.app.console import say

        say(summary_line(self.tested()))

    def tested(self) -> dict[str, Any]:
        """Tests, writes everything, and returns the table."""
        from transpose.app.console import progress
        from transpose.errors import TransposeError
        from transpose.evaluation.coordinate_calibration import calibrate_coordinates
        from transpose.evaluation.maps import MAPS_FOLDER, save_maps
        from transpose.evaluation.samples import write_samples
        from transpose.evaluation.testing import localize_on_cluster, localize_section, write_results
        from transpose.localization import load
        from transpose.scenes.layout import open_section, with_sparse_labels
        from transpose.solvers import PosteriorOptions

        if self.samples < 0 or self.samples == 1:
            raise TransposeError(f"--samples needs at least 2 poses, not {self.samples}")
        section = open_section(self.scene / self.section)
        if self.sparse:
            section = with_sparse_labels(section)
        localizer = load(self.run_folder, self.device, use=self.use)
        if self.cluster is None:
            shown = partial(progress, what="localizing")
            results = localize_section(localizer, section, shown, self.mode == 2)
        else:
            address = None if self.cluster == "local" else self.cluster
            make = partial(load, self.run_folder.resolve(), self.device, use=self.use)
            shown = partial(progress, what="localizing", total=len(section))
            results = localize_on_cluster(make, section, address, shown, self.mode == 2)
        calibration = calibrate_coordinates(localizer, section)
        table = write_results(results, section, self.run_folder, self.out, calibration)
        if self.save_map:
            shown = partial(progress, what="saving maps")
            save_maps(localizer, section, results, self.out / MAPS_FOLDER, shown)
        if self.samples:
            options = PosteriorOptions(samples=self.samples)
            write_samples(localizer, progress(section.frames, "sampling"), options, self.out / "samples.json")
        return table


def summary_line(table: dict[str, Any]) -> str:
    """The table of a test in one line."""
    metres = table["median_m"]
    if metres < 0.5:
        length, bound = f"{100 * metres:.1f} cm", "5cm5deg"
    else:
        length, bound = f"{metres:.2f} m", "3m5deg" if metres < 3 else "10m7deg"
    hits = round(table["recall"][bound] * table["frames"])
    return (
        f"{table['section']}: median {length}, {table['median_deg']:.2f} deg; "
        f"{hits} of {table['frames']} within {bound}"
        f"; {table['failed']} refused; {1000 * table['seconds_per_frame']:.0f} ms a frame"
    )
