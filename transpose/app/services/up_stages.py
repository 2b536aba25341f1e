"""The stages from an input to a localizer: commands, each decided when those before it are done."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transpose.app.console import tell
from transpose.app.services.recognizing import Recognized
from transpose.errors import TransposeError

if TYPE_CHECKING:
    from transpose.scenes.layout import Section

_TRAINING_SHARE, _FLOWN_TRAINING_SHARE = 0.53, 0.57  # of the minutes; models, views and starting take the others
_VIEWS_A_MINUTE, _FEWEST_VIEWS, _MOST_VIEWS = 120, 32, 960
# What is flown over is seen from anywhere in any direction: landmarks need more views than a limit of time keeps at the
# cost of steps. In minutes, coordinates of a place of this size are not learned anyway.
_FLOWN_VIEWS_A_MINUTE, _MOST_FLOWN_VIEWS, _FLOWN_STEPS = 260, 2600, 300
_WITH_DEPTH = 0.5  # of the frames, from which on a model is fused
_MOST_FUSED = 300  # frames: more add time, not surface
_FOR_TESTS = re.compile(r"(test|val)(?![A-Za-z])")  # so begin the names of sections that are not learned from
RENDERS = "up_sim"


@dataclass(frozen=True)
class UpRequest:
    """What is wanted of `transpose up`, whose flags these fields are."""

    out: Path
    minutes: float = 4.0
    views: int | None = None
    setting: Literal["indoor", "aerial"] | None = None
    viewpoints: str | None = None
    device: str = "cpu"
    seed: int = 0

    def view_count(self, flown: bool = False) -> int:
        """How many views are rendered; more where a model is flown over."""
        a_minute, most = (_FLOWN_VIEWS_A_MINUTE, _MOST_FLOWN_VIEWS) if flown else (_VIEWS_A_MINUTE, _MOST_VIEWS)
        return self.views or max(_FEWEST_VIEWS, min(most, round(a_minute * self.minutes)))


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        name: of the stage, as a person reads it.
        words: behind `transpose`.
        result: the folder that is there once it is done.
    """

    name: str
    words: tuple[str, ...]
    result: Path


@dataclass(frozen=True)
class Goal:
    """What the last stage leaves.

    Attributes:
        run: the localizer.
        world: that it can be shown with; None: there is none.
    """

    run: Path
    world: Path | None


Stages = Iterator[Stage]


