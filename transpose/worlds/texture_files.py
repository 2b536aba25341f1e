"""Pictures that meshes name: found where people's programs leave them, and decoded to 8-bit RGB."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.image_kinds import what_it_is_instead
from transpose.untrusted.images import too_many_pixels
from transpose.untrusted.paths import below_project, is_file

_KTX2 = b"\xabKTX 20\xbb\r\n\x1a\n"
_BESIDE = ("textures", "texture", "tex", "images", "image", "maps", "map", "materials", "pictures", "img")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".tga", ".webp")
_MOST_FOLDERS = 200


def find_beside(folder: Path, name: str) -> tuple[Path | None, str | None]:
    """The file that a mesh in a folder means by a name.

    Looked for at the name itself; with Windows' separators, quotes and `%20` understood; in small or capital letters;
    then by its last part alone in the folder, its sub folders and the usual ones beside the folder, where it must not
    stand for several files; and at last as a picture of the same stem with another ending.

    Returns:
        The file, or None; and what had to be guessed about it, or None where the name says it.
    """
    for written in dict.fromkeys((_plain(name), _plain(unquote(name)))):
        if not written:
            continue
        exact = below_project(folder, written)
        if exact is not None and is_file(exact):
            return exact, None
        parts = [part for part in PurePosixPath(written).parts if part != "/"]
        if not parts:
            continue
        for first in range(len(parts)):  # of a path on another computer, as much of its end as is here too
            if (found := _any_case(folder, PurePosixPath(*parts[first:]))) is not None:
                return found, None
        last = parts[-1]
        everywhere = [
            found for place in _places(folder) if (found := _any_case(place, PurePosixPath(last))) is not None
        ]
        if len({found.read_bytes() for found in everywhere} if len(everywhere) > 1 else everywhere) == 1:
            return everywhere[0], None
        if (found := _other_ending(folder, PurePosixPath(last))) is not None:
            return found, f"{found.name} is taken for {last}"
    return None, None


def _plain(name: str) -> str:
    """A name without quotes and scheme, with slashes as separators."""
    name = name.strip().strip("\"'").strip()
    name = re.sub(r"^file:/+", "/", name, flags=re.IGNORECASE)
    return name.replace("\\\\", "/").replace("\\", "/")


def _folded(name: str) -> str:
    """Alike for names that differ in letters' case, or in how accents are put together."""
    return unicodedata.normalize("NFC", name).casefold()


def _any_case(folder: Path, name: PurePosixPath) -> Path | None:
    """A file below a folder whose name is the same but for the case of letters."""
    if below_project(folder, str(name)) is None:
        return None
    here = folder
    for part in name.parts:
        if part in (".", "/"):
            continue
        if part == "..":
            here = here.parent
            continue
        step = next((p for p in _entries(here) if p.name == part), None)
        step = step or next((p for p in _entries(here) if _folded(p.name) == _folded(part)), None)
        if step is None:
            return None
        here = step
    return here if here.is_file() else None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    yield from [p for p in _entries(folder) if p.is_dir() and not p.name.startswith(".")][:_MOST_FOLDERS]
    yield from (p for p in _entries(folder.resolve().parent) if p.is_dir() and _folded(p.name) in _BESIDE)


def _other_ending(folder: Path, name: PurePosixPath) -> Path | None:
    """The picture whose name differs by its ending only, where there is just one."""
    alike = [
        p
        for place in _places(folder)
        for p in _entries(place)
        if p.suffix.lower() in _PICTURES and _folded(p.stem) == _folded(name.stem) and p.is_file()
    ]
    return (
        alike[0] if len(alike) == 1 and name.suffix.lower() in (*_PICTURES, ".dds", ".exr", ".psd", ".ktx2") else None
    )


def decoded(data: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, (height, width, 3) uint8 sRGB, as its pixels are stored.

    More than 8 bits are scaled, transparency is left out.

    Raises:
        TransposeError: it is broken, or of a format that is not read; `name` says which.
    """
    from PIL import Image, UnidentifiedImageError

    if data.startswith(_KTX2):
        raise TransposeError(f"{name} is a KTX2 picture (Basis), which is not read; {KTX2_REMEDY}")
    try:
        with _images_of_any_size(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if harm := too_many_pixels(*image.size, len(data)):
                    raise TransposeError(f"texture {name} is {harm}")
                if image.mode.startswith(("I", "F")):
                    return _from_deep(np.asarray(image, np.float64))
                return np.asarray(image.convert("RGB"), np.uint8).copy()
    except UnidentifiedImageError:
        what = what_it_is_instead(data[:4096]) or "of no format that is read; convert it to JPEG or PNG first"
        raise TransposeError(f"texture {name} is {what}") from None
    except (TransposeError, MemoryError):
        raise
    # Pillow raises whatever a broken file makes its decoders stumble over.
    except Exception as error:
        raise TransposeError(
            f"texture {name} cannot be read ({error}); copy it again, or convert it to PNG or JPEG"
        ) from None


KTX2_REMEDY = "convert its textures to PNG or JPEG first, for example with: gltf-transform ktxdecompress IN OUT"


def _from_deep(value_hw: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits, or real numbers from 0 to 1, as 8-bit RGB."""
    most = float(np.nanmax(value_hw, initial=0))
    scale = 255.0 if most <= 1 else 1.0 if most <= 255 else 255 / 65535
    grey_hw = np.clip(np.nan_to_num(value_hw) * scale + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey_hw[:, :, None], 3, axis=2)


@contextmanager
def _images_of_any_size() -> Iterator[None]:
    """Pillow takes images of 16384 x 16384 pixels for an attack; here `too_many_pixels` says what is one."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
