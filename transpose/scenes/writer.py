"""Writing a section: frame by frame into a hidden folder that takes its name only when all frames are there."""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.scenes import files
from transpose.scenes.layout import record_section
from transpose.storage import read_json, write_json

log = logging.getLogger(__name__)


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
    plan starts afresh.
    """

    def __init__(self, scene: Path, section: str, plan: dict[str, Any], depth_as_png: bool = True) -> None:
        self.scene, self.section, self.depth_as_png = scene, section, depth_as_png
        self.folder = scene / f".{section}.unfinished"
        plan_file = self.folder / "plan.json"
        if self.folder.exists() and not (plan_file.exists() and read_json(plan_file) == plan):
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
        for layer, path in sorted(paths.items(), key=lambda item: item[0] == "poses"):  # the pose last, see `is_done`
            _place(path, self._path("depth" if layer == "cell_depth" else layer, f"{stem}{path.suffix.lower()}"), copy)

    def _path(self, layer: str, name: str) -> Path:
        (self.folder / layer).mkdir(exist_ok=True)
        return self.folder / layer / name

    def finish(self, facts: dict[str, Any], **scene_facts: Any) -> Path:
        """Puts the section in its place, recording its facts in `scene.json`; an older one is replaced."""
        frames = len(list((self.folder / "poses").glob("*.txt"))) if (self.folder / "poses").exists() else 0
        if frames == 0:
            raise TransposeError(f"no frame was written for section {self.section}")
        (self.folder / "plan.json").unlink()
        target = self.scene / self.section
        if target.exists():
            old = self.scene / f".{self.section}.old"
            target.replace(old)
            self.folder.replace(target)
            shutil.rmtree(old)
        else:
            self.folder.replace(target)
        depth = "png_mm" if self.depth_as_png else "npz_m"
        record_section(self.scene, self.section, {"frames": frames, "depth": depth, **facts}, **scene_facts)
        log.info("%s: %d frames", target, frames)
        return target


def _place(path: Path, target: Path, copy: bool) -> None:
    """A hard link to a file, or a copy where one is asked for or the file systems differ."""
    target.unlink(missing_ok=True)
    if not copy:
        with contextlib.suppress(OSError):
            target.hardlink_to(path.resolve())
            return
    shutil.copyfile(path, target)
