"""Writing a section: frame by frame into a hidden folder that takes its name only when all frames are there."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.ownership import begin_writing, end_writing, sweep
from transpose.scenes import files
from transpose.scenes.facts import (
    DepthFormat,
    Semantics,
    read_section_facts,
    record_in_scene,
    was_written,
    write_section_facts,
)
from transpose.storage import (
    json_text,
    read_json,
    recover_folder,
    refuse_foreign,
    replace_folder,
    replacing_file,
    write_json,
)

log = logging.getLogger(__name__)
_PLAN_FILE, _UNRECORDED_FILE = "plan.json", "unrecorded.json"
_LONGEST_STEM = 200  # with an ending and a temporary name a file of it has fewer than the 255 that systems allow


def refuse_other_kind(section: Path, rendered: bool) -> None:
    """Keeps renders from the place of photos that were set up, and photos from that of renders: a slip of a name.

    Raises:
        TransposeError: a section of the other kind is there.
    """
    if section.exists() and was_written(section) and read_section_facts(section).rendered != rendered:
        there, new = ("photos", "renders") if rendered else ("renders", "photos")
        raise TransposeError(f"{section} holds {there}, which {new} would replace; name another section, or remove it")


def is_stem(name: str) -> bool:
    """Whether a frame can be called so: its files then lie in the section's folders, and are seen there."""
    return 0 < len(name) <= _LONGEST_STEM and name[0] != "." and not set(name) & set("/\\\0\n\r")


@dataclass(frozen=True)
class FrameLabels:
    """What is known of one frame; layers that are None are not written.

    `depth_hw` is metres along z with NaN where unknown, `coordinates_3hw` world coordinates at the cell points,
    `normal_3hw` camera-frame unit normals at the cell points, `semantics_hw` class ids.
    """

    depth_hw: np.ndarray | None = None
    coordinates_3hw: np.ndarray | None = None
    normal_3hw: np.ndarray | None = None
    semantics_hw: np.ndarray | None = None


