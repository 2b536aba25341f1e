"""The report's gallery: chosen frames beside what the localizer made of them."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from transpose.evaluation.maps import FrameMaps
from transpose.evaluation.metrics import FrameResult, split_refused
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization import Localizer, PredictsCoordinates
from transpose.pages.wording import length, round_length
from transpose.scenes.layout import Frame, Section
from transpose.scenes.unit import METRE, SceneUnit
from transpose.selection import evenly_chosen

if TYPE_CHECKING:
    from transpose.worlds.renderer import Renderer

_PHOTO_WIDTH = 400
_PHOTO_QUALITY = 82
UNKNOWN_RGB = (214, 214, 217)


@dataclass(frozen=True)
class Picture:
    """One picture of a frame: a data URI (None where there is nothing to show, as `caption` says), and its words."""

    uri: str | None
    caption: str
    alt: str
    coarse: bool = False  # one pixel a cell: shown enlarged without smoothing
    kind: str = "image"  # or "coordinates", "error", "uncertainty", "task": what a cell's colour means


@dataclass(frozen=True)
class GalleryFrame:
    """A chosen frame: why it was chosen, its result, its pictures and the median predicted error as told, if any."""

    why: str
    result: FrameResult
    pictures: tuple[Picture, ...]
    median_expected: float | None


@dataclass(frozen=True)
class Gallery:
    """The chosen frames, and the upper end of the colour scale that all error maps share; None: no maps."""

    frames: tuple[GalleryFrame, ...]
    scale: float | None
    unit: SceneUnit = METRE


@dataclass(frozen=True)
class ColorRanges:
    """The colours that several maps share, so that they can be compared.

    Attributes:
        low_3, high_3: world points where the coordinates' red, green and blue begin and end.
        scale: upper end of the errors' colours, as lengths are told: in metres, or in per cent of the cameras' extent.
        unit: of the scene.
    """

    low_3: np.ndarray
    high_3: np.ndarray
    scale: float
    unit: SceneUnit = METRE

    @classmethod
    def of(cls, chosen: Sequence[tuple[str, FrameResult]], maps: Sequence[FrameMaps]) -> ColorRanges:
        """Colours for most of what the maps of chosen frames show, so that a few wild cells do not take them all.

        Frames without a pose do not count in the errors' scale, unless none has one.
        """
        points_n3 = np.concatenate([each.points_hw3.reshape(-1, 3) for each in maps])
        low_3, high_3 = np.quantile(points_n3, [0.05, 0.95], axis=0)
        solved = [each for each, (_, result) in zip(maps, chosen, strict=True) if result.estimate.pose]
        return cls(low_3, high_3, _scale(solved or maps), chosen[0][1].unit)

    def coordinates(self, points_hw3: np.ndarray) -> np.ndarray:
        """Colours (height, width, 3) uint8 of world points: x, y, z as red, green, blue."""
        colors_hw3 = np.clip((points_hw3 - self.low_3) / np.maximum(self.high_3 - self.low_3, 1e-12), 0, 1)
        return (255 * np.nan_to_num(colors_hw3)).astype(np.uint8)

    def errors(self, error_hw: np.ndarray) -> np.ndarray:
        """Colours (height, width, 3) uint8 of errors as they are told; grey where unknown."""
        return viridis(error_hw, self.scale)


def choose_frames(results: Sequence[FrameResult], count: int) -> list[tuple[str, FrameResult]]:
    """Up to `count` results with the reason for each: from the best position error to the worst, then refused ones."""
    solved, refused = split_refused(results)
    solved = sorted(solved, key=lambda result: result.error[1])
    spare = min(len(refused), 2 if solved else count, count - min(count - 1, len(solved)))
    total = len(solved)
    ranks = evenly_chosen(total, count - spare)
    middle = total // 2
    if len(ranks) > 2:  # the median itself, not a neighbour of it
        nearest = min(range(1, len(ranks) - 1), key=lambda i: abs(ranks[i] - middle))
        ranks[nearest] = middle
    names = {0: "Best", total - 1: "Worst", **({middle: "Median"} if total > 2 else {})}
    chosen = [(names.get(rank, f"Rank {rank + 1} of {total}"), solved[rank]) for rank in ranks]
    return chosen + [("Refused", refused[i]) for i in evenly_chosen(len(refused), spare)]


def make_gallery(
    localizer: Localizer,
    section: Section,
    results: Sequence[FrameResult],
    renderer: Renderer | None,
    count: int,
    more: Callable[[Frame], Sequence[Picture]] = lambda frame: (),
) -> Gallery:
    """Draws the chosen frames of a section, with maps of what the localizer predicts, where it predicts coordinates.

    Results whose frame the section lacks, or that raised, are not chosen. Of each frame `more` pictures come last.
    """
    frames = {frame.stem: frame for frame in section.frames}
    chosen = choose_frames([result for result in results if result.stem in frames and not result.raised], count)
    if not chosen:
        return Gallery((), None)
    photos = [_photos(frames[result.stem], result, renderer) for _, result in chosen]
    if not isinstance(localizer, PredictsCoordinates):
        pairs = zip(chosen, photos, strict=True)
        return Gallery(tuple(GalleryFrame(why, result, tuple(shown), None) for (why, result), shown in pairs), None)
    maps = [FrameMaps.of(localizer, frames[result.stem]) for _, result in chosen]
    last = [more(frames[result.stem]) for _, result in chosen]
    return gallery_of(chosen, maps, photos, ColorRanges.of(chosen, maps), last)


def gallery_of(
    chosen: Sequence[tuple[str, FrameResult]],
    maps: Sequence[FrameMaps],
    photos: Sequence[Sequence[Picture]],
    ranges: ColorRanges,
    last: Sequence[Sequence[Picture]] | None = None,
) -> Gallery:
    """Draws the maps of chosen frames behind what each frame's `photos` show; what is `last` comes behind them."""
    drawn = zip(chosen, maps, photos, last or [()] * len(chosen), strict=True)
    made = [
        GalleryFrame(why, result, (*shown, *map_pictures(result.stem, each, ranges), *more), _middle(each.expected_hw))
        for (why, result), each, shown, more in drawn
    ]
    return Gallery(tuple(made), ranges.scale, ranges.unit)


