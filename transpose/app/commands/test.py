"""`transpose test`."""

from __future__ import annotations

from dataclasses import dataclass
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
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Tests."""
        from transpose.app.console import progress, say
        from transpose.evaluation.testing import localize_section, write_results
        from transpose.localization import load
        from transpose.scenes.layout import open_section

        section = open_section(self.scene / self.section)
        localizer = load(self.run_folder, self.device, use=self.use)
        results = localize_section(localizer, section, lambda frames: progress(frames, "localizing"), self.mode == 2)
        table = write_results(results, section, self.run_folder, self.out)
        say(summary_line(table))


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