class SectionWriter:
    """Collects frames in `SCENE/.SECTION.unfinished`; `finish` makes it the section.

    A writer opened with the same `plan` finds the frames of a run that was cut off and goes on (`is_done`); another
    plan starts afresh. Until `finish`, or the end of this process, no other one may write the section.

    Raises:
        TransposeError: another process is writing it, or there is a folder that is no section of a writer's.
    """

    def __init__(self, scene: Path, section: str, plan: dict[str, Any], depth_as_png: bool = True) -> None:
        self.scene, self.section, self.depth_as_png = scene, section, depth_as_png
        self.folder = scene / f".{section}.unfinished"
        mine = begin_writing(scene / section)
        recover_folder(scene / section)
        written = was_written(scene / section)
        try:
            refuse_foreign(scene / section, lambda _: written, "a section that was set up or rendered")
        except TransposeError:
            if mine:
                end_writing(scene / section)
            raise
        sweep(self.folder, deep=True)
        plan_file = self.folder / _PLAN_FILE
        if self.folder.exists() and not _is_plan(plan_file, plan):
            plan_file.unlink(missing_ok=True)  # first, so that nothing goes on with what is left of the folder
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(plan_file, plan)

    def is_done(self, stem: str) -> bool:
        """Whether a frame was written whole, before or now: its pose is written last."""
        return (self.folder / "poses" / f"{stem}.txt").exists()

    def add(
        self,
        stem: str,
        image: np.ndarray | Path,
        pose: Pose,
        camera: Camera,
        labels: FrameLabels,
        jpeg_quality: int | None = None,
        link_image: bool = False,
    ) -> None:
        """Writes one frame. An image given as a path is copied byte for byte, or linked, see `link`."""
        _check_stem(stem)
        for layer in ("rgb", "poses", "calibration"):
            (self.folder / layer).mkdir(exist_ok=True)
        if isinstance(image, Path):
            _place(image, self.folder / "rgb" / f"{stem}{image.suffix.lower()}", copy=not link_image)
        else:
            ending = ".png" if jpeg_quality is None else ".jpg"
            files.write_image(self.folder / "rgb" / f"{stem}{ending}", image, jpeg_quality)
        if labels.depth_hw is not None:
            files.write_depth(self._path("depth", stem), labels.depth_hw, self.depth_as_png)
        if labels.coordinates_3hw is not None:
            files.write_map(self._path("init", f"{stem}.dat"), labels.coordinates_3hw)
        if labels.normal_3hw is not None:
            files.write_map(self._path("normal", f"{stem}.dat"), labels.normal_3hw)
        if labels.semantics_hw is not None:
            files.write_semantics(self._path("semantics", f"{stem}.npy"), labels.semantics_hw)
        files.write_camera(self._path("calibration", f"{stem}.txt"), camera)
        files.write_pose(self._path("poses", f"{stem}.txt"), pose)

    def link(self, stem: str, paths: dict[str, Path], copy: bool = False) -> None:
        """Adds a frame whose files exist, by layer; hard links where the file system has them, unless `copy`."""
        _check_stem(stem)
        for layer, path in sorted(paths.items(), key=lambda item: item[0] == "poses"):  # the pose last, see `is_done`
            _place(path, self._path("depth" if layer == "cell_depth" else layer, f"{stem}{path.suffix.lower()}"), copy)

    def link_labels(
        self, stem: str, paths: Mapping[str, Path], image_hw3: np.ndarray, jpeg_quality: int | None = None
    ) -> None:
        """Adds a frame with an image of its own, and otherwise the files that exist, as `link` does."""
        _check_stem(stem)
        ending = ".png" if jpeg_quality is None else ".jpg"
        files.write_image(self._path("rgb", f"{stem}{ending}"), image_hw3, jpeg_quality)
        self.link(stem, {layer: path for layer, path in paths.items() if layer != "rgb"})

    def _path(self, layer: str, name: str) -> Path:
        (self.folder / layer).mkdir(exist_ok=True)
        return self.folder / layer / name

    def finish(
        self,
        facts: Mapping[str, Any],
        *,
        rendered: bool = False,
        semantics: Semantics = "classes",
        licence: str | None = None,
        metric: bool = True,
        **scene_facts: Any,
    ) -> Path:
        """Puts the section in its place, with its facts in it; an older one is replaced.

        Args:
            facts: where the frames came from, and whatever else is worth keeping; see `SectionFacts`.
            rendered: the frames show a world.
            semantics: what class ids mean, where linked files hold them; those of `add` are classes.
            licence: under which the frames were published.
            metric: lengths are metres, and not of an unknown unit.
            scene_facts: of the scene as a whole, for `scene.json`.

        Raises:
            TransposeError: no frame was written.
        """
        if "rendered_from" in facts and not rendered:
            raise ValueError("what is rendered from something is rendered")
        frames = len(list((self.folder / "poses").glob("*.txt"))) if (self.folder / "poses").exists() else 0
        if frames == 0:
            raise TransposeError(f"no frame was written for section {self.section}")
        stored: DepthFormat = "png_mm" if self.depth_as_png else "npz_m"
        depth = stored if (self.folder / "depth").exists() else "none"
        known: dict[str, Any] = {"frames": frames, "rendered": rendered, "semantics": semantics, "depth": depth}
        known["metric"] = metric
        if licence is not None:
            known["licence"] = scene_facts["licence"] = licence
        write_section_facts(self.folder, {**facts, **known})
        target = self.scene / self.section
        # They come along, so that who dies in between can be followed by another one that goes on.
        write_json(self.folder / _UNRECORDED_FILE, scene_facts)
        replace_folder(self.folder, target)
        complete(target)
        end_writing(target)
        log.info("%s: %d frames", target, frames)
        return target


def complete(section: Path) -> None:
    """Tells the scene of a section whose writer died between giving it its name and that; nothing of others."""
    unrecorded = section / _UNRECORDED_FILE
    if unrecorded.exists():
        (section / _PLAN_FILE).unlink(missing_ok=True)
        record_in_scene(section.parent, **read_json(unrecorded))
        unrecorded.unlink()


def _check_stem(stem: str) -> None:
    """The last line of defence against names that come from files of others."""
    if not is_stem(stem):
        raise TransposeError(f"a frame of a section cannot be called {stem[:80]!r}; name it as a file is named")


def _is_plan(path: Path, plan: dict[str, Any]) -> bool:
    """Whether a file holds a plan; as JSON, which knows no tuples, has it."""
    try:
        return bool(path.exists() and read_json(path) == json.loads(json_text(plan)))
    except TransposeError:  # broken
        return False


def _place(path: Path, target: Path, copy: bool) -> None:
    """A hard link to a file, or a copy where one is asked for or the file systems differ."""
    with replacing_file(target) as temporary:
        if not copy:
            with contextlib.suppress(OSError):
                temporary.hardlink_to(path.resolve())
        if not temporary.exists():
            shutil.copyfile(path, temporary)