def _scale(maps: Sequence[FrameMaps]) -> float:
    """A round number above twice the median of the told errors: where most of them differ. Unlike a high quantile, it
    does not follow wild cells, which may be a third of all."""
    values = [m.expected_hw if m.error_hw is None else m.error_hw for m in maps]
    flat_n = np.concatenate([np.zeros(0), *(v[np.isfinite(v)] for v in values if v is not None)])
    if len(flat_n) == 0:
        return 1.0
    high = max(2 * float(np.median(flat_n)), 1e-3)
    decade = 10.0 ** math.floor(math.log10(high))
    return next(step * decade for step in (1, 2, 5, 10) if step * decade >= 0.999 * high)


def map_pictures(stem: str, maps: FrameMaps, ranges: ColorRanges) -> list[Picture]:
    """A frame's maps, one pixel a cell: coordinates, and error and expected error where they are known."""
    colors_hw3 = ranges.coordinates(maps.points_hw3)
    alt = f"Predicted coordinates of {stem}"
    pictures = [Picture(png_uri(colors_hw3), "Predicted coordinates", alt, True, "coordinates")]
    range_words = f"colours from 0 to {round_length(ranges.scale, ranges.unit)}"
    if maps.error_hw is not None:
        median = _middle(maps.error_hw)
        middle = "unknown" if median is None else length(median, ranges.unit)
        uri = png_uri(ranges.errors(maps.error_hw))
        alt = f"Coordinate error of {stem}, {range_words}, median {middle}"
        pictures.append(Picture(uri, f"Coordinate error, median {middle}", alt, True, "error"))
    if maps.expected_hw is not None:
        middle = length(float(np.median(maps.expected_hw)), ranges.unit)
        uri = png_uri(ranges.errors(maps.expected_hw))
        alt = f"Error that the network expects in {stem}, {range_words}, median {middle}"
        pictures.append(Picture(uri, f"Expected error, median {middle}", alt, True, "uncertainty"))
    return pictures


