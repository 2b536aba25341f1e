"""`transpose localize`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from transpose.app.threads import Threads

if TYPE_CHECKING:
    from transpose.localization.answered import Answer
    from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class Localize:
    """Tell where photos were taken: one JSON line an image on stdout."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, or folders of them."""
    focal: float | Literal["auto"] | None = None
    """Focal length in pixels; auto: estimated from each photo, whatever its EXIF says. Without: what EXIF says, or the
    camera of the training images where EXIF agrees with it or says nothing (of another shape: auto). Each line says
    which camera was taken, and from where."""
    camera: Path | None = None
    """Calibration of the photos: JSON as "camera" in a poses.json, or text as in a section's calibration/."""
    depth: tuple[Path, ...] = ()
    """Measured depth of each photo, in order: 16-bit PNG in millimetres or .npz in metres (DSAC*'s mode 2)."""
    refine: bool = False
    """Render the world at each pose, match photo and render, and solve again (docs/refining.md)."""
    world: Path | None = None
    """The world for --refine; else the one that the run was trained with."""
    risk: float | None = None
    """A pose is given where it is wrong with no higher probability, of runs that say how sure they are; 0.05
    without."""
    sequence: bool = False
    """The photos are frames of a video or a flight, in this order (a folder's by the numbers in their names): each pose
    also rests on the photos before it.
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
        """Localizes. A photo that cannot be placed is an answer (`pose: null`); one that cannot be read is one as well,
        and makes the command fail in the end."""
        from transpose.app.console import say_json, tell
        from transpose.errors import TransposeError
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.localizing import answers, photos_of, times_in_names
        from transpose.app.services.refining import kept_sentence
        from transpose.localization import load
        from transpose.localization.answered import as_json
        from transpose.localization.localizer import check_uses_depth
        from transpose.pages.wording import unfinished_sentence

        self._check()
        photos = photos_of(self.images)  # before anything slow is loaded
        if self.depth and len(self.depth) != len(photos):
            raise TransposeError(f"--depth needs one file a photo: {len(photos)} photos, {len(self.depth)} depths")
        times = times_in_names(photos) if self.times == "names" else None
        localizer = load(self.run_folder, self.device, refine=self.refine, world=self.world, risk=self.risk)
        if self.depth:
            check_uses_depth(localizer, "--depth")
        if sentence := unfinished_sentence(localizer.checkpoint, self.run_folder):
            tell(sentence)
        failed, found = [], []
        for answer, estimate, seconds in self._answered(
            answers(localizer, photos, self.focal, self.camera, self.depth), len(photos), times
        ):
            say_json(as_json(answer, estimate, seconds, localizer.checkpoint))
            failed += [answer] if answer.error else []
            found.append(answer.estimate)
        if self.refine and (sentence := kept_sentence(found)):
            tell(sentence)
        if failed:
            first = failed[0]
            raise TransposeError(
                f"{len(failed)} of {len(photos)} photos could not be worked on; the first, {first.image}: {first.error}"
            )

    def _check(self) -> None:
        from transpose.app.services.localizing import check_camera_flags
        from transpose.app.services.refining import check_refinement
        from transpose.errors import TransposeError

        check_camera_flags(self.focal, self.camera)
        check_refinement(self.refine, self.world)
        if self.times != "even" and not (self.sequence or self.smooth):
            raise TransposeError("--times says when the photos of a --sequence were taken; without one it has no use")
        for path in self.depth:
            if not path.is_file():
                raise TransposeError(f"{path} does not exist")

    def _answered(
        self, alone: Iterator[Answer], count: int, times: list[float] | None
    ) -> Iterator[tuple[Answer, PoseEstimate, float]]:
        """Each photo's answer alone, its estimate alone or in the sequence, and the seconds that took."""
        from transpose.app.console import progress
        from transpose.localization import SequenceFilter, smooth

        if self.smooth:
            every = list(progress(alone, "localizing", count))
            together = smooth([answer.estimate for answer in every], times)
            yield from ((answer, estimate, answer.seconds) for answer, estimate in zip(every, together, strict=True))
            return
        sequence = SequenceFilter() if self.sequence else None
        for index, answer in enumerate(alone):
            started = time.perf_counter()
            estimate = answer.estimate
            if sequence is not None:
                estimate = sequence.update(estimate, None if times is None else times[index])
            yield answer, estimate, answer.seconds + time.perf_counter() - started
