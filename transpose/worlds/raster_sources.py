"""Rasters that name other files, or servers, for their pixels: only what lies in the project is read.

GDAL decides what a file is by its content, so that a `.tif` may be a text that makes it fetch from the network.
"""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from transpose.errors import TransposeError, quoted

DRIVERS = frozenset(
    (
        *("GTiff", "COG", "VRT", "AAIGrid", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "ECW", "MrSID", "HFA"),
        *("SRTMHGT", "USGSDEM", "DTED", "BT", "XYZ", "SAGA", "GSAG", "GSBG", "GS7BG", "GRASSASCIIGrid", "NITF"),
        *("PNG", "JPEG", "WEBP", "BMP", "GIF", "BIGGIF", "GPKG", "MBTiles", "netCDF", "EHdr", "ENVI"),
    )
)
"""Of GDAL: formats of a file with pixels, or with a plain file of them beside it."""
_HEAD = 4096
_SOURCES = ("sourcefilename", "sourcedataset")
_DEEPEST = 8
_ALWAYS = 1 << 28  # pixels, which are gone through in seconds
_LONGEST_SIDE = 1 << 24  # rows are read whole
_MOST_A_BYTE = 10_000  # more than any packing makes of one; blocks of which a file holds nothing may be that many


def bytes_of(path: Path, depth: int = 0) -> int:
    """The bytes of a raster and of all that it names for its pixels; looked at before GDAL opens it.

    Raises:
        TransposeError: it is a text that names pixels outside the folder that holds its own, or on a server; a mosaic
            of mosaics too deep; or it holds code.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    total = path.stat().st_size
    if head[:1] not in (b"<", b"{", b"["):
        return total
    remedy = f"make one file of it: gdal_translate {quoted(path)} OUT.tif"
    if not head.startswith(b"<VRTDataset") or depth > _DEEPEST:
        raise TransposeError(f"{path} holds no pixels, but says where others are, which is not followed; {remedy}")
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError) as error:
        raise TransposeError(f"{path} is no readable VRT ({error}); copy it again") from None
    for element in root.iter():
        tag = element.tag.lower()
        if tag.startswith("pixelfunction"):
            raise TransposeError(f"{path} computes its pixels ({element.tag}), which is not read; {remedy}")
        if tag in _SOURCES and (name := (element.text or "").strip()):
            source = _source(path, name, element.get("relativeToVRT", element.get("relativetoVRT", "0")) == "1")
            if source is None:
                raise TransposeError(f"{path} names {name}, which is not in its project; {remedy}")
            if source.is_file():
                total += bytes_of(source, depth + 1)
    return total


def refuse_empty(path: Path, size: int, width: int, height: int) -> None:
    """Raises `TransposeError` for more pixels than bytes can hold: all are gone through to find what no data are."""
    if width * height > max(_ALWAYS, _MOST_A_BYTE * size) or max(width, height) > _LONGEST_SIDE:
        raise TransposeError(
            f"{path} is said to have {width} x {height} pixels in {size} bytes; it is broken, empty, or made to do harm"
        )


def _source(path: Path, name: str, is_relative: bool) -> Path | None:
    """The file of a source; None where it is not below the folder that holds the VRT's own."""
    project = path.absolute().parent.parent
    # Links are followed as in `untrusted.paths`, so that `..` is taken for what it is written for.
    source = Path(os.path.abspath((path.absolute().parent if is_relative else Path.cwd()) / name))  # noqa: PTH100
    return source if source.is_relative_to(project) and not source.as_posix().startswith("/vsi") else None
