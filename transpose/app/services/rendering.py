"""Rendering labelled views of a world into a section: which views, by what plan, and what is done already."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transpose.app.services.render_request import RenderRequest

if TYPE_CHECKING:
    from transpose.scenes.layout import Section
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.viewpoints import ViewCheck, Viewpoint
    from transpose.worlds.workers import ClusterWorkers, Workers
    from transpose.worlds.world import World


_MOST_VIEWS = 1_000_000
_LOOKED_AT = 24  # of a section's poses, before they are rendered

# Flags that views without a section's poses and cameras read.
_OF_CAMERAS = ("size", "focal", "distortion")
_OF_WALKS = ("pace", "turn")
_OF_FREE_PLACES = ("above", "yaw", "pitch", "roll", "margin", *_OF_WALKS)
_OF_FREE_VIEWS = ("like", *_OF_CAMERAS, *_OF_FREE_PLACES)
_OF_OFFSETS = ("offset", "offset_angles")
_OF_WHOLE = ("views", "min_seen", "min_depth", *_OF_OFFSETS)  # what a twin of each photo of a section does not read
_OF_APPEARANCES = ("appearance_strength", "appearance_seed")
_STRONGEST = 3.0  # beyond which photos of a later day show hardly anything


def render(request: RenderRequest) -> list[Path]:
    """Renders, going on where an equal request was cut off; returns the sections' folders."""
    from transpose.worlds.workers import preload

    preload()  # first of all: it goes on beside the imports that follow
    from transpose.errors import TransposeError
    from transpose.ownership import sole_writer
    from transpose.scenes.layout import split_section_path
    from transpose.worlds.render_section import PARTS

    _check_numbers(request)
    if request.views < 1 or not 0 <= request.min_seen <= 1 or min(request.size) < 16 or request.focal_px <= 0:
        raise TransposeError("--views, --size and --focal must be positive, --min-seen between 0 and 1")
    if request.views > _MOST_VIEWS:
        raise TransposeError(f"--views {request.views} are more than a section can hold; at most {_MOST_VIEWS:,}")
    if not 0 <= request.margin < 0.5:
        raise TransposeError(
            f"--margin is a share of the extent at each side, from 0 to below 0.5, not {request.margin}"
        )
    if not -90 <= min(request.pitch) <= max(request.pitch) <= 90:
        raise TransposeError(f"--pitch goes from -90 (straight down) to 90, not {request.pitch}")
    if not 0 <= request.appearance_strength <= _STRONGEST:
        raise TransposeError(f"--appearance-strength is from 0 to {_STRONGEST:g}, not {request.appearance_strength:g}")
    if request.appearance == "plain":
        _refuse_unread(request, _OF_APPEARANCES, "--appearance plain", "they go with --appearance photo")
    if request.split and (min(request.split) < 0 or sum(request.split) != 100):
        raise TransposeError(f"--split needs three shares that make 100 per cent, not {request.split}")
    scene, section = split_section_path(request.out)
    sections = [f"{part}_{section}" for part in PARTS] if request.split else [section]
    folders = [scene / name for name in sections]
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(sole_writer(folder))
        _render_missing(request, folders)
    return folders


