"""GeoTIFFs: heights and the orthophotos that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from transpose.app.services.recognizing.kinds import NearMiss, Recognized
from transpose.errors import MissingPackageError, TransposeError, first_few

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ENDINGS = (".tif", ".tiff", ".vrt")
_BARE_EARTH = ("dtm", "swissalti", "terrain")  # in names of heights without houses and trees


def rasters_in(folder: Path) -> list[Path]:
    """The rasters of a folder, by their endings."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())


def raster_with_its_partner(path: Path) -> Recognized | NearMiss:
    """A raster and those of its folder that go with it."""
    return terrain_of(rasters_in(path.parent) if path.suffix.lower() in _ENDINGS else [path], path)


def terrain_of(rasters: Sequence[Path], named: Path) -> Recognized | NearMiss:
    """A surface model with its orthophotos among rasters.

    Args:
        rasters: files.
        named: what the person named, for messages.
    """
    heights, colors = _sorted_out(rasters)
    if len(heights) > 1:
        heights = [path for path in heights if not any(word in path.name.lower() for word in _BARE_EARTH)] or heights
    if heights and colors:
        saw = f"{_count(heights, 'raster')} of heights ({first_few([p.name for p in heights], 2)}) and "
        saw += f"{len(colors)} of colours ({first_few([p.name for p in colors], 2)})"
        words = ("build", "terrain", *map(str, heights), "--ortho", *map(str, colors))
        what = "a surface model with its orthophoto"
        return Recognized("terrain", what, saw, "model", named, words, (*heights, *colors))
    lacks = "colours: an orthophoto of the same place" if heights else "heights: a surface model of one band"
    return NearMiss(f"{named} has {'heights' if heights else 'colours'} but lacks {lacks}; name both files")


def _count(paths: Sequence[Path], what: str) -> str:
    return f"{len(paths)} {what}{'' if len(paths) == 1 else 's'}"


def _sorted_out(rasters: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Those of one band of heights, and those of colours; photos without a place on a map are neither."""
    from transpose.worlds.rasters import opened

    heights, colors = [], []
    for path in rasters:
        try:
            with closing(opened(path)) as source:
                bands, kind, placed = source.count, source.dtypes[0], source.crs is not None
        except MissingPackageError:
            raise
        except TransposeError:
            continue
        if bands == 1 and kind != "uint8":
            heights.append(path)
        elif bands >= 3 and placed:
            colors.append(path)
    return heights, colors
