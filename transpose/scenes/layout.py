"""A section of a scene folder as it is read: frames matched by stem, every mismatch named."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.scenes import files
from transpose.scenes.classes import classes_of_topo
from transpose.scenes.facts import SectionFacts, read_section_facts
from transpose.scenes.image_kinds import IMAGE_ENDINGS, left_out
from transpose.storage import recover_folder

log = logging.getLogger(__name__)
REQUIRED_LAYERS = ("rgb", "poses", "calibration")
LABEL_LAYERS = ("depth", "cell_depth", "init", "eye", "normal", "semantics")
# CrossLoc keeps depth at its network's resolution, under the name that depth images have.
_FOLDERS = {"cell_depth": "depth"}
_ENDINGS = {
    "rgb": IMAGE_ENDINGS,
    "poses": (".txt",),
    "calibration": (".txt",),
    "depth": (".png", ".npz"),
    "cell_depth": (".dat",),
    "init": (".dat",),
    "eye": (".dat",),
    "normal": (".dat",),
    "semantics": (".npy",),
}
# What others keep such things in.
_OF_OTHERS = (".npy", ".npz", ".exr", ".pfm", ".tif", ".tiff", ".jpg", ".jpeg", ".png", ".json", ".txt", ".csv", ".mat")
# Stem endings by which foreign data sets tell the layers of one frame apart, in the order they are tried.
_STEM_TAILS = (".color", ".depth", ".pose", ".calibration")


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a section and where its labels are; everything is read from disk when asked for.

    `las_ids`: its semantics are LAS ids, as CrossLoc's scripts leave them, not classes. `unit`: so many of the files'
    units are one of the lengths that are read, see `scenes.unit`.
    """

    stem: str
    paths: dict[str, Path]
    las_ids: bool = False
    unit: float = 1.0

    @cached_property
    def pose(self) -> Pose:
        """Camera to world."""
        return files.read_pose(self.paths["poses"]).scaled(1 / self.unit)

    @cached_property
    def camera(self) -> Camera:
        """Intrinsics at the resolution of the image file."""
        return files.read_camera(self.paths["calibration"], *files.image_size(self.paths["rgb"]))

    def image(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        return files.read_image(self.paths["rgb"])

    def has(self, layer: str) -> bool:
        """Whether this frame has a label of that kind."""
        return layer in self.paths

    def depth(self) -> np.ndarray:
        """(height, width) float32 metres along z, NaN where unknown, at the resolution of the image."""
        depth_hw = files.read_depth(self.paths["depth"])
        if depth_hw.shape != (self.camera.height, self.camera.width):
            raise TransposeError(
                f"{self.paths['depth']} is {depth_hw.shape[1]} x {depth_hw.shape[0]} pixels, "
                f"its image {self.camera.width} x {self.camera.height}; they must have one size"
            )
        return self._measured(depth_hw)

    def coordinates(self) -> np.ndarray:
        """(3, rows, columns) world coordinates at the cell points, NaN where unknown."""
        return self._measured(files.read_map(self.paths["init"]))

    def cell_depth(self) -> np.ndarray:
        """(rows, columns) float32 metres along z at the cell points, NaN where unknown."""
        depth_hw = files.read_map(self.paths["cell_depth"])[0]
        return self._measured(np.where(files.is_depth(depth_hw), depth_hw, np.float32(np.nan)))

    def normals(self) -> np.ndarray:
        """(3, rows, columns) unit normals in the camera's frame at the cell points, NaN where unknown."""
        return files.read_map(self.paths["normal"])

    def semantics(self) -> np.ndarray:
        """(height, width) uint8 class ids, 255 where unknown."""
        ids_hw = files.read_semantics(self.paths["semantics"])
        return classes_of_topo(ids_hw) if self.las_ids else ids_hw

    def _measured(self, lengths: np.ndarray) -> np.ndarray:
        return lengths if self.unit == 1 else lengths / np.float32(self.unit)


@dataclass(frozen=True)
class Section:
    """The frames of one section, sorted by stem, and what is known of them."""

    path: Path
    frames: tuple[Frame, ...]
    facts: SectionFacts

    @property
    def name(self) -> str:
        """The folder's name, such as `train_sim`."""
        return self.path.name

    @property
    def scene(self) -> Path:
        """The scene folder that holds the section."""
        return self.path.parent

    def __len__(self) -> int:
        return len(self.frames)

    def photo_of(self, frame: Frame) -> str:
        """The stem of the photo that a frame was cut of; views of one photo share their place. Its own of others."""
        return str(self.facts.record.get("cut_of", {}).get(frame.stem, frame.stem))

    def has(self, layer: str) -> bool:
        """Whether every frame has a label of that kind."""
        return all(frame.has(layer) for frame in self.frames)


def open_section(path: Path) -> Section:
    """Opens `SCENE/SECTION`, checking that every frame has image, pose and intrinsics.

    Raises `TransposeError` naming what is missing or too much. Frames of other programs whose pose is infinite are left
    out with a warning. Depth and other labels may be missing for some frames;
    a label without an image is an error.
    """
    if not path.is_dir():
        recover_folder(path)
    if not path.is_dir():
        raise TransposeError(f"{path} is not a section folder{_what_is_there(path.parent)}")
    layers = {
        layer: _files_by_stem(path / _FOLDERS.get(layer, layer), layer) for layer in (*REQUIRED_LAYERS, *LABEL_LAYERS)
    }
    stems = layers["rgb"].keys()
    if not stems:
        if not (path / "rgb").is_dir() and (names := section_names(path)):
            raise TransposeError(f"{path} is a scene folder; name a section of it: {', '.join(names)}")
        there = left_out(sorted((path / "rgb").glob("*"))) if (path / "rgb").is_dir() else ""
        raise TransposeError(f"{path / 'rgb'} holds no images ({there or '.png, .jpg, ...'})")
    for layer in REQUIRED_LAYERS[1:]:
        _check_same_frames(path, layer, layers[layer].keys(), stems)
    for layer in LABEL_LAYERS:
        if extra := sorted(layers[layer].keys() - stems):
            raise TransposeError(f"{path / layer} has files without an image in rgb: {first_few(extra)}")
    facts = read_section_facts(path)
    las_ids = facts.semantics == "las"
    frames = tuple(
        Frame(stem, {layer: found[stem] for layer, found in layers.items() if stem in found}, las_ids)
        for stem in sorted(stems)
    )
    return Section(path, frames if facts.recorded else _without_lost(path, frames), facts)


def _what_is_there(scene: Path) -> str:
    """What a folder is that does not hold the section that was named."""
    if (scene / "rgb").is_dir() and (scene / "poses").is_dir():
        return f": {scene} is a section itself, and {scene.parent} its scene"
    if (scene / "model.pt").is_file():  # `transpose.runs`, a floor above, calls it so
        return f": {scene} is a run, and no scene"
    near = section_names(scene)
    return f"; sections here: {', '.join(near)}" if near else ""


def _without_lost(path: Path, frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The frames that have a pose; other programs keep one that was lost, with an infinite pose."""
    lost = [frame.stem for frame in frames if files.is_lost(frame.paths["poses"])]
    if len(lost) == len(frames):
        raise TransposeError(f"{path / 'poses'} holds no pose: all are NaN or infinite")
    if lost:
        _warn_once(f"{path}: {len(lost)} of {len(frames)} frames have no pose and are left out: {first_few(lost)}")
    return tuple(frame for frame in frames if frame.stem not in set(lost)) if lost else frames


@cache
def _warn_once(text: str) -> None:
    """A command may open a section several times."""
    log.warning("%s", text)


def section_names(scene: Path) -> list[str]:
    """The sections of a scene folder, sorted; without those that are not finished. Empty where there is no folder."""
    if not scene.is_dir():
        return []
    return sorted(p.name for p in scene.iterdir() if (p / "rgb").is_dir() and not p.name.startswith("."))


def with_sparse_labels(section: Section) -> Section:
    """The section with `init` for the only label of world points, also where there is depth.

    Raises:
        TransposeError: no frame has `init`.
    """
    if not any(frame.has("init") for frame in section.frames):
        raise TransposeError(f"{section.path} has no init/, the sparse labels that --sparse asks for")
    kept = ({layer: path for layer, path in frame.paths.items() if layer != "depth"} for frame in section.frames)
    frames = tuple(replace(frame, paths=paths) for frame, paths in zip(section.frames, kept, strict=True))
    return replace(section, frames=frames)


def _files_by_stem(folder: Path, layer: str) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    unread = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in _ENDINGS[layer]:
            unread += [path.name] if path.is_file() and path.suffix.lower() in _OF_OTHERS else []
            continue
        stem = path.stem
        for tail in _STEM_TAILS:
            stem = stem.removesuffix(tail)
        if stem in found:
            raise TransposeError(f"{folder} has two files for frame {stem}: {found[stem].name} and {path.name}")
        found[stem] = path
    # CrossLoc's depth has two layers in one folder.
    if unread and not found and layer != "rgb" and layer not in _FOLDERS and not any(folder.glob("*.dat")):
        _warn_once(f"{folder}: {first_few(unread)} are not read; {layer} is to be {' or '.join(_ENDINGS[layer])}")
    return found


def _check_same_frames(path: Path, layer: str, have: Any, want: Any) -> None:
    if missing := sorted(want - have):
        raise TransposeError(f"{path / layer} lacks the frames {first_few(missing)} that rgb has")
    if extra := sorted(have - want):
        raise TransposeError(f"{path / layer} has files without an image in rgb: {first_few(extra)}")


def split_section_path(text: str | Path) -> tuple[Path, str]:
    """`SCENE/SECTION` as (scene folder, section name)."""
    path = Path(text)
    if path.name in ("", "..") or path.parent == path:
        raise TransposeError(f"{text} does not name a section; write SCENE/SECTION")
    return path.parent, path.name
