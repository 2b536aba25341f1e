"""`transpose localize`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from transpose.app.threads import Threads

if TYPE_CHECKING:
    from transpose.localization import Localizer
    from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class Localize:
    """Tell where photos were taken: one JSON line an image on stdout."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Photos."""
    focal: float | None = None
    """Focal length in pixels; else the camera of the training images scaled to the photo, unless EXIF contradicts it by
    more than its rounding: then what EXIF says."""
    depth: tuple[Path, ...] = ()
    """Measured depth of each photo, in order: 16-bit PNG in millimetres or .npz in metres (DSAC*'s mode 2)."""
    sequence: bool = False
    """The photos are frames of a video or a flight, in this order: each pose also rests on the photos before it.
    Reasons then say more: predicted (no pose of its own), outlier (it contradicts the others), lost."""
    smooth: bool = False
    """Like --sequence, but each pose rests on all photos, and the lines come at the end."""
    times: Literal["even", "names"] = "even"
    """For --sequence and --smooth. even: equally far apart; names: the last number in a photo's name is its time, in
    any unit."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Localizes. A photo that cannot be placed is an answer (`pose: null`), an unreadable one an error."""
        from transpose.app.console import progress, say_json
        from transpose.errors import TransposeError
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.localization import SequenceFilter, load, smooth

        if self.focal is not None and not 1 < self.focal < 1e6:
            raise TransposeError(f"--focal is a focal length in pixels, not {self.focal}")
        if self.times != "even" and not (self.sequence or self.smooth):
            raise TransposeError("--times says when the photos of a --sequence were taken; without one it has no use")
        if self.depth and len(self.depth) != len(self.images):
            raise TransposeError(f"--depth needs one file a photo: {len(self.images)} photos, {len(self.depth)} depths")
        for path in (*self.images, *self.depth):  # before anything slow is loaded
            if not path.is_file():
                raise TransposeError(f"{path} does not exist")
        times = times_in_names(self.images) if self.times == "names" else None
        localizer = load(self.run_folder, self.device)
        unit = localizer.checkpoint.unit.as_json()
        answers = self._answers(localizer)
        if self.smooth:
            alone = list(progress(answers, "localizing", len(self.images)))
            together = smooth([estimate for _, estimate, _ in alone], times)
            for (path, _, seconds), estimate in zip(alone, together, strict=True):
                say_json(as_json(path, estimate, seconds) | unit)
            return
        sequence = SequenceFilter() if self.sequence else None
        for index, (path, estimate, seconds) in enumerate(answers):
            started = time.perf_counter()
            if sequence is not None:
                estimate = sequence.update(estimate, None if times is None else times[index])
            say_json(as_json(path, estimate, seconds + time.perf_counter() - started) | unit)

    def _answers(self, localizer: Localizer) -> Iterator[tuple[Path, PoseEstimate, float]]:
        """The estimate of each photo alone, and the seconds it took."""
        from transpose.errors import TransposeError
        from transpose.localization import Query
        from transpose.localization.photo import focal_from_exif
        from transpose.scenes.files import read_depth, read_image

        for index, path in enumerate(self.images):
            image_hw3, depth_hw = read_image(path), read_depth(self.depth[index]) if self.depth else None
            exif = None if self.focal is not None else focal_from_exif(path)
            started = time.perf_counter()
            try:
                query = Query.of(localizer.camera, image_hw3, None, self.focal, exif, depth_hw)
                estimate = localizer.localize_query(query)
            except TransposeError as error:
                raise TransposeError(f"{path}: {error}") from None
            yield path, estimate, time.perf_counter() - started


def times_in_names(paths: Sequence[Path]) -> list[float]:
    """The last number in each file name.

    Raises:
        TransposeError: a name without one, or numbers that do not increase.
    """
    from transpose.errors import TransposeError

    times: list[float] = []
    for path in paths:
        numbers = re.findall(r"\d+(?:\.\d+)?", path.stem)
        if not numbers:
            raise TransposeError(f"{path} has no number in its name to take for a time; leave --times names away")
        times.append(float(numbers[-1]))
        if len(times) > 1 and times[-1] <= times[-2]:
            raise TransposeError(
                f"{path} comes after {paths[len(times) - 2].name}, but the numbers in their names do not increase; "
                "give the photos in the order in which they were taken, each once"
            )
    return times


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
