"""Which files are images that can be read here, and what the others are: named, with what to do about it."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff", ".bmp", ".jp2", ".gif")
HEIF_ENDINGS = (".heic", ".heif", ".hif", ".avif")
_DEVELOP = "a raw file of a camera ({}); develop it to JPEG or PNG first"
_RAW_ENDINGS = {
    f".{ending}": _DEVELOP.format(ending.upper())
    for ending in (
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2"),
        *("raf", "pef", "srw", "x3f", "3fr", "iiq", "rwl", "erf", "mrw"),
    )
}
_FILM = "a film, not a photo; take photos out of it first, such as with: ffmpeg -i FILM -vf fps=2 frame-%04d.png"
_FILM_ENDINGS = dict.fromkeys((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp", ".insv"), _FILM)
_CONVERT = "{}, which is not read here; convert it to JPEG or PNG first"
_OTHER_ENDINGS = {
    ending: _CONVERT.format(name)
    for ending, name in {
        ".jxl": "a JPEG XL image",
        ".jxr": "a JPEG XR image",
        ".psd": "a Photoshop document",
        ".exr": "an OpenEXR image",
        ".hdr": "a Radiance image",
        ".svg": "an SVG drawing",
        ".pdf": "a PDF document",
    }.items()
}
_HEIF = (
    "a HEIC image, which is read where pillow-heif is installed: pip install pillow-heif; or convert it to JPEG (an "
    "iPhone takes JPEG under Settings > Camera > Formats > Most Compatible)"
)
_AVIF = "an AVIF image, which this installation does not read; convert it to JPEG or PNG first"
# Which ISO media files are which, by the brand behind `ftyp`.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"),
    (b"\xff\x0a", _OTHER_ENDINGS[".jxl"]),
    (b"\0\0\0\x0cJXL ", _OTHER_ENDINGS[".jxl"]),
    (b"II\xbc", _OTHER_ENDINGS[".jxr"]),
    (b"8BPS", _OTHER_ENDINGS[".psd"]),
    (b"\x76\x2f\x31\x01", _OTHER_ENDINGS[".exr"]),
    (b"#?R", _OTHER_ENDINGS[".hdr"]),
    (b"%PDF", _OTHER_ENDINGS[".pdf"]),
    (b"PK\x03\x04", "an archive; unpack it first"),
    (b"\x1aE\xdf\xa3", _FILM),
    (b"\0\0\x01\xba", _FILM),
    (b"FUJIFILMCCD-RAW", _RAW_ENDINGS[".raf"]),
    (b"IIRO", _RAW_ENDINGS[".orf"]),
    (b"IIRS", _RAW_ENDINGS[".orf"]),
    (b"IIU\0", _RAW_ENDINGS[".rw2"]),
)
_TEXT = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|svg)", re.IGNORECASE)
_DNG_VERSION = re.compile(rb"\x12\xc6\x01\0\x04\0\0\0|\xc6\x12\0\x01\0\0\0\x04")  # its entry in a directory of TIFF


def what_it_is_instead(head: bytes, ending: str = "") -> str:
    """What a file is that is no image to be read here, and what to do about it; empty for one that may be one.

    Args:
        head: the first bytes of the file.
        ending: of its name. Raw files of many cameras are TIFF by their first bytes, with a small preview to be found.
    """
    if not head:
        return "empty; copy it again"
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    if head[4:8] == b"ftyp":
        return _iso_media(head[8:12])
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _FILM
    if _TEXT.match(head):
        return "a page of text, not an image; was its download refused?"
    if head[:4] in (b"II*\0", b"MM\0*") and (head[8:10] == b"CR" or _DNG_VERSION.search(head)):
        return _RAW_ENDINGS[".cr2" if head[8:10] == b"CR" else ".dng"]
    return _RAW_ENDINGS.get(ending.lower(), "")


def _iso_media(brand: bytes) -> str:
    if brand in (b"avif", b"avis"):
        return "" if can_read_avif() else _AVIF
    if brand in _HEIF_BRANDS:
        return "" if can_read_heif() else _HEIF
    return _RAW_ENDINGS[".cr3"] if brand == b"crx " else _FILM


def is_image(path: Path) -> bool:
    """Whether a file's name is one of an image that is read here, in small or capital letters.

    Hidden files are none: macOS leaves a `._x.jpg` beside each `x.jpg` on foreign disks.
    """
    ending = path.suffix.lower()
    if ending in HEIF_ENDINGS:
        known = can_read_avif() if ending == ".avif" else can_read_heif()
    else:
        known = ending in IMAGE_ENDINGS
    return known and not path.name.startswith(".")


def left_out(paths: Sequence[Path]) -> str:
    """One line on the files among some that look like pictures or films but are not read, and what to do; or empty."""
    reasons = {**_RAW_ENDINGS, **_FILM_ENDINGS, **_OTHER_ENDINGS, **dict.fromkeys(HEIF_ENDINGS, _HEIF)}
    reasons[".avif"] = _AVIF
    known = [
        path
        for path in paths
        if path.suffix.lower() in reasons and not path.name.startswith(".") and not is_image(path)
    ]
    if not known:
        return ""
    count = Counter(reasons[path.suffix.lower()] for path in known)
    first = {what: next(p.name for p in known if reasons[p.suffix.lower()] == what) for what in count}
    return "; ".join(
        f"{first[what]}{f' and {n - 1} more' if n > 1 else ''} left out: {what}" for what, n in count.items()
    )


def photos_in(folder: Path) -> tuple[list[Path], str]:
    """The images of a folder, sorted, and one line on all that is left out of it; empty where nothing is."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in entries if path.is_file()]
    photos = [path for path in files if is_image(path)]
    named, others = left_out(files), [path.name for path in files if not is_image(path) and not left_out([path])]
    if others:
        more = f"{others[0]}{f' and {len(others) - 1} more' if len(others) > 1 else ''} left out: no images"
        named = f"{named}; {more}" if named else more
    return photos, "; ".join(filter(None, [named, *_no_files(entries)]))


def _no_files(entries: Sequence[Path]) -> Iterator[str]:
    """What is left out of a folder's entries because it is no file, and could have been meant."""
    folders = [path.name for path in entries if path.is_dir()]
    gone = [path.name for path in entries if path.is_symlink() and not path.exists()]
    if folders:
        yield f"{folders[0]}/{f' and {len(folders) - 1} more folders' if len(folders) > 1 else ''} not looked into"
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        yield f"{gone[0]}{more} left out: a link to what is not there"


@cache
def can_read_heif() -> bool:
    """Whether Pillow reads HEIC, by the package pillow-heif, which is used where somebody has installed it."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


@cache
def can_read_avif() -> bool:
    """Whether Pillow reads AVIF, by itself or by an older pillow-heif."""
    from PIL import Image, features

    known = features.modules.get("avif") is not None and bool(features.check("avif"))
    return known or (can_read_heif() and ".avif" in Image.registered_extensions())
