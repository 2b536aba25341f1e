"""Recordings of ARKit with a file of camera and pose for each frame.

Two layouts are common: the export `All Data` of the 3D Scanner App (`arkit_frames`), and that of Apple's ARKitScenes
(`arkit_scenes`). Both say what the phone itself tracked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transpose.errors import TransposeError, first_few
from transpose.scenes.setup import arkit_frames, arkit_scenes
from transpose.scenes.setup.handheld import apart, stepped, unpacked_images
from transpose.scenes.setup.photo_files import existing, listed
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.upright import upright
from transpose.storage import head_of
from transpose.untrusted.paths import is_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArkitLayout:
    """A layout of files.

    Attributes:
        what: in words.
        seen_by: pattern of the files that it is known by.
        mark: what the first of them holds; labels of other programs have such names too.
        read: the photos of a folder, as they were taken.
        up_axis: which axis of the world points up.
        licence: of what is published in it.
    """

    what: str
    seen_by: str
    mark: bytes
    read: Callable[[Path], list[PosedPhoto]]
    up_axis: int
    licence: str | None = None

    def is_of(self, folder: Path) -> bool:
        """Whether a folder is in this layout."""
        first = min(folder.glob(self.seen_by), default=None)
        return first is not None and is_file(first) and self.mark in head_of(first)


_LAYOUTS = (
    ArkitLayout(
        "an export of the 3D Scanner App", "frame_*.json", arkit_frames.POSE.encode(), arkit_frames.photos_of, up_axis=1
    ),
    ArkitLayout("a scan of ARKitScenes", "lowres_wide.traj", b"", arkit_scenes.photos_of, 2, arkit_scenes.LICENCE),
)


def find_arkit(source: Path) -> tuple[Path, ArkitLayout] | None:
    """The folder of a recording and its layout: the source, or the only one of its folders that is one; None: none is.

    Raises:
        TransposeError: several of its folders are.
    """
    for folders in ([source], sorted(path for path in source.glob("*/") if not path.name.startswith("."))):
        found = [(folder, layout) for folder in folders for layout in _LAYOUTS if layout.is_of(folder)]
        if len(found) > 1:
            names = first_few([folder.name for folder, _ in found])
            raise TransposeError(f"{source} holds several recordings of ARKit ({names}); name one of them")
        if found:
            return found[0]
    return None


def setup_arkit(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    every: int | None = None,
) -> list[Path]:
    """Sets up a section of a recording.

    Args:
        source: its folder, or that which it was unpacked into.
        out: the scene folder.
        section: the section's name.
        list_file: the frames of the section, such as `frame_00012`.
        progress: wraps the photos as they are worked through.
        every: each so manieth frame; without it and a list, those between which the camera has moved or turned.

    Raises:
        TransposeError: this is no such recording, or a file of it is missing or broken.
    """
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder; unpack the recording first")
    found = find_arkit(source)
    if found is None:
        known = " and ".join(f"{layout.seen_by} ({layout.what})" for layout in _LAYOUTS)
        hint = f"of the app, export `All Data`, whose frames hold {arkit_frames.POSE}, and unpack it"
        raise TransposeError(f"{source} is no recording of ARKit, which has {known}; {hint}")
    recording, layout = found
    photos = listed(existing(layout.read(recording), section), list_file)
    if list_file is None and every is None:
        photos = [photos[number] for number in apart([photo.pose for photo in photos])]
    photos = stepped(photos, every)
    if bare := sum(photo.depth is None for photo in photos):
        log.warning("%d of %d frames of %s have no depth image", bare, len(photos), section)
    plan = {"setup": "arkit", "source": str(source)}
    facts = {"source": f"arkit:{source.resolve().name}", "poses": "ARKit"}
    with unpacked_images(out, section, recording) as folder:
        photos = upright(photos, folder, layout.up_axis)
        up = [float(axis == layout.up_axis) for axis in range(3)]
        written = write_posed_photos(
            photos, out, section, plan, facts, progress, licence=layout.licence, depth_as_png=True, up=up
        )
    return [written]
