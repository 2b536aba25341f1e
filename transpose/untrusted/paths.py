"""Names of files that stand in other files: followed below the project that names them, and nowhere else.

A mesh names its pictures, a list of poses its photos. Such a name may come from another machine, or from somebody who
wants a file of this one to be read. It is followed within the folder of the file that holds it, and in the folders
beside that one (`../textures`); whatever leads farther, such as a path from the root of a disk to another place, counts
as not being there. Links are followed wherever they lead: whoever made them could read what they point to.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath


def below_project(folder: Path, name: str) -> Path | None:
    """The path that a name in a folder means, whether or not there is such a file.

    Args:
        folder: of the file that holds the name; or one that a person named.
        name: with `/` between folders.

    Returns:
        None where it leads out of the folder that holds `folder`, or can be no name.
    """
    if "\0" in name or not PurePosixPath(name).parts:
        return None
    if Path(name).is_absolute() or PurePosixPath(name).is_absolute():
        project = folder.absolute().parent
        inside = Path(name).is_relative_to(project) and ".." not in PurePosixPath(name).parts
        return Path(name) if inside else None
    depth = 1
    for part in PurePosixPath(name).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return None
    return folder / name


def is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that none can have, where `Path.is_file` raises OSError."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; see `is_file`."""
    try:
        return path.is_dir()
    except OSError:
        return False
