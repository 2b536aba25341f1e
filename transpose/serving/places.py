"""The runs of a service: loaded once, again where they are replaced, and asked which of them knows a photo."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError
from transpose.localization import Localizer
from transpose.localization.answered import Answer, as_json
from transpose.localization.localizer import check_states_confidence, check_uses_depth
from transpose.localization.refine_world import world_folder
from transpose.runs import MODEL_FILE
from transpose.serving.overhead import Overhead, overhead_of
from transpose.serving.uploads import Upload
from transpose.solvers import PoseEstimate
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import load_world

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Place:
    """A run that is served.

    Attributes:
        name: by which clients call it.
        folder: of the run.
        world: folder of the world to be drawn over photos; None: the run's own, where that is still there.
        load: of a localizer from a run folder.
    """

    name: str
    folder: Path
    world: Path | None
    load: Callable[[Path], Localizer]
    localizer: Localizer = field(init=False)
    _stamp: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._stamp = _stamp(self.folder)
        self.localizer = self.load(self.folder)

    def renew(self) -> None:
        """Loads the run again where it was replaced; the one that is loaded stays where that fails."""
        try:
            stamp = _stamp(self.folder)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self.localizer = self.load(self.folder)
            for drawn in ("overhead", "renderer"):
                self.__dict__.pop(drawn, None)
            log.info("%s was replaced, and is loaded anew", self.folder)
        except (OSError, TransposeError) as error:
            log.warning("%s was replaced, and cannot be loaded (%s); the one before is served", self.folder, error)

    @property
    def version(self) -> str:
        """Another one for each model that stood in the folder."""
        return hashlib.sha256(repr(self._stamp).encode()).hexdigest()[:12]

    @cached_property
    def renderer(self) -> Renderer | None:
        """Of the place's world; None where there is none."""
        try:
            folder = world_folder(self.localizer.checkpoint, self.folder, self.world)
        except TransposeError:
            return None
        return Renderer(load_world(folder))

    @cached_property
    def overhead(self) -> Overhead | None:
        """The place from above; None where neither a world nor landmarks say how it looks."""
        return overhead_of(self.localizer.checkpoint, self.renderer)

    def facts(self) -> dict[str, Any]:
        """What clients may know of it."""
        self.renew()
        checkpoint, plan = self.localizer.checkpoint, self.overhead
        return {
            "name": self.name,
            "version": self.version,
            "kind": checkpoint.kind,
            "training_complete": checkpoint.progress.complete,
            "camera": {"width": self.localizer.camera.width, "height": self.localizer.camera.height},
            **checkpoint.unit.as_json(),
            "drawn": self.renderer is not None,
            "map": None if plan is None else plan.facts(),
        }


@dataclass(frozen=True, eq=False)
class Found:
    """What a place said of a photo."""

    place: Place
    answer: Answer

    @property
    def estimate(self) -> PoseEstimate:
        """The place's estimate."""
        return self.answer.estimate

    @property
    def rank(self) -> tuple[bool, float]:
        """The higher, the surer; methods that state no confidence are held against each other by their scores."""
        sure = self.estimate.confidence
        return self.estimate.is_located, self.estimate.score if sure is None else sure

    def as_json(self) -> dict[str, Any]:
        """As `transpose localize` says it, with the place's name, and where on its map the camera is."""
        line = as_json(self.answer, self.estimate, self.answer.seconds, self.place.localizer.checkpoint)
        pose, plan = self.estimate.pose, self.place.overhead
        on_map = None if pose is None or plan is None else plan.at(pose, self.estimate.covariance_66)
        return {**line, "run": self.place.name, "run_version": self.place.version, "on_map": on_map}


def ask(places: Sequence[Place], upload: Upload) -> list[Found]:
    """What each place says of a photo, the surest first.

    Raises:
        TransposeError: a risk or a depth was given, and a place does not say how sure it is, or has no use for depth.
    """
    for place in places:
        if upload.risk is not None:
            check_states_confidence(place.localizer.checkpoint, "risk")
        if upload.depth_hw is not None:
            check_uses_depth(place.localizer, "depth")
    found = [_asked(place, upload) for place in places]
    return sorted(found, key=lambda each: each.rank, reverse=True)


def _asked(place: Place, upload: Upload) -> Found:
    place.renew()
    started = time.perf_counter()
    try:
        query = upload.query(place.localizer.checkpoint.camera)
        estimate = place.localizer.localize_query(query)
    except TransposeError as error:
        return Found(place, Answer.failed(upload.name, error, time.perf_counter() - started))
    return Found(place, Answer.of(upload.name, query, estimate, time.perf_counter() - started))


def names_of(folders: Sequence[Path]) -> list[str]:
    """A name for each run folder: its own, with those above it where several have the same; the model's of `up`.

    Raises:
        TransposeError: a run is named twice.
    """
    full = [folder.resolve() for folder in folders]
    if len(set(full)) < len(full):
        twice = next(folder for folder in full if full.count(folder) > 1)
        raise TransposeError(f"{twice} is named twice")
    called = [_of_model(folder) for folder in full]
    full = called if len(set(called)) == len(full) else full
    parts = [each.parts[1:] for each in full]  # without the root, which no address can hold
    names: list[str] = []
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["-".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{number}-{name}" for number, name in enumerate(names, 1)]  # a/b-c and a-b/c


def _of_model(run: Path) -> Path:
    """Of the run MODEL-transpose/run that `transpose up` makes, MODEL."""
    is_of_up = run.name == "run" and run.parent.name.endswith("-transpose")
    return run.parent.with_name(run.parent.name.removesuffix("-transpose")) if is_of_up else run


def _stamp(folder: Path) -> tuple[int, int, int]:
    found = (folder / MODEL_FILE).stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
