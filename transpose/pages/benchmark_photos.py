"""The worst photos of a method, each beside what its pose would show, or beside a map where no world is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transpose.evaluation.metrics import ERROR_PREFIX, FrameResult, split_refused
from transpose.pages.canvas import clean_axes, new_figure, plain_text, save_png
from transpose.pages.gallery import narrowed, world_image
from transpose.pages.plots import ESTIMATE_COLOR, TRUE_COLOR
from transpose.pages.wording import angle, length
from transpose.scenes.layout import Frame, Section
from transpose.worlds.top_down import map_limits, top_down

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transpose.worlds.renderer import Renderer

_SHOWN = 4
_INCHES = 2.9
_LONGEST_REASON = 60


def worst_photos(results: Sequence[FrameResult], most: int = _SHOWN) -> list[FrameResult]:
    """The poses that are most wrong, worst first, then some refusals, which take half of the places at most.

    Of a photo that several seeds tested, the worst one.
    """
    solved, refused = split_refused(results)
    by_stem = {each.stem: each for each in sorted(solved, key=lambda each: each.error[1])}
    solved = sorted(by_stem.values(), key=lambda each: each.error[1], reverse=True)
    spare = min(len({each.stem for each in refused}), max(most // 2, most - len(solved)))
    shown = solved[: most - spare]
    others = {each.stem: each for each in refused if each.stem not in {one.stem for one in shown}}
    return [*shown, *list(others.values())[:spare]]


def plot_worst(results: Sequence[FrameResult], section: Section, renderer: Renderer | None, path: Path) -> Path | None:
    """Writes the worst photos of a method as PNG: above the photo with its error, below what the pose would show.

    Args:
        results: of the section, of one or several seeds.
        section: that was tested.
        renderer: of the world; None: below is a map of the true cameras with the true place and the estimated one.
        path: of the PNG; its folder is made.

    Returns:
        The path; None where there is nothing to show.
    """
    frames = {frame.stem: frame for frame in section.frames}
    worst = worst_photos([result for result in results if result.stem in frames])
    if not worst:
        return None
    figure = new_figure(_INCHES * len(worst), 2 * _INCHES)
    above, below = figure.subplots(2, len(worst), squeeze=False)
    for photo_axes, other_axes, result in zip(above, below, worst, strict=True):
        frame = frames[result.stem]
        photo_hw3 = narrowed(frame.image())
        photo_axes.imshow(photo_hw3)
        photo_axes.set_title(plain_text(f"{result.stem}\n{_told(result)}"), fontsize=8)
        photo_axes.axis("off")
        if renderer is None:
            _draw_map(other_axes, section.frames, result)
        else:
            _draw_view(other_axes, frame, result, renderer, (photo_hw3.shape[0], photo_hw3.shape[1]))
    return save_png(figure, path)


def _told(result: FrameResult) -> str:
    if result.estimate.pose is None:
        reason = result.estimate.reason
        kind = "failed" if reason.startswith(ERROR_PREFIX) else "refused"
        return f"{kind}: {reason.removeprefix(ERROR_PREFIX)[:_LONGEST_REASON]}"
    degrees, off = result.told_error
    return f"{length(off, result.unit)}, {angle(degrees)}"


def _draw_view(axes: Axes, frame: Frame, result: FrameResult, renderer: Renderer, shape: tuple[int, int]) -> None:
    axes.axis("off")
    if result.estimate.pose is None:
        axes.set_title("no pose", fontsize=8)
        return
    axes.imshow(world_image(renderer, frame.camera.resized(shape[1], shape[0]), result.estimate.pose))
    axes.set_title("the world at this pose", fontsize=8)


def _draw_map(axes: Axes, frames: Sequence[Frame], result: FrameResult) -> None:
    """The true cameras in grey, this one's true place and viewing direction, and the estimated ones."""
    centers_n3 = np.array([frame.pose.center for frame in frames])
    plan = top_down(centers_n3, None, result.unit)
    poses = [result.truth, *([] if result.estimate.pose is None else [result.estimate.pose])]
    places_n2 = plan.places(np.array([pose.center for pose in poses]))
    limits = map_limits(plan.places(centers_n3), places_n2, result.unit)
    arrow = 0.12 * float((limits[1] - limits[0]).max())
    axes.plot(*plan.places(centers_n3).T, ".", color="#c0c0c0", markersize=3)
    styles = ((TRUE_COLOR, "true"), (ESTIMATE_COLOR, "estimated"))[: len(poses)]
    for place_2, ahead_2, (color, label) in zip(places_n2, arrow * plan.directions(poses), styles, strict=True):
        axes.plot(*place_2, "o", color=color, markersize=5, label=label)
        axes.plot(*zip(place_2, place_2 + ahead_2, strict=True), color=color, linewidth=1.2)
    axes.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]), aspect="equal")
    axes.tick_params(labelsize=6)
    axes.legend(frameon=False, fontsize=7)
    clean_axes(axes)