def _check_numbers(request: RenderRequest) -> None:
    from transpose.errors import TransposeError

    for each in dataclasses.fields(request):
        value = getattr(request, each.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise TransposeError(f"--{each.name.replace('_', '-')} needs numbers, not {number}")


def _render_missing(request: RenderRequest, folders: list[Path]) -> None:
    """Renders those of the sections that are not there."""
    from transpose.app.console import progress, tell
    from transpose.worlds.render_section import draw_appearance, render_section, split_viewpoints
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import load_world

    _check_out(request, folders)
    world = load_world(request.world)
    plan, assumed = _plan(request, world), request.camera_assumed()
    if all(_is_done(folder, plan, assumed) for folder in folders):
        tell(f"{request.out} is rendered already")
        return
    photo = request.appearance == "photo"
    appearance = draw_appearance(request.appearance_seed, request.appearance_strength) if photo else None
    with _workers(request) as workers:  # they load the world while viewpoints are chosen
        viewpoints = _viewpoints(request, Renderer(world))
        tell(f"{len(viewpoints)} views of {world.name}")
        parts = split_viewpoints(viewpoints, request.split, request.seed) if request.split else [viewpoints]
        for folder, some in zip(folders, parts, strict=True):
            if _is_done(folder, plan, assumed):
                continue
            render_section(
                workers,
                some,
                (folder.parent, folder.name),
                plan,
                appearance=appearance,
                seed=request.seed,
                camera_assumed=assumed,
                progress=lambda stems, done, total: progress(stems, "rendering", total, done),
            )


def _check_out(request: RenderRequest, folders: list[Path]) -> None:
    """Refuses to put renders in the place of photos, or of the very section that they follow."""
    from transpose.errors import TransposeError
    from transpose.scenes.writer import refuse_other_kind

    kind, _, where = request.viewpoints.partition(":")
    read = [request.like, Path(where) if where and kind in ("near", "at") else None]
    for folder in folders:
        refuse_other_kind(folder, rendered=True)
        if any(each is not None and each.resolve() == folder.resolve() for each in read):
            raise TransposeError(f"{folder} is the section whose views are followed; name another one with --out")


def _workers(request: RenderRequest) -> Workers | ClusterWorkers:
    from transpose.worlds.workers import ClusterWorkers, Workers

    if request.cluster is None:
        return Workers(request.world, request.processes)
    return ClusterWorkers(request.world, None if request.cluster == "local" else request.cluster, request.processes)


def _plan(request: RenderRequest, world: World) -> dict[str, Any]:
    """What determines the views: the world, what they are to be like, and all flags but where they go and how many
    processes make them."""
    given = {each.name: getattr(request, each.name) for each in dataclasses.fields(RenderRequest)}
    given["focal"] = request.focal_px
    elsewhere = ("out", "processes", "cluster", "any_camera")  # of them the views say nothing
    plan = {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name not in elsewhere and not (name in ("split", "north_up") and not value)
    }
    size = {"triangles": len(world.faces_f3), "vertices": len(world.vertices_v3), "facts": world.facts}
    return {**plan, **size, "contents": _contents(request, world)}


def _contents(request: RenderRequest, world: World) -> dict[str, str]:
    """Digests of what the flags name, since a world may be built, and a section be made, anew under its name."""
    from transpose.errors import TransposeError
    from transpose.scenes.digest import file_digest, views_digest
    from transpose.worlds.digest import world_digest

    contents = {"world": world_digest(world)}
    kind, _, where = request.viewpoints.partition(":")
    with contextlib.suppress(TransposeError):  # what is missing or broken is told where views are chosen by it
        if request.like is not None:
            contents["like"] = views_digest(request.like)
        if where:
            contents["viewpoints"] = (views_digest if kind in ("near", "at") else file_digest)(Path(where))
    return contents


def _is_done(section: Path, plan: dict[str, Any], assumed: bool) -> bool:
    """Whether the views are there; what is said of their camera is noted, should it have been said otherwise before."""
    from transpose.scenes.facts import SECTION_FILE, read_section_facts, record_in_scene, write_section_facts
    from transpose.scenes.writer import complete

    # A scene's index may still name a section whose folder somebody has removed.
    there = (section / "poses").is_dir() and _is_of(plan, (facts := read_section_facts(section)).plan)
    if there:
        complete(section)
        if facts.camera_assumed != assumed and (section / SECTION_FILE).exists():
            write_section_facts(section, {**facts.record, "camera_assumed": assumed})
            record_in_scene(section.parent)
    return there


def _is_of(plan: dict[str, Any], made: Any) -> bool:
    """Whether views were made by a plan; earlier versions did not note what it held."""
    known = isinstance(made, dict) and "contents" in made
    return bool(made == (plan if known else {name: each for name, each in plan.items() if name != "contents"}))


def _viewpoints(request: RenderRequest, renderer: Renderer) -> list[Viewpoint]:
    from transpose.errors import TransposeError
    from transpose.worlds import viewpoints as ways

    check = ways.ViewCheck(min_seen=request.min_seen, min_median_depth_m=request.min_depth)
    kind, _, where = request.viewpoints.partition(":")
    if request.area is not None and (kind not in ("lhs", "walk") or where):
        raise TransposeError("--area goes with --viewpoints lhs or walk")
    if request.north_up and (kind not in ("lhs", "walk", "flight") or where):
        raise TransposeError("--north-up goes with --viewpoints lhs, walk or flight")
    if request.like is not None and kind in ("lhs", "walk", "inside", "flight"):
        _refuse_unread(request, _OF_CAMERAS, "--like", "the camera is that of its section")
    if kind in ("lhs", "walk", "inside", "flight") and not where:
        unread = [*_OF_OFFSETS, *(() if kind == "walk" else _OF_WALKS), *(() if request.area else ("geoid",))]
        goes = "--pace and --turn go with walk, --offset with near:, --geoid with --area and flight:FILE"
        _refuse_unread(request, unread, f"--viewpoints {kind}", goes)
        found = _within_ranges(request, renderer, kind, check)
        return [ways.north_up(each) for each in found] if request.north_up else found
    if kind == "flight":
        unread = ["views", *_OF_FREE_PLACES, *_OF_OFFSETS]
        _refuse_unread(request, unread, "--viewpoints flight:FILE", "the poses are those of the file")
        return _flown(request, renderer, Path(where), check)
    if kind in ("near", "at") and where:
        what = "poses and cameras are those of its section" if kind == "at" else "cameras are those of its section"
        unread = [*_OF_FREE_VIEWS, *(_OF_WHOLE if kind == "at" else ()), "geoid"]
        _refuse_unread(request, unread, f"--viewpoints {kind}:", what)
    if kind == "near" and where:
        pitch, yaw, roll = request.offset_angles
        offsets = ways.NearOffsets(request.offset, pitch, yaw, roll)
        return ways.near_section(renderer, _posed(Path(where)), request.views, request.seed, offsets, check)
    if kind == "at" and where:
        found = ways.at_section(_posed(Path(where)))
        _tell_if_nothing_is_seen(found, renderer)
        return found
    raise TransposeError(
        "--viewpoints is lhs, walk, inside, flight, flight:FILE, near:SCENE/SECTION or at:SCENE/SECTION, "
        f"not {request.viewpoints}"
    )


def _refuse_unread(request: RenderRequest, unread: Sequence[str], flag: str, because: str) -> None:
    """Refuses fields that a flag makes pointless."""
    from transpose.errors import TransposeError

    default = {each.name: each.default for each in dataclasses.fields(request)}
    said = [f"--{name.replace('_', '-')}" for name in unread if getattr(request, name) != default[name]]
    if said:
        raise TransposeError(f"{flag} does not read {' and '.join(said)}; {because}")


def _tell_if_nothing_is_seen(viewpoints: list[Viewpoint], renderer: Renderer) -> None:
    from transpose.app.console import tell
    from transpose.selection import evenly_chosen

    some = [viewpoints[i] for i in evenly_chosen(len(viewpoints), min(_LOOKED_AT, len(viewpoints)))]
    if some and not any(renderer.glance(each.camera, each.pose).seen_hw.any() for each in some):
        tell(f"none of {len(some)} views shows anything of the world; do section and world share one frame?")


def _posed(path: Path) -> Section:
    """The section whose poses are rendered; says so where nobody said that they are in the world's unit."""
    from transpose.app.console import tell
    from transpose.scenes.layout import open_section

    section = open_section(path)
    if not section.facts.metric:
        tell(
            f"{path} is in a unit of its own, which is taken for the world's metre; where it is another, set it up "
            "again with --unit METRES_PER_UNIT"
        )
    return section


def _within_ranges(request: RenderRequest, renderer: Renderer, kind: str, check: ViewCheck) -> list[Viewpoint]:
    from transpose.worlds import areas
    from transpose.worlds import viewpoints as ways
    from transpose.worlds.inside import inside_rooms

    ranges = ways.HypercubeRanges(request.above, request.yaw, request.pitch, request.roll, request.margin)
    camera = request.camera()
    if kind == "walk":
        within = areas.AREAS[request.area] if request.area else ranges
        pace = areas.Pace(request.pace, request.turn)
        return areas.random_walk(renderer, camera, request.views, request.seed, within, check, pace, request.geoid)
    if request.area:
        area = areas.AREAS[request.area]
        return areas.area_hypercube(renderer, camera, request.views, request.seed, area, check, request.geoid)
    way = {"lhs": ways.latin_hypercube, "inside": inside_rooms, "flight": ways.survey_flight}[kind]
    return way(renderer, camera, request.views, request.seed, ranges, check)


def _flown(request: RenderRequest, renderer: Renderer, path: Path, check: ViewCheck) -> list[Viewpoint]:
    from transpose.app.console import tell
    from transpose.errors import TransposeError
    from transpose.worlds.flights import read_flight

    flight = read_flight(path, renderer.world, request.camera(), request.geoid)
    seeing = [v for v in flight if check.accepts(renderer.glance(v.camera, v.pose))]
    if not seeing:
        raise TransposeError(
            f"none of the {len(flight)} views of {path} sees enough of world {renderer.world.name}; "
            "is it the same place, and is --geoid right?"
        )
    if len(seeing) < len(flight):
        tell(f"{len(flight) - len(seeing)} of {len(flight)} views see too little of the world and are left out")
    return seeing
