"""Data sets that may be fetched directly: where they are, what their publishers ask for, and how to unpack them."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transpose.errors import TransposeError
from transpose.scenes.setup import cambridge, sevenscenes, twelvescenes
from transpose.scenes.setup.download import fetch
from transpose.storage import recover_folder, replacing_folder
from transpose.untrusted.packed import members_within
from transpose.untrusted.values import BAD_VALUES


@dataclass(frozen=True)
class Publication:
    """Archives of a data set by name, and the licence under which they are given."""

    licence: str
    page: str
    archives: dict[str, str]


_SEVEN = "https://download.microsoft.com/download/2/8/5/28564B23-0828-408F-8631-23B1EFF1DAC8"
_TWELVE = "https://graphics.stanford.edu/projects/reloc/data"
_CAMBRIDGE = "https://www.repository.cam.ac.uk/bitstream/handle/1810"
PUBLICATIONS = {
    "7scenes": Publication(
        sevenscenes.LICENCE,
        "https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/",
        {
            name: f"{_SEVEN}/{name}.zip"
            for name in ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")
        },
    ),
    "12scenes": Publication(
        twelvescenes.LICENCE,
        "https://graphics.stanford.edu/projects/reloc/",
        {name: f"{_TWELVE}/{name}.zip" for name in ("apt1", "apt2", "office1", "office2")},
    ),
    "cambridge": Publication(
        cambridge.LICENCE,
        "https://www.repository.cam.ac.uk/",
        {
            name: f"{_CAMBRIDGE}/{handle}/{name}.zip"
            for name, handle in {
                "KingsCollege": 251342,
                "OldHospital": 251340,
                "ShopFacade": 251336,
                "StMarysChurch": 251294,
                "GreatCourt": 251291,
            }.items()
        },
    ),
}


def obtain(
    dataset: str,
    folder: Path,
    only: Sequence[str],
    accepted: bool,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Path:
    """Fetches archives of a data set into a folder and unpacks them there; what is there is not fetched again.

    Args:
        dataset: of `PUBLICATIONS`.
        folder: where the published layout comes to be.
        only: names of archives; all where empty.
        accepted: whether the person accepts the licence.
        progress: wraps the names as they are worked through.

    Raises:
        TransposeError: the publisher lets nobody fetch it directly, the licence was not accepted, or a download failed.
    """
    if dataset not in PUBLICATIONS:
        raise TransposeError(f"{dataset} cannot be fetched directly; put it on disk and name it with --source")
    publication = PUBLICATIONS[dataset]
    if unknown := sorted(set(only) - publication.archives.keys()):
        raise TransposeError(f"{dataset} has no {unknown[0]}; it has {', '.join(publication.archives)}")
    if not accepted:
        raise TransposeError(
            f"{publication.licence} (see {publication.page}); say that you accept this with --accept-licence"
        )
    for name in progress(list(only or publication.archives)):
        archive, target = folder / f"{name}.zip", folder / name
        recover_folder(target)
        if archive.exists() or not target.is_dir():  # an archive that is still there was not unpacked to its end
            fetch(publication.archives[name], archive)
            _unpack_whole(archive, target)
            archive.unlink()
        _unpack_inner(target)
    return folder


def _unpack_whole(archive: Path, target: Path) -> None:
    """Unpacks an archive, which holds a folder of the target's name or what belongs into it; all of it or nothing."""
    with replacing_folder(target) as temporary:
        unpack(archive, temporary)
        _unpack_inner(temporary)
        within = temporary / target.name
        if within.is_dir():
            _unpack_inner(within)
            outer = within.replace(temporary / f".{target.name}")
            for path in sorted(outer.iterdir()):
                path.replace(temporary / path.name)
            outer.rmdir()


def _unpack_inner(folder: Path) -> None:
    """7-Scenes keeps each sequence in an archive of its own, which goes when all of it is there."""
    for inner in sorted(folder.glob("[!.]*.zip")):
        unpack(inner, folder)
        inner.unlink()


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive; nothing of it may land outside the folder.

    Raises:
        TransposeError: it is broken, names files outside, promises more than its bytes can be, or does not fit on the
            disk.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = members_within(content, archive.stat().st_size)
            for name in (member.filename for member in members):
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise TransposeError(f"{archive} names a file outside its folder ({name}); it is not unpacked")
            _check_room(archive, folder, sum(member.file_size for member in members))
            content.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, *BAD_VALUES) as error:
        raise TransposeError(f"{archive} is broken ({error}); delete it and fetch it again") from None
    except OSError as error:
        raise TransposeError(
            f"{archive} could not be unpacked into {folder} ({error.strerror}); the same command tries again"
        ) from None


def _check_room(archive: Path, folder: Path, wanted: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise TransposeError(
            f"{archive} becomes {wanted / 1e9:.1f} GB, {folder} has room for {free / 1e9:.1f} GB; make room, and run "
            "the same command again"
        )
