"""The data sets that can be set up, one row each: what it reads of a request, and which function it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError, quoted
from transpose.scenes.setup.archives import obtain
from transpose.scenes.setup.arkit import setup_arkit
from transpose.scenes.setup.cambridge import setup_cambridge
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.crossloc import CrossLocRelease
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photos import ToWorld, setup_photos
from transpose.scenes.setup.polycam import setup_polycam
from transpose.scenes.setup.reconstruct import ReconstructOptions, setup_reconstruct
from transpose.scenes.setup.reconstruct_frame import KnownDistance
from transpose.scenes.setup.record3d import setup_record3d
from transpose.scenes.setup.request import FLAGS, SetupRequest
from transpose.scenes.setup.sevenscenes import setup_7scenes
from transpose.scenes.setup.stray import setup_stray
from transpose.scenes.setup.swiss_world import Degrees, WorldBuilder, set_up_swiss
from transpose.scenes.setup.tum import TOLERANCE_S, TumOptions, setup_tum
from transpose.scenes.setup.twelvescenes import setup_12scenes
from transpose.scenes.setup.unposed_photos import Placer
from transpose.scenes.setup.video import setup_video

_MARGIN_M = 1000.0


@dataclass(frozen=True)
class Services:
    """What rows need of whoever calls them: rooms above this one, and eyes to see what goes on.

    Attributes:
        to_world: of a world's folder and a file to name in errors: what brings poses into the world's frame.
        area: longitudes and latitudes of one of CrossLoc's areas, by name.
        build_terrain: builds a world of Swiss tiles.
        place_photos: finds the poses of photos that have none.
        progress: wraps items as they are worked through, given what is done to them.
        tell: says something beside the results.
    """

    to_world: Callable[[Path, Path], ToWorld]
    area: Callable[[str], Degrees]
    build_terrain: WorldBuilder
    place_photos: Placer
    progress: Callable[[Sequence[Any], str], Iterable[Any]] = lambda items, _: items
    tell: Callable[[str], None] = lambda _: None

    def shown(self, frames: Sequence[Any], section: str) -> Iterable[Any]:
        """Progress over the frames of a section."""
        return self.progress(frames, f"setting up {section}")


@dataclass(frozen=True)
class DataSet:
    """A row.

    Attributes:
        set_up: does it, and returns sections or lines to print.
        reads: options that it reads; others are refused, not ignored.
        needs: those that it cannot do without.
        hint: what to do instead of an option that it does not read.
    """

    set_up: Callable[[SetupRequest, Services], Sequence[Path | str]]
    reads: tuple[str, ...]
    needs: tuple[str, ...] = ("source",)
    hint: str = ""


def set_up(request: SetupRequest, services: Services) -> list[str]:
    """Sets up a data set, after fetching it where that is asked for.

    Returns:
        The section folders written, or other lines to print.

    Raises:
        TransposeError: an option says something to a data set that does not read it, one is missing, or the data set
            is broken.
    """
    row = SET_UP[request.dataset]
    if unread := [FLAGS[name][0] for name in request.given if name not in row.reads]:
        read = ", ".join(FLAGS[name][0] for name in row.reads)
        hint = row.hint.format(dataset=request.dataset)
        raise TransposeError(f"setup {request.dataset} does not read {' and '.join(unread)}, only {read}{hint}")
    for name in row.needs:
        if name not in request.given:
            raise TransposeError(f"setup {request.dataset} needs {FLAGS[name][0]}, {FLAGS[name][1]}")
    if request.list_file and not request.section:
        raise TransposeError("--list needs --section, the name of the section that gets these frames")
    for named in (request.list_file, request.poses):
        if named is not None and not named.exists() and request.source and (request.source / named).is_file():
            raise TransposeError(f"{named} does not exist from here; name it whole: {quoted(request.source / named)}")
    if (request.only or request.accept_licence) and not request.download:
        raise TransposeError("--only and --accept-licence are about what --download fetches; give it too")
    if request.download and "accept_licence" in row.reads:
        obtain(
            request.dataset,
            request.read_from,
            request.only,
            request.accept_licence,
            lambda names: services.progress(names, "fetching"),
        )
    return [str(line) for line in row.set_up(request, services)]


def _seven_scenes(request: SetupRequest, services: Services) -> list[Path]:
    source = request.read_from
    scenes = sorted({path.parent for path in source.glob("*/seq-*")})
    if any(source.glob("seq-*")) or not scenes:
        return setup_7scenes(source, request.out, request.poses, request.section, request.list_file, services.shown)
    if request.poses or request.section:
        names = ", ".join(scene.name for scene in scenes)
        raise TransposeError(f"{source} holds several scenes ({names}); --poses and --section are for one of them")
    return [
        path for scene in scenes for path in setup_7scenes(scene, request.out / scene.name, progress=services.shown)
    ]


def _twelve_scenes(request: SetupRequest, services: Services) -> list[Path]:
    return setup_12scenes(request.read_from, request.out, request.section, request.list_file, services.shown)


def _cambridge(request: SetupRequest, services: Services) -> list[Path]:
    return setup_cambridge(request.read_from, request.out, request.section, request.list_file, services.shown)


def _colmap(request: SetupRequest, services: Services) -> list[Path]:
    section = request.section or "train"
    return setup_colmap(
        request.read_from,
        request.out,
        section,
        request.list_file,
        services.shown,
        images=request.images,
        unit_m=request.unit_m,
    )


def _nerfstudio(request: SetupRequest, services: Services) -> list[Path]:
    return setup_nerfstudio(
        request.read_from,
        request.out,
        request.section,
        request.list_file,
        services.shown,
        images=request.images,
        unit_m=request.unit_m,
    )


def _photos(request: SetupRequest, services: Services) -> list[Path]:
    source, section = request.read_from, request.section or "test"
    assert request.world is not None, "set_up asks for it"
    to_world = services.to_world(request.world, source / "poses.json")
    return setup_photos(source, request.out, section, to_world, request.list_file, services.shown)


def _of_unposed(request: SetupRequest) -> ReconstructOptions:
    distance = None if request.scale_from is None else KnownDistance(*request.scale_from)
    return ReconstructOptions(request.focal_px, distance, request.seed or 0)


def _reconstruct(request: SetupRequest, services: Services) -> list[Path]:
    section, options = request.section or "train", _of_unposed(request)
    return setup_reconstruct(
        request.read_from, request.out, section, services.place_photos, options, request.list_file, services.progress
    )


def _video(request: SetupRequest, services: Services) -> list[Path]:
    section, options = request.section or "train", _of_unposed(request)
    return setup_video(
        request.read_from, request.out, section, services.place_photos, options, services.progress, request.every
    )


def _tum(request: SetupRequest, services: Services) -> list[Path]:
    options = TumOptions(
        request.poses,
        request.camera,
        request.depth_steps_per_m,
        TOLERANCE_S if request.tolerance_s is None else request.tolerance_s,
        0.0 if request.delay_s is None else request.delay_s,
    )
    section = request.section or "train"
    return setup_tum(request.read_from, request.out, section, request.list_file, services.shown, options)


def _phone(set_up_recording: Callable[..., list[Path]]) -> Callable[[SetupRequest, Services], list[Path]]:
    """The row of a phone's recordings, which all take the same options."""

    def set_it_up(request: SetupRequest, services: Services) -> list[Path]:
        section, shown = request.section or "train", services.shown
        return set_up_recording(request.read_from, request.out, section, request.list_file, shown, request.every)

    return set_it_up


