"""Pictures of a scene: a contact sheet, and maps seen from above.

matplotlib takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from transpose.geometry.poses import Pose
from transpose.inspection.coverage import Coverage
from transpose.inspection.surface import Surface, sample_surface
from transpose.pages.canvas import new_figure, save_png
from transpose.pages.plots import series_color
from transpose.scenes import files
from transpose.scenes.layout import Section
from transpose.scenes.unit import METRE, SceneUnit
from transpose.selection import evenly_chosen
from transpose.worlds.top_down import TopDown, top_down

_SHOWN_FRAMES, _SHOWN_WIDTH, _MARGIN, _TITLE = 6, 260, 8, 26
_MAPPED_FRAMES, _MOST_TICKS = 120, 300


def draw_contact_sheet(sections: Sequence[Section], path: Path) -> Path:
    """Writes a PNG with some frames of each section, a row each."""
    rows = []
    for section in sections:
        pictures = []
        for index in evenly_chosen(len(section), _SHOWN_FRAMES):
            image_hw3 = section.frames[index].image()
            height = max(1, round(image_hw3.shape[0] * _SHOWN_WIDTH / image_hw3.shape[1]))
            pictures.append(cv2.resize(image_hw3, (_SHOWN_WIDTH, height), interpolation=cv2.INTER_AREA))
        tallest = max(len(picture) for picture in pictures)
        row = np.full(
            (_TITLE + tallest + _MARGIN, _SHOWN_FRAMES * (_SHOWN_WIDTH + _MARGIN) + _MARGIN, 3), 255, np.uint8
        )
        words = f"{section.name}: {len(section)} frames"
        cv2.putText(row, words, (_MARGIN, _TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
        for place, picture in enumerate(pictures):
            left = _MARGIN + place * (_SHOWN_WIDTH + _MARGIN)
            row[_TITLE : _TITLE + len(picture), left : left + _SHOWN_WIDTH] = picture
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_image(path, np.vstack(rows))
    return path


def draw_map(sections: Sequence[Section], up_3: np.ndarray | None, path: Path) -> Path:
    """Writes a PNG seen from above: the surface that labels show in its colours, and where cameras stand and look."""
    poses = {section.name: [frame.pose for frame in section.frames] for section in sections}
    centers_n3 = np.array([pose.center for some in poses.values() for pose in some])
    view = top_down(centers_n3, up_3, _unit_of(all(section.facts.metric for section in sections)))
    figure = new_figure(9, 9)
    axes = figure.subplots()
    for section in sections:
        surface = sample_surface(section.frames, max(4, _MAPPED_FRAMES // len(sections)))
        if len(surface.points_n3):
            _scatter_surface(axes, view, surface)
    for index, (name, some) in enumerate(poses.items()):
        _draw_cameras(axes, view, some, name, series_color(index))
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], aspect="equal")
    axes.legend(frameon=False, loc="upper right")
    return save_png(figure, path)


def _unit_of(metric: bool) -> SceneUnit:
    """Of a map whose labels do not tell the extent: metres only where all that it shows is in metres."""
    return METRE if metric else SceneUnit(False, 1.0)


def draw_coverage(
    coverage: Coverage, poses: Sequence[Pose], up_3: np.ndarray | None, title: str, path: Path, metric: bool = True
) -> Path:
    """Writes a PNG seen from above: from how many directions each place was seen."""
    view = top_down(np.array([pose.center for pose in poses]), up_3, _unit_of(metric))
    places_c2 = view.places(coverage.centers_c3)
    order = np.argsort(coverage.directions_c)
    figure = new_figure(9, 8)
    axes = figure.subplots()
    high = max(4, int(np.quantile(coverage.directions_c, 0.98)))
    x_c, y_c = places_c2[order].T
    colors_c = coverage.directions_c[order]
    drawn = axes.scatter(x_c, y_c, c=colors_c, s=4, cmap="viridis", vmin=1, vmax=high, linewidths=0)
    figure.colorbar(drawn, ax=axes, label="directions from which it was seen, of 64", shrink=0.7)
    _draw_cameras(axes, view, poses, "views without support", "#d55e00") if title else None
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], aspect="equal", title=title)
    return save_png(figure, path)


def _scatter_surface(axes: Any, view: TopDown, surface: Surface) -> None:
    places_n2 = view.places(surface.points_n3)
    axes.scatter(*places_n2.T, c=surface.rgb_n3 / 255, s=2, linewidths=0, alpha=0.5, zorder=0)


def _draw_cameras(axes: Any, view: TopDown, poses: Sequence[Pose], name: str, color: str) -> None:
    some = [poses[i] for i in evenly_chosen(len(poses), _MOST_TICKS)]
    if not some:
        return
    places_n2, ahead_n2 = view.places(np.array([pose.center for pose in some])), view.directions(some)
    axes.quiver(*places_n2.T, *ahead_n2.T, color=color, width=0.0022, scale=28, alpha=0.8)
    axes.plot(*places_n2.T, ".", color=color, markersize=4, label=f"{name} ({len(poses)})")
