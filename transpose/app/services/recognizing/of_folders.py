"""Folders by the files that stand in them: one recognizer a kind."""

from __future__ import annotations

from pathlib import Path

from transpose import runs
from transpose.app.services.recognizing.kinds import NearMiss, Recognized, Recognizer, model_kind, photos_kind
from transpose.app.services.recognizing.of_files import MODEL_ENDINGS, file_kind
from transpose.app.services.recognizing.rasters import HEADS, rasters_in, terrain_of
from transpose.errors import TransposeError, first_few
from transpose.scenes.image_kinds import IMAGE_ENDINGS, photos_in
from transpose.scenes.layout import section_names
from transpose.scenes.setup.arkit import find_arkit
from transpose.scenes.setup.cambridge import MODEL_FILE
from transpose.scenes.setup.colmap_files import find_model
from transpose.scenes.setup.photo_files import usual_folders
from transpose.scenes.setup.twelvescenes import is_room
from transpose.storage import head_of
from transpose.worlds.odm import is_odm_project

_FEWEST_PHOTOS = 3  # of which poses can be found
_FEWEST_TILES = 2
_FILM_ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")


def run_folder(folder: Path) -> Recognized | NearMiss | None:
    """What `train` writes."""
    if (folder / runs.MODEL_FILE).is_file():
        return Recognized("run", "a trained run", runs.MODEL_FILE, "run", folder)
    if (folder / runs.STATE_FILE).is_file():
        return NearMiss(f"{folder} is a run that was cut off; go on with its training by: transpose train ... --resume")
    return None


def world_folder(folder: Path) -> Recognized | None:
    """What `build` writes."""
    there = (folder / "world.json").is_file() and (folder / "mesh.npz").is_file()
    files = (folder / "world.json",)
    return Recognized("world", "a world", "world.json and mesh.npz", "world", folder, (), files) if there else None


def scene_folder(folder: Path) -> Recognized | NearMiss | None:
    """What `setup` and `render` write."""
    sections = [name for name in section_names(folder) if (folder / name / "poses").is_dir()]
    if sections:
        return Recognized("scene", "a scene folder", f"its sections {first_few(sections)}", "scene", folder)
    if (folder / "rgb").is_dir() and (folder / "poses").is_dir():
        return NearMiss(f"{folder} is a section of a scene; name the scene folder {folder.absolute().parent}")
    return None


def seven_scenes(folder: Path) -> Recognized | NearMiss | None:
    """7-Scenes' raw layout."""
    first = next(iter(sorted(folder.glob("seq-*/frame-*.color.*"))), None)
    if first is None:
        return _one_of(sorted({path.parent for path in folder.glob("*/seq-*")}), "scenes of 7-Scenes", seven_scenes)
    if next(folder.glob("seq-*/frame-*.pose.txt"), None) is None:
        return NearMiss(
            f"{folder} is RGB-D in 7-Scenes' layout without poses (frame-*.pose.txt), without which depth cannot be "
            f"joined; name the photos alone, {first.parent}, to have poses found"
        )
    truth = folder / "pgt_sfm.txt"
    more = ("--poses", str(truth)) if truth.is_file() else ()
    saw = f"{first.relative_to(folder)} with pose.txt{' and pgt_sfm.txt' if more else ''}"
    return photos_kind("7scenes", "RGB-D in 7-Scenes' layout", saw, folder, *more)


def twelve_scenes(folder: Path) -> Recognized | NearMiss | None:
    """A room of 12-Scenes."""
    if is_room(folder):
        return photos_kind("12scenes", "a room of 12-Scenes", "info.txt and data/", folder)
    rooms = [path for path in sorted([*folder.glob("*/"), *folder.glob("*/*/")]) if is_room(path)]
    return _one_of(rooms, "rooms of 12-Scenes", twelve_scenes)


def cambridge(folder: Path) -> Recognized | NearMiss | None:
    """A scene of Cambridge Landmarks."""
    if (folder / MODEL_FILE).is_file():
        return photos_kind("cambridge", "a scene of Cambridge Landmarks", MODEL_FILE, folder)
    scenes = sorted(path.parent for path in folder.glob(f"*/{MODEL_FILE}"))
    return _one_of(scenes, "scenes of Cambridge Landmarks", cambridge)


def _one_of(folders: list[Path], what: str, recognizer: Recognizer) -> Recognized | NearMiss | None:
    """The only one of some folders within a folder, or that one of several is to be named."""
    if len(folders) < 2:
        return recognizer(folders[0]) if folders else None
    named = first_few([path.name for path in folders])
    return NearMiss(f"{folders[0].parent} holds {what} ({named}); name one of them")


def crossloc(folder: Path) -> NearMiss | None:
    """CrossLoc's releases, which do not say of which place they are."""
    if not any(folder.glob("[!.]*-LHS")) and next(folder.glob("[!.]*_poses.npy"), None) is None:
        return None
    how = f"transpose setup epfl --source {folder} --out SCENE, or comballaz, and name that scene"
    return NearMiss(f"{folder} is of CrossLoc's data or of TOPO-DataGen; say of which place: {how}")


def tum(folder: Path) -> Recognized | NearMiss | None:
    """TUM RGB-D's layout."""
    if not (folder / "rgb.txt").is_file():
        return None
    if not (folder / "groundtruth.txt").is_file():
        return NearMiss(
            f"{folder} is RGB-D in TUM's layout (rgb.txt) without poses (groundtruth.txt); give some: transpose setup "
            f"tum --source {folder} --poses FILE --out SCENE, and name that scene"
        )
    saw = first_few([name for name in ("rgb.txt", "depth.txt", "groundtruth.txt") if (folder / name).is_file()])
    return photos_kind("tum", "RGB-D in TUM's layout", saw, folder)


