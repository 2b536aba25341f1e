"""Point clouds of any size in square tiles: what lies near each other is read together, whatever the file's order."""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.points import CHUNK_POINTS, PointFile, Points

log = logging.getLogger(__name__)

_SAMPLE_POINTS = 200_000
_POINTS_PER_TILE = 400_000
_HALO_SPACINGS = 12  # neighbours farther away than this do not matter to anyone
_IN_MEMORY_POINTS = 8_000_000
_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_NOTED_WHITES = (1.0, 255.0, 65535.0)  # what software usually writes
_BRIGHT = 0.999
_NOTED_LOSS = 0.01  # share of the points that no pass yields
_NOTED_BLACK = 0.05
_COARSE_SPACINGS = 0.2
_STRAY_FRACTION = 0.001
_POINT = np.dtype([("xyz", "<f4", 3), ("rgb", "<u2", 3), ("class", "u1"), ("home", "?")])

Progress = Callable[[Iterable[Points], str, int], Iterable[Points]]


@dataclass(frozen=True)
class Survey:
    """What one pass over a cloud tells.

    Attributes:
        origin_3: whole metres near the middle of the cloud; everything else is relative to it.
        low_2, high_2: x and y of the box that holds all points but strays.
        spacing_m: mean distance of neighbouring points where there are any.
        white: the number of a full colour as stored.
        classes: ASPRS classes that occur; empty where the file has none.
        bounds_23: lowest and highest coordinates of all points, in the file's frame.
    """

    origin_3: np.ndarray
    low_2: np.ndarray
    high_2: np.ndarray
    spacing_m: float
    white: float
    classes: frozenset[int]
    bounds_23: np.ndarray


