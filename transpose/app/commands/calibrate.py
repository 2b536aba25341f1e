"""`transpose calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Calibrate:
    """Measure a camera by photos of a known place: focal length, principal point and radial distortion, with their
    standard deviations.

    What the photos do not tell is held where it was, and said; a focal length that they do not tell is an error.
    """

    run_folder: tyro.conf.Positional[Path]
    """The run folder of the place, learned from images whose camera is known, such as renders."""
    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Photos of one camera, one size and one focal length, or folders of them."""
    out: Path
    """File for the camera, such as camera.json, which `localize --camera` reads."""
    camera: Path | None = None
    """Camera to start from, as for `localize`; its principal point and distortion stay where the photos do not tell."""
    focal: float | Literal["auto"] | None = None
    """Or its focal length in pixels; auto: estimated from each photo. Without: EXIF's, or the training camera's."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Localizes all photos, solves for the camera, and writes it."""
        from transpose.app.console import progress, say, tell
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.outputs import check_file
        from transpose.app.services.calibrating import Start, as_json, calibrated
        from transpose.app.services.localizing import check_camera_flags, photos_of
        from transpose.localization import load
        from transpose.storage import write_json

        check_camera_flags(self.focal, self.camera)
        check_file(self.out)
        photos = photos_of(self.photos)
        localizer = load(self.run_folder, self.device)
        found, used = calibrated(localizer, photos, Start(self.camera, self.focal), progress)
        content = as_json(found, len(used))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.out, content)
        for name, sigma in content["standard_deviations"].items():
            tell(f"{name} {content['camera'][name]:.6g}" + (f" +- {sigma:.2g}" if sigma else " (held)"))
        if found.held:
            tell(f"the photos do not tell {', '.join(found.held)}, held where it was")
        tell(f"{found.points} correspondences of {len(used)} photos, median residual {found.residual_px:.2f} px")
        say(str(self.out))
