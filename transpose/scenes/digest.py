"""A section in one word, to notice that it is another one than it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

from transpose.scenes.layout import Section, open_section

# Files whose content counts, and not their size alone: they are small, and a change of them shows in no size.
_READ = ("poses", "calibration")
_BEGINNING = 1 << 18


def section_digest(section: Section | Path) -> str:
    """A digest (64 hexadecimal digits) of what a section means and of its frames.

    It changes with what is learned from: facts that say what images and labels mean, names of frames, poses,
    intrinsics, and the sizes in bytes of images and labels. Their content is not read, so that a large section takes
    seconds. It does not change when the section is moved or copied, nor with facts that mean nothing for learning.

    Args:
        section: one that is open, with the labels that it has there, or `SCENE/SECTION`.

    Raises:
        TransposeError: there is no such section, or it is broken.
    """
    if isinstance(section, Path):
        section = open_section(section)
    digest = hashlib.sha256(section.facts.digest.encode())
    for frame in section.frames:
        for layer, path in sorted(frame.paths.items()):
            digest.update(f"{frame.stem}\0{layer}\0{path.suffix.lower()}\0{path.stat().st_size}\n".encode())
            if layer in _READ:
                digest.update(path.read_bytes())
    return digest.hexdigest()


def views_digest(section: Path) -> str:
    """A digest of where a section's cameras are and what they are, whatever their images show.

    Raises:
        TransposeError: there is no such section, or it is broken.
    """
    digest = hashlib.sha256()
    for frame in open_section(section).frames:
        digest.update(f"{frame.stem}\0{frame.camera}\n".encode())
        digest.update(frame.pose.T_wc.tobytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """A digest of a file's bytes, or of the names, sizes and beginnings, where metadata are, of a folder's files; of
    nothing where there is neither."""
    digest = hashlib.sha256()
    if path.is_file():
        digest.update(path.read_bytes())
    for each in sorted(path.iterdir()) if path.is_dir() else ():
        if each.is_file():
            digest.update(f"{each.name}\0{each.stat().st_size}\n".encode())
            with each.open("rb") as file:
                digest.update(file.read(_BEGINNING))
    return digest.hexdigest()
