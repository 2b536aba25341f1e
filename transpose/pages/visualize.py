"""Coordinate, error and uncertainty maps and training curves, as PNG files and one page that holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transpose import runs
from transpose.errors import TransposeError
from transpose.evaluation.maps import SavedMap, map_files, read_saved_map
from transpose.evaluation.metrics import FrameResult
from transpose.pages.gallery import ColorRanges, Gallery, Picture, choose_frames, gallery_of, narrowed, photo_picture
from transpose.pages.map_pictures import draw_coordinates, draw_errors, draw_scatter
from transpose.pages.plots import plot_training, unique_steps
from transpose.scenes.files import read_image

# What a picture shows, and under which keywords it is drawn.
KINDS = ("coordinates", "error", "uncertainty", "training")
_SCATTER_KINDS = frozenset({"error", "uncertainty"})


@dataclass(frozen=True)
class Wanted:
    """Which pictures to draw.

    Attributes:
        kinds: of `KINDS`.
        words: all of which stand in the path of what is drawn, FOLDER or FOLDER/FRAME.
    """

    kinds: frozenset[str] = frozenset(KINDS)
    words: tuple[str, ...] = ()

    @classmethod
    def by(cls, keywords: Sequence[str]) -> Wanted:
        """Keywords that are kinds choose kinds; others are words. Without a kind, all are drawn."""
        kinds = frozenset(keywords) & frozenset(KINDS)
        return cls(kinds or frozenset(KINDS), tuple(word for word in keywords if word not in KINDS))

    def takes(self, path: Path) -> bool:
        """Whether every word stands in a path."""
        return all(word in str(path) for word in self.words)


@dataclass(frozen=True)
class Drawable:
    """A run's folder with a log, or a test's with saved maps: what is wanted of it.

    Attributes:
        folder: of the run or the test.
        maps: files of the saved maps.
        has_log: whether its training is drawn.
    """

    folder: Path
    maps: tuple[Path, ...]
    has_log: bool


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one folder.

    Attributes:
        folder: of the run or the test.
        results: of all frames whose map was saved and wanted.
        pictures: PNG files of the folder as a whole with what they show.
        gallery: chosen frames, for the page; their maps are PNG files as well.
    """

    folder: Path
    results: tuple[FrameResult, ...]
    pictures: tuple[tuple[str, Path], ...]
    gallery: Gallery


def find_drawable(folder: Path, search: bool, wanted: Wanted) -> list[Drawable]:
    """A run's or test's folder and, of a run, the tests in it; with `search` all runs and tests below.

    Raises:
        TransposeError: there is nothing to draw.
    """
    if not folder.is_dir():
        raise TransposeError(f"{folder} is not a folder")
    below = folder.rglob("*") if search else folder.glob("*")
    folders = [folder, *sorted(path for path in below if path.is_dir())]
    everything = [_drawable(each, Wanted()) for each in folders]
    if not any(each.maps or each.has_log for each in everything):
        raise TransposeError(
            f"{folder} holds no run with a log and no saved maps{'' if search else '; to look deeper: --search_dir'}; "
            "make maps with: transpose test-bpnp SCENE RUN --section S --save_map, or visualize RUN --section S "
            "(methods without coordinates, such as matching, have none: transpose report shows their poses)"
        )
    found = [each for each in (_drawable(each, wanted) for each in folders) if each.maps or each.has_log]
    if not found:
        words = " ".join([*sorted(wanted.kinds if len(wanted.kinds) < len(KINDS) else ()), *wanted.words])
        raise TransposeError(
            f"nothing in {folder} goes with --keywords {words}; "
            f"keywords are what is drawn ({', '.join(KINDS)}) and words that all stand in a path"
        )
    return found


def _drawable(folder: Path, wanted: Wanted) -> Drawable:
    maps = tuple(path for path in map_files(folder) if wanted.takes(folder / path.stem))
    has_log = "training" in wanted.kinds and wanted.takes(folder) and bool(unique_steps(runs.read_log(folder)))
    return Drawable(folder, maps if wanted.kinds - {"training"} else (), has_log)


def draw(each: Drawable, wanted: Wanted, frames: int, out: Path) -> Drawn:
    """Draws what a folder holds into PNG files under `out`.

    Args:
        each: of `find_drawable`.
        wanted: the same as there.
        frames: how many frames to draw at most, from the best to the worst.
        out: folder of the files.

    Raises:
        TransposeError: a saved map is broken.
    """
    pictures: list[tuple[str, Path]] = []
    if each.has_log:
        pictures.append(("Training", plot_training(runs.read_log(each.folder), out / "training.png")))
    maps = {path.stem: read_saved_map(path) for path in each.maps}
    if not maps:
        return Drawn(each.folder, (), tuple(pictures), Gallery((), None))
    scatter = draw_scatter(list(maps.values()), out / "error_vs_uncertainty.png") if _scattered(wanted) else None
    if scatter is not None:
        pictures.append(("Errors beside their predicted uncertainty", scatter))
    results = tuple(saved.result for saved in maps.values())
    chosen = choose_frames(results, frames)
    shown = [maps[result.stem] for _, result in chosen]
    drawn = [saved.as_drawn() for saved in shown]
    ranges = ColorRanges.of(chosen, drawn)
    gallery = gallery_of(chosen, drawn, [_photo(saved) for saved in shown], ranges)
    for saved in shown:
        _draw_maps(saved, ranges, wanted, out)
    return Drawn(each.folder, results, tuple(pictures), _only(gallery, wanted))


def _scattered(wanted: Wanted) -> bool:
    return bool(wanted.kinds & _SCATTER_KINDS)


def _draw_maps(saved: SavedMap, ranges: ColorRanges, wanted: Wanted, out: Path) -> None:
    maps, stem = saved.as_drawn(), saved.stem
    if "coordinates" in wanted.kinds:
        draw_coordinates(saved, ranges, out / f"{stem}_coordinates.png")
    if "error" in wanted.kinds and maps.error_hw is not None:
        draw_errors(maps.error_hw, f"{stem}: coordinate error", ranges, out / f"{stem}_error.png")
    if "uncertainty" in wanted.kinds and maps.expected_hw is not None:
        draw_errors(maps.expected_hw, f"{stem}: expected error", ranges, out / f"{stem}_uncertainty.png")


def _photo(saved: SavedMap) -> list[Picture]:
    if not saved.image.is_file():
        return [Picture(None, "The image is not there any more", "")]
    return [photo_picture(narrowed(read_image(saved.image)), saved.stem)]


def _only(gallery: Gallery, wanted: Wanted) -> Gallery:
    """The gallery with the wanted kinds of pictures, and the images."""
    kinds = {"image", *wanted.kinds}
    kept = [replace(f, pictures=tuple(p for p in f.pictures if p.kind in kinds)) for f in gallery.frames]
    return replace(gallery, frames=tuple(kept))
