"""Asks every recognizer, and decides where several say yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transpose.app.services.recognizing import of_folders
from transpose.app.services.recognizing.kinds import NearMiss, Recognized, Recognizer
from transpose.app.services.recognizing.of_files import file_kind
from transpose.app.services.recognizing.rasters import terrain_of
from transpose.errors import TransposeError, first_few

# What says most of a place comes first: what this program wrote, recordings with poses, models, photos alone.
FOLDERS: dict[str, Recognizer] = {
    "run": of_folders.run_folder,
    "world": of_folders.world_folder,
    "scene": of_folders.scene_folder,
    "7scenes": of_folders.seven_scenes,
    "12scenes": of_folders.twelve_scenes,
    "cambridge": of_folders.cambridge,
    "crossloc": of_folders.crossloc,
    "tum": of_folders.tum,
    "stray": of_folders.stray,
    "polycam": of_folders.polycam,
    "record3d": of_folders.record3d,
    "arkit": of_folders.arkit,
    "nerfstudio": of_folders.nerfstudio,
    "colmap": of_folders.colmap,
    "odm": of_folders.odm,
    "terrain": of_folders.terrain,
    "model": of_folders.model_in,
    "video": of_folders.film_in,
    "reconstruct": of_folders.photos,
}
KINDS = tuple(FOLDERS)
_PICTURES_ALONE = ("video", "reconstruct")
_KNOWN = (
    "meshes (OBJ, GLB, glTF, PLY), point clouds (LAS, LAZ, PLY), a surface model with its orthophoto (GeoTIFF), "
    "OpenDroneMap, RGB-D (7-Scenes, 12-Scenes, TUM, Stray Scanner, Polycam, Record3D, 3D Scanner App, ARKitScenes), "
    "COLMAP, Nerfstudio, Cambridge Landmarks, photos, a video, and worlds, scenes and runs of TransPose"
)


def recognize(paths: Sequence[Path], wanted: str | None = None) -> tuple[Recognized, list[str]]:
    """What an input is, and what it might be taken for as well, or lacks for it, a line each.

    Args:
        paths: a file or a folder; several are rasters of one terrain.
        wanted: one of `KINDS`, to decide what a folder is taken for.

    Raises:
        TransposeError: it is not known: what was seen and what is known.
    """
    for path in paths:
        if not path.exists():
            raise TransposeError(f"{path} does not exist")
    if len(paths) > 1:
        return _terrain(paths), []
    (path,) = paths
    known = _file(path) if path.is_file() else _folder(path, wanted, within=True)
    if known is None:
        here = of_folders.contents(path)
        if wanted is not None:
            raise TransposeError(f"{path} does not look like {wanted}: it holds {here}")
        raise TransposeError(f"{path} is not recognized: it holds {here}; known: {_KNOWN}")
    return known


def _folder(path: Path, wanted: str | None, within: bool) -> tuple[Recognized, list[str]] | None:
    """What a folder is, or, where nothing here is known and `within`, the only one of its folders that is known.

    Raises:
        TransposeError: it lacks something, or several of its folders are known.
    """
    said = {kind: recognizer(path) for kind, recognizer in FOLDERS.items() if wanted in (None, kind)}
    found = {kind: each for kind, each in said.items() if isinstance(each, Recognized)}
    misses = [each.why for each in said.values() if isinstance(each, NearMiss)]
    if not found:
        if misses:
            raise TransposeError("; ".join(misses))
        return _within(path, wanted) if within else None
    taken, *others = found
    # Pictures and films are in recordings of every kind.
    notes = [
        f"it might be {found[kind].what} as well ({found[kind].saw}); --kind {kind} takes it for that"
        for kind in others
        if kind not in _PICTURES_ALONE
    ]
    return found[taken], [*notes, *(misses if taken in _PICTURES_ALONE else ())]


def _within(path: Path, wanted: str | None) -> tuple[Recognized, list[str]] | None:
    """An archive that was unpacked leaves a folder within a folder of its name."""
    known: dict[Path, tuple[Recognized, list[str]]] = {}
    lacking = None
    for each in sorted(path.iterdir()):
        if not each.is_dir() or each.name.startswith("."):
            continue
        try:
            if (inner := _folder(each, wanted, within=False)) is not None:
                known[each] = inner
        except TransposeError as error:
            lacking = lacking or error
    if not known:
        if lacking is not None:
            raise lacking
        return None
    if len(known) > 1:
        named = first_few([f"{each.name}/: {found.what}" for each, (found, _) in known.items()])
        raise TransposeError(f"{path} holds several folders that are known ({named}); name one of them")
    ((each, (found, notes)),) = known.items()
    return found, [f"it is {each.name}/ in {path}", *notes]


def _file(path: Path) -> tuple[Recognized, list[str]]:
    found = file_kind(path)
    if isinstance(found, NearMiss):
        raise TransposeError(found.why)
    if found is None:
        size = path.stat().st_size
        raise TransposeError(f"{path} is not recognized by its content ({size} bytes); known: {_KNOWN}")
    return found, []


def _terrain(paths: Sequence[Path]) -> Recognized:
    if others := [path for path in paths if not path.is_file()]:
        raise TransposeError(f"{others[0]} is no file; of several inputs each is a GeoTIFF of one terrain")
    found = terrain_of(paths, paths[0])
    if isinstance(found, NearMiss):
        raise TransposeError(found.why)
    return replace(found, source=paths[0])
