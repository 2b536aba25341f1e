"""`transpose localize`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class Localize:
    """Tell where photos were taken: one JSON line an image on stdout."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Photos."""
    focal: float | None = None
    """Focal length in pixels; else what EXIF says, else the camera of the training images scaled to the photo."""
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Localizes. A photo that cannot be placed is an answer (`pose: null`), an unreadable one an error."""
        from transpose.app.console import say_json
        from transpose.errors import TransposeError
        from transpose.localization import load
        from transpose.localization.photo import focal_from_exif
        from transpose.scenes.files import read_image

        if self.focal is not None and not 1 < self.focal < 1e6:
            raise TransposeError(f"--focal is a focal length in pixels, not {self.focal}")
        for path in self.images:  # before anything slow is loaded
            if not path.is_file():
                raise TransposeError(f"{path} does not exist")
        localizer = load(self.run_folder, self.device)
        for path in self.images:
            image_hw3 = read_image(path)
            focal_px = self.focal or focal_from_exif(path)
            started = time.perf_counter()
            try:
                estimate = localizer.localize(image_hw3, focal_px=focal_px)
            except TransposeError as error:
                raise TransposeError(f"{path}: {error}") from None
            say_json(as_json(path, estimate, time.perf_counter() - started))


def as_json(path: Path, estimate: PoseEstimate, seconds: float) -> dict[str, Any]:
    """The line that scripts read."""
    covariance = estimate.covariance_66
    return {
        "image": str(path),
        "pose": None if estimate.pose is None else estimate.pose.T_wc.tolist(),
        "reason": estimate.reason,
        "score": estimate.score,
        "inliers": estimate.inliers,
        "covariance": None if estimate.pose is None or covariance is None else covariance.tolist(),
        "seconds": seconds,
    }