def survey(file: PointFile, chunk_points: int = CHUNK_POINTS, progress: Progress = lambda c, _, __: c) -> Survey:
    """Reads a cloud once.

    Raises:
        TransposeError: the cloud has hardly any points, or all of them are black.
    """
    every = max(1, file.count // _SAMPLE_POINTS)
    sample, colors, classes, brightest, total, black = [], [], set(), 0.0, 0, 0
    low_3, high_3 = np.full(3, np.inf), np.full(3, -np.inf)
    for points in progress(file.chunks(chunk_points), "surveying", -(-file.count // chunk_points)):
        if len(points) == 0:
            continue
        sample.append(points.xyz_n3[-total % every :: every])
        colors.append(points.rgb_n3[-total % every :: every].max(1))
        total += len(points)
        low_3 = np.minimum(low_3, points.xyz_n3.min(0))
        high_3 = np.maximum(high_3, points.xyz_n3.max(0))
        brightest = max(brightest, float(points.rgb_n3.max(initial=0)))
        black += int((points.rgb_n3.max(1) <= 0).sum())
        if points.class_n is not None:
            classes |= set(np.flatnonzero(np.bincount(points.class_n, minlength=256)).tolist())
    if total < 100:
        raise TransposeError(f"{file.path} has {total} usable points; a surface needs many more")
    if brightest == 0:
        raise TransposeError(f"{file.path} has no colour: all its points are black; colour it from photos first")
    white = file.white or _white(file.path, np.concatenate(colors).astype(np.float64), brightest)
    if total < (1 - _NOTED_LOSS) * file.count:
        log.warning(
            "%s: %s are left out: they have no finite coordinates, or are marked as withheld, noise or wires",
            file.path,
            f"{file.count - total} of {file.count} points",
        )
    if black > _NOTED_BLACK * total:
        log.warning(
            "%s: %.0f %% of the points are exactly black, as points are that no photo has coloured",
            file.path,
            100 * black / total,
        )
    sample_n3 = np.concatenate(sample)
    origin_3 = np.round(np.median(sample_n3, axis=0))
    low_2, high_2 = _box(sample_n3[:, :2] - origin_3[:2])
    spacing_m = _spacing(sample_n3[:, :2] - origin_3[:2], low_2, high_2, total / len(sample_n3))
    _warn_of_coarse_numbers(file.path, sample_n3, spacing_m)
    return Survey(origin_3, low_2, high_2, spacing_m, white, frozenset(classes), np.stack([low_3, high_3]))


def _white(path: Path, colors_n: np.ndarray, brightest: float) -> float:
    """The number of a full colour, from the brightest channels of a sample: the least number of bits that hold them.

    A few points may be brighter than nearly all: files are put together of others, and some writers overflow.
    """
    if brightest <= 1:
        return 1.0
    colors_n = colors_n[colors_n > 0]
    bright = float(np.quantile(colors_n, _BRIGHT)) if len(colors_n) else brightest
    white = next((each for each in _WHITES if bright <= each), _WHITES[-1])
    if white not in _NOTED_WHITES or brightest > white:
        log.warning(
            "%s: colours reach %g, nearly all of them %g; they are taken for %d-bit ones, %g is white",
            path, brightest, bright, round(np.log2(white + 1)), white,
        )  # fmt: skip
    return white


def _warn_of_coarse_numbers(path: Path, sample_n3: np.ndarray, spacing_m: float) -> None:
    """Says so where coordinates of a map were stored as single precision, which has steps of half a metre there."""
    single_n3 = sample_n3.astype(np.float32)
    step_m = float(np.spacing(np.abs(single_n3).max()))
    # Points on a grid are in steps as well, but all axes in the same, though numbers of single precision differ.
    fits = step_m > _COARSE_SPACINGS * spacing_m and (single_n3 == sample_n3).all()
    if fits and (sample_n3[:, :2] % step_m != 0).any():
        log.warning(
            "%s: coordinates are stored in single precision, in steps of up to %.2g m here; export them as doubles",
            path,
            step_m,
        )


def _box(xy_n2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box around all points, without the few that stray far from the others."""
    low_2, high_2 = np.quantile(xy_n2, [_STRAY_FRACTION, 1 - _STRAY_FRACTION], axis=0)
    reach_2 = 0.1 * (high_2 - low_2) + 1e-3
    inside_n = ((xy_n2 >= low_2 - reach_2) & (xy_n2 <= high_2 + reach_2)).all(1)
    # A sample does not hold the outermost points: the box is a little wider than what is seen of it.
    margin_2 = 0.01 * (high_2 - low_2) + 1e-3
    return xy_n2[inside_n].min(0) - margin_2, xy_n2[inside_n].max(0) + margin_2


def _spacing(xy_n2: np.ndarray, low_2: np.ndarray, high_2: np.ndarray, points_per_sample: float) -> float:
    """Root of the area per point, counted in cells that hold points: holes of the cloud do not count."""
    inside_n2 = xy_n2[((xy_n2 >= low_2) & (xy_n2 <= high_2)).all(1)]
    extent_2 = np.maximum(high_2 - low_2, 1e-6)
    # Each sampled point gets an eighth of a cell; fewer, and cells would be empty by chance.
    cell_m = float(np.sqrt(8 * extent_2.prod() / len(inside_n2)))
    for _ in range(2):  # the second round knows how much of the box is covered
        cells = np.unique(((inside_n2 - low_2) / cell_m).astype(np.int64) @ np.array([1 << 31, 1]))
        area_m2 = len(cells) * cell_m**2
        cell_m = float(np.sqrt(8 * area_m2 / len(inside_n2)))
    return float(np.sqrt(area_m2 / (len(inside_n2) * points_per_sample)))


class PointTiles:
    """Points of a cloud by square tile, each with a margin of its neighbours' points.

    Small clouds stay in memory; large ones are spilled to `folder`. Within a tile points keep the order of the file,
    however large the chunks were.
    """

    def __init__(self, folder: Path, low_2: np.ndarray, tile_m: float, halo_m: float) -> None:
        self._folder, self._low_2, self.tile_m, self._halo_m = folder, low_2, tile_m, halo_m
        self._parts: dict[tuple[int, int], list[np.ndarray]] = defaultdict(list)
        self._spilled: set[tuple[int, int]] = set()
        self._held = 0
        self.count = 0

    def add(self, points_n: np.ndarray) -> None:
        """Sorts points (of the dtype of this module) into tiles."""
        self.count += len(points_n)
        xy_n2 = points_n["xyz"][:, :2] - self._low_2
        home_n2 = np.floor(xy_n2 / self.tile_m).astype(np.int32)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                shift = np.array([i, j])
                tile_n2 = np.floor((xy_n2 + shift * self._halo_m) / self.tile_m).astype(np.int32)
                # A corner's neighbour is reached only by moving along both axes.
                reached_n = ((tile_n2 - home_n2) == shift).all(1)
                self._add_copies(points_n[reached_n], tile_n2[reached_n], home=i == 0 and j == 0)
        if self._held > _IN_MEMORY_POINTS:
            self._spill()

    def _add_copies(self, points_n: np.ndarray, tile_n2: np.ndarray, home: bool) -> None:
        if len(points_n) == 0:
            return
        points_n["home"] = home
        order_n = np.lexsort((tile_n2[:, 1], tile_n2[:, 0]))
        tile_n2, points_n = tile_n2[order_n], points_n[order_n]
        starts = np.flatnonzero(np.r_[True, (np.diff(tile_n2, axis=0) != 0).any(1)])
        for start, end in zip(starts, [*starts[1:], len(points_n)], strict=True):
            self._parts[(int(tile_n2[start, 0]), int(tile_n2[start, 1]))].append(points_n[start:end].copy())
        self._held += len(points_n)

    def _spill(self) -> None:
        for tile, parts in self._parts.items():
            with self._file(tile).open("ab") as file:
                for part in parts:
                    part.tofile(file)
            self._spilled.add(tile)
        self._parts.clear()
        self._held = 0

    def _file(self, tile: tuple[int, int]) -> Path:
        return self._folder / f"{tile[0]}_{tile[1]}.points"

    def tiles(self) -> list[tuple[int, int]]:
        """Column and row of every tile that has points or a margin, in a fixed order."""
        return sorted(self._spilled | set(self._parts))

    def read(self, tile: tuple[int, int]) -> np.ndarray:
        """Points of a tile; `home` tells its own from its margin's. Order: own and margin as they were added."""
        parts = [np.fromfile(self._file(tile), _POINT)] if tile in self._spilled else []
        points_n = np.concatenate([*parts, *self._parts.get(tile, [])]) if tile in self._parts else parts[0]
        return np.concatenate([points_n[points_n["home"]], points_n[~points_n["home"]]])


@contextmanager
def tiled(
    file: PointFile,
    facts: Survey,
    cell_m: float,
    chunk_points: int = CHUNK_POINTS,
    progress: Progress = lambda c, _, __: c,
) -> Iterator[PointTiles]:
    """A cloud in tiles whose edges are whole numbers of cells, for as long as the context lasts."""
    cells = max(16, round(np.sqrt(_POINTS_PER_TILE) * facts.spacing_m / cell_m))
    with tempfile.TemporaryDirectory(prefix="transpose-points-") as folder:
        tiles = PointTiles(Path(folder), facts.low_2, cells * cell_m, _HALO_SPACINGS * facts.spacing_m)
        for points in progress(file.chunks(chunk_points), "sorting", -(-file.count // chunk_points)):
            local_n3 = (points.xyz_n3 - facts.origin_3).astype(np.float32)
            inside_n = ((local_n3[:, :2] >= facts.low_2) & (local_n3[:, :2] < facts.high_2)).all(1)
            packed_n = np.zeros(int(inside_n.sum()), _POINT)
            packed_n["xyz"] = local_n3[inside_n]
            rgb_n3 = points.rgb_n3[inside_n]
            packed_n["rgb"] = np.rint(np.clip(rgb_n3 * (65535 / facts.white), 0, 65535))
            if points.class_n is not None:
                packed_n["class"] = points.class_n[inside_n]
            tiles.add(packed_n)
        yield tiles