class Way:
    """The stages of one input.

    Attributes:
        goal: where they lead; known once all stages were handed out.
    """

    def __init__(self, found: Recognized, request: UpRequest, tell: Callable[[str], None] = lambda _: None) -> None:
        self._found, self._request, self._tell = found, request, tell
        self._scene, self._world, self._run = (request.out / name for name in ("scene", "world", "run"))
        self.goal = Goal(self._run, None)

    def stages(self) -> Stages:
        """One after the other; who takes the next has done the one before it.

        Raises:
            TransposeError: what a stage left does not allow the next.
        """
        found = self._found
        match found.holds:
            case "run":
                self.goal = Goal(found.source, _world_of_run(found.source))
            case "world":
                yield from self._from_world(found.source)
            case "model":
                yield Stage("build", (*found.words, "--out", str(self._world)), self._world)
                yield from self._from_world(self._world)
            case "scene":
                yield from self._from_scene(found.source)
            case "photos":
                train = self._scene / "train"
                yield Stage("set up", (*found.words, "--out", str(self._scene)), train)
                yield from self._from_photos(train)

    def _from_world(self, world: Path) -> Stages:
        from transpose.worlds.renderer import Renderer
        from transpose.worlds.suiting_views import suiting_views
        from transpose.worlds.world import load_world

        flown = False
        if self._request.viewpoints is not None:
            flags: tuple[str, ...] = ("--viewpoints", self._request.viewpoints)
        else:
            loaded = load_world(world)
            _refuse_without_up(world, loaded.up_3.tolist())
            suiting = suiting_views(Renderer(loaded), self._request.setting)
            flown = suiting.setting == "aerial"
            flying, other = ("flown over", "indoor") if flown else ("walked through at eye height", "aerial")
            self._tell(f"{loaded.name} is {flying}: {suiting.because} (else: --{other}, or --viewpoints)")
            flags = suiting.flags
        yield self._rendered(world, self._scene / RENDERS, flags, flown)
        yield self._trained(self._scene, (RENDERS,), flown)
        self.goal = Goal(self._run, world)

    def _from_scene(self, scene: Path) -> Stages:
        from transpose.scenes.layout import open_section, section_names

        there = [name for name in section_names(scene) if name != RENDERS]
        left_out = [name for name in there if _FOR_TESTS.match(name)]
        names = [name for name in there if name not in left_out]
        if not names:
            raise TransposeError(f"{scene} has no section to learn from, only {', '.join(section_names(scene))}")
        if left_out:
            tell(f"{', '.join(left_out)}: not learned from, by the name for tests")
        rendered = [name for name in names if open_section(scene / name).facts.rendered]
        if rendered:
            world = next((w for name in rendered if (w := open_section(scene / name).facts.world)), None)
            yield self._trained(scene, (*rendered, *(name for name in names if name not in rendered)))
            self.goal = Goal(self._run, Path(world) if world and Path(world).is_dir() else None)
            return
        first = "train" if "train" in names else names[0]
        yield from self._from_photos(scene / first, tuple(names))

    def _from_photos(self, section: Path, learned: tuple[str, ...] = ()) -> Stages:
        from transpose.scenes.layout import open_section

        opened = open_section(section)
        learned = learned or (section.name,)
        if not _can_be_fused(opened):
            yield self._trained(section.parent, learned)
            return
        step = math.ceil(len(opened) / _MOST_FUSED)
        every = ("--every", str(step)) if step > 1 else ()
        yield Stage("build", ("build", "rgbd", str(section), "--out", str(self._world), *every), self._world)
        flags = ("--viewpoints", self._request.viewpoints or f"near:{section}")
        yield self._rendered(self._world, section.parent / RENDERS, flags)
        yield self._trained(section.parent, (RENDERS, *learned))
        self.goal = Goal(self._run, self._world)

    def _rendered(self, world: Path, section: Path, flags: tuple[str, ...], flown: bool = False) -> Stage:
        request = self._request
        words = ("render", str(world), "--out", str(section), "--views", str(request.view_count(flown)), *flags)
        return Stage("render", (*words, *_seeded(request.seed)), section)

    def _trained(self, scene: Path, sections: tuple[str, ...], flown: bool = False) -> Stage:
        request = self._request
        words = ("train", str(scene), "--sections", *sections, "--out", str(self._run))
        share = _FLOWN_TRAINING_SHARE if flown else _TRAINING_SHARE
        limit: tuple[str, ...] = ("--minutes", f"{share * request.minutes:g}")
        limit += ("--steps", str(_FLOWN_STEPS)) if flown else ()
        device = () if request.device == "cpu" else ("--device", request.device)
        return Stage("train", (*words, *limit, *_seeded(request.seed), *device), self._run)


def _seeded(seed: int) -> tuple[str, ...]:
    return ("--seed", str(seed)) if seed else ()


def _can_be_fused(section: Section) -> bool:
    """Whether the photos of a section have depth in metres, so that a model can be made of them."""
    with_depth = sum(frame.has("depth") for frame in section.frames)
    return section.facts.metric and with_depth >= max(2, _WITH_DEPTH * len(section))


def _refuse_without_up(world: Path, up: list[float]) -> None:
    if abs(up[2] - 1) > 0.02:
        raise TransposeError(
            f"{world} was fused from a hand-held camera, and its z is not up: no views can be guessed; name the "
            "scene that it was made of, or give --viewpoints near:SCENE/SECTION"
        )


def _world_of_run(run: Path) -> Path | None:
    from transpose import runs

    world = runs.load_model(run).provenance.world
    return Path(world) if world and Path(world).is_dir() else None