def stray(folder: Path) -> Recognized | NearMiss | None:
    """Stray Scanner's recordings."""
    film, poses = (folder / "rgb.mp4").is_file(), (folder / "odometry.csv").is_file()
    if film and poses:
        return photos_kind("stray", "a recording of Stray Scanner", "rgb.mp4 and odometry.csv", folder)
    if film or poses:
        lacks = "odometry.csv, its poses" if film else "rgb.mp4, its photos"
        return NearMiss(f"{folder} looks like a recording of Stray Scanner but lacks {lacks}; export it again")
    return None


def polycam(folder: Path) -> Recognized | NearMiss | None:
    """Polycam's raw exports."""
    for base in (folder / "keyframes", folder):
        for name in ("corrected_cameras", "cameras"):
            if next((base / name).glob("[!.]*.json"), None) is not None:
                saw = f"{name}/*.json" if base == folder else f"keyframes/{name}/*.json"
                return photos_kind("polycam", "a raw export of Polycam", saw, folder)
    if (folder / "keyframes" / "images").is_dir():
        return NearMiss(
            f"{folder} is an export of Polycam without cameras (keyframes/cameras); export raw data, which its "
            "settings offer under developer mode"
        )
    return None


def record3d(folder: Path) -> Recognized | None:
    """Record3D's archive, unpacked or alone in a folder."""
    if (folder / "metadata").is_file() and (folder / "rgbd").is_dir():
        return photos_kind("record3d", "a recording of Record3D", "metadata and rgbd/", folder)
    archives = sorted(folder.glob("[!.]*.r3d"))
    if len(archives) == 1 and isinstance(found := file_kind(archives[0]), Recognized):
        return found
    return None


def arkit(folder: Path) -> Recognized | NearMiss | None:
    """Recordings of ARKit with a file for each frame: the 3D Scanner App's, and ARKitScenes'."""
    try:
        found = find_arkit(folder)
    except TransposeError as error:
        return NearMiss(str(error))
    if found is None:
        return None
    recording, layout = found
    where = "" if recording == folder else f"{recording.name}/"
    return photos_kind("arkit", layout.what, f"{where}{layout.seen_by}", recording)


def nerfstudio(folder: Path) -> Recognized | None:
    """Nerfstudio's and NeRF's projects."""
    names = ("transforms.json", *(f"transforms_{part}.json" for part in ("train", "val", "test")))
    found = [name for name in names if (folder / name).is_file()]
    if not found:
        return None
    return photos_kind("nerfstudio", "a Nerfstudio or Instant-NGP project", first_few(found), folder)


def colmap(folder: Path) -> Recognized | None:
    """COLMAP's projects."""
    try:
        model = find_model(folder)
    except (TransposeError, OSError):
        return None
    where = "." if model == folder else str(model.relative_to(folder))
    return photos_kind("colmap", "a COLMAP project", f"cameras and images in {where}", folder)


def odm(folder: Path) -> Recognized | None:
    """OpenDroneMap's and WebODM's projects."""
    if not is_odm_project(folder):
        return None
    return model_kind("odm", "an OpenDroneMap project", first_few(_names(folder, "odm_")), folder)


def terrain(folder: Path) -> Recognized | NearMiss | None:
    """Heights and orthophotos."""
    tiles = [path for path in rasters_in(folder) if path.suffix == ".vrt" or head_of(path).startswith(HEADS)]
    return terrain_of(tiles, folder) if len(tiles) >= _FEWEST_TILES else None


def model_in(folder: Path) -> Recognized | NearMiss | None:
    """A mesh or cloud beside whatever else."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in MODEL_ENDINGS and path.is_file()]
    found = [(path, file_kind(path)) for path in files]
    models = [each for _, each in found if isinstance(each, Recognized)]
    if len(models) > 1:
        named = first_few([each.source.name for each in models])
        return NearMiss(f"{folder} holds several models ({named}); name the one that is wanted")
    if models:
        return models[0]
    return next((each for _, each in found if isinstance(each, NearMiss)), None)


def film_in(folder: Path) -> Recognized | NearMiss | None:
    """A video beside whatever else."""
    films = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _FILM_ENDINGS and path.is_file()]
    if len(films) > 1:
        named = first_few([path.name for path in films])
        return NearMiss(f"{folder} holds several videos ({named}); name the one that is wanted")
    return file_kind(films[0]) if films else None


def photos(folder: Path) -> Recognized | NearMiss | None:
    """Photos of which nothing else is known."""
    fewer = None
    for place in usual_folders(folder):
        found = photos_in(place)[0]
        if len(found) >= _FEWEST_PHOTOS:
            where = f" in {place.name}/" if place != folder else ""
            saw = f"{len(found)} pictures{where}, and no poses"
            return photos_kind("reconstruct", "photos without poses", saw, folder)
        if found:
            fewer = NearMiss(f"{place} holds {len(found)} pictures and no model; poses need {_FEWEST_PHOTOS} or more")
    return fewer


def _names(folder: Path, start: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(start))


def contents(folder: Path) -> str:
    """What is in a folder, in few words."""
    inside = sorted(folder.iterdir())
    endings: dict[str, int] = {}
    for path in inside:
        if path.is_file():
            kind = path.suffix.lower() or "without an ending"
            endings[kind] = endings.get(kind, 0) + 1
    folders = [f"{path.name}/" for path in inside if path.is_dir()]
    counted = [f"{n} {kind}" for kind, n in sorted(endings.items(), key=lambda item: -item[1])]
    images = any(kind in IMAGE_ENDINGS for kind in endings)
    told = first_few(folders + counted, 8) or "nothing"
    return told + ("" if images or not inside else ", no pictures")