def _crossloc(request: SetupRequest, services: Services) -> list[Path]:
    return CrossLocRelease(request.dataset, request.read_from, request.out, request.copy, services.shown).run()


def _swiss(request: SetupRequest, services: Services) -> list[str]:
    assert request.area is not None, "set_up asks for it"
    margin_m = _MARGIN_M if request.margin_m is None else request.margin_m
    place = services.area(request.area)
    if not request.download:
        return set_up_swiss(place, request.source, request.out, margin_m, None, services.progress, services.tell)
    return set_up_swiss(
        place, request.source, request.out, margin_m, services.build_terrain, services.progress, services.tell
    )


_LISTED = ("source", "section", "list_file")
_OF_UNKNOWN_UNIT = ("metric", "metres_per_unit")
_FETCHED = ("download", "only", "accept_licence")
_CROSSLOC = DataSet(
    _crossloc,
    ("source", "copy"),
    hint="; it sets up all sections with the release's poses, and a split of your own goes into "
    "{dataset}_GROUP_split.txt in --source",
)
SET_UP = {
    "7scenes": DataSet(_seven_scenes, (*_LISTED, "poses", *_FETCHED)),
    "12scenes": DataSet(_twelve_scenes, (*_LISTED, *_FETCHED)),
    "cambridge": DataSet(_cambridge, (*_LISTED, *_FETCHED)),
    "epfl": _CROSSLOC,
    "comballaz": _CROSSLOC,
    "colmap": DataSet(_colmap, (*_LISTED, "images", *_OF_UNKNOWN_UNIT)),
    "nerfstudio": DataSet(_nerfstudio, (*_LISTED, "images", *_OF_UNKNOWN_UNIT)),
    "photos": DataSet(_photos, (*_LISTED, "world"), needs=("source", "world")),
    "reconstruct": DataSet(_reconstruct, (*_LISTED, "focal_px", "scale_from", "seed")),
    "tum": DataSet(_tum, (*_LISTED, "poses", "camera", "depth_steps_per_m", "tolerance_s", "delay_s")),
    "stray": DataSet(_phone(setup_stray), (*_LISTED, "every")),
    "polycam": DataSet(_phone(setup_polycam), (*_LISTED, "every")),
    "record3d": DataSet(_phone(setup_record3d), (*_LISTED, "every")),
    "arkit": DataSet(_phone(setup_arkit), (*_LISTED, "every")),
    "video": DataSet(_video, ("source", "section", "every", "focal_px", "scale_from", "seed")),
    "swiss": DataSet(_swiss, ("source", "area", "margin_m", "download"), needs=("area",)),
}