def _middle(values_hw: np.ndarray | None) -> float | None:
    """Median of what is finite, None of nothing."""
    known_n = np.zeros(0) if values_hw is None else values_hw[np.isfinite(values_hw)]
    return float(np.median(known_n)) if len(known_n) else None


def _photos(frame: Frame, result: FrameResult, renderer: Renderer | None) -> list[Picture]:
    photo_hw3 = narrowed(frame.image())
    pictures = [photo_picture(photo_hw3, frame.stem)]
    if renderer is not None:
        pictures.append(_render(renderer, frame, result, (photo_hw3.shape[0], photo_hw3.shape[1])))
    return pictures


def photo_picture(photo_hw3: np.ndarray, stem: str) -> Picture:
    """A frame's image."""
    return Picture(jpeg_uri(photo_hw3), "Image", f"Image of frame {stem}")


def _render(renderer: Renderer, frame: Frame, result: FrameResult, shape: tuple[int, int]) -> Picture:
    if result.estimate.pose is None:
        return Picture(None, f"No pose: {result.estimate.reason}", "")
    rgb_hw3 = world_image(renderer, frame.camera.resized(shape[1], shape[0]), result.estimate.pose)
    alt = f"The world rendered at the estimated pose of {result.stem}"
    return Picture(jpeg_uri(rgb_hw3), "World at the estimated pose", alt)


def world_image(renderer: Renderer, camera: Camera, pose: Pose) -> np.ndarray:
    """The world as a camera would see it, (height, width, 3) uint8; grey where there is nothing."""
    view = renderer.view(camera, pose)
    return np.where(view.seen_hw[..., None], view.rgb_hw3, np.array(UNKNOWN_RGB, np.uint8))


def viridis(values_hw: np.ndarray, high: float) -> np.ndarray:
    """Colours (height, width, 3) uint8 of values from 0 to `high` and beyond; grey where not finite."""
    levels_hw = (255 * np.clip(np.nan_to_num(values_hw / high, posinf=1), 0, 1)).astype(np.uint8)
    rgb_hw3 = np.ascontiguousarray(cv2.applyColorMap(levels_hw, cv2.COLORMAP_VIRIDIS)[..., ::-1])
    rgb_hw3[~np.isfinite(values_hw)] = UNKNOWN_RGB
    return rgb_hw3


def narrowed(rgb_hw3: np.ndarray) -> np.ndarray:
    """An image at the width that pages show, or as it is where it is narrower."""
    height, width = rgb_hw3.shape[:2]
    if width <= _PHOTO_WIDTH:
        return rgb_hw3
    return cv2.resize(rgb_hw3, (_PHOTO_WIDTH, round(height * _PHOTO_WIDTH / width)), interpolation=cv2.INTER_AREA)


def jpeg_uri(rgb_hw3: np.ndarray) -> str:
    """A data URI of an RGB uint8 image, as JPEG."""
    return _uri(".jpg", "image/jpeg", rgb_hw3[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _PHOTO_QUALITY])


def png_uri(image: np.ndarray) -> str:
    """A data URI of an RGB or RGBA uint8 image, as PNG."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return _uri(".png", "image/png", cv2.cvtColor(np.ascontiguousarray(image), order), [])


def _uri(ending: str, kind: str, image: np.ndarray, options: list[int]) -> str:
    done, data = cv2.imencode(ending, np.ascontiguousarray(image), options)
    assert done, "OpenCV encodes every uint8 image"
    return f"data:{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
