"""What a scene holds: facts of its sections, a contact sheet, and a map seen from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from transpose.geometry.poses import Pose
from transpose.inspection.coverage import Coverage
from transpose.inspection.surface import Surface, labelled_points, sample_surface, spread_over
from transpose.pages.plots import series_color
from transpose.pages.top_down import TopDown, top_down
from transpose.scenes import files
from transpose.scenes.layout import LABEL_LAYERS, Frame, Section
from transpose.storage import replacing_file

_SHOWN_FRAMES, _SHOWN_WIDTH, _MARGIN, _TITLE = 6, 260, 8, 26
_SAMPLED_FRAMES = 24
_MAPPED_FRAMES, _MOST_TICKS = 120, 300


def section_facts(section: Section) -> dict[str, Any]:
    """Counts, sizes, intrinsics, extents and labels of a section; label coverage on some frames evenly chosen."""
    cameras = [frame.camera for frame in section.frames]
    center_n3 = np.array([frame.pose.center for frame in section.frames])
    ahead_n3 = np.array([frame.pose.R_wc[:, 2] for frame in section.frames])
    step_n = np.linalg.norm(np.diff(center_n3, axis=0), axis=1)
    mean_3 = ahead_n3.mean(0) / max(float(np.linalg.norm(ahead_n3.mean(0))), 1e-9)
    spread_n = np.degrees(np.arccos(np.clip(ahead_n3 @ mean_3, -1, 1)))
    chosen = [section.frames[i] for i in spread_over(section.frames, _SAMPLED_FRAMES)]
    return {
        "frames": len(section),
        "image_sizes": sorted({f"{camera.width}x{camera.height}" for camera in cameras}),
        "focal_px": [min(camera.fx for camera in cameras), max(camera.fx for camera in cameras)],
        "extent_m": np.ptp(center_n3, axis=0).tolist(),
        "low_m": center_n3.min(0).tolist(),
        "high_m": center_n3.max(0).tolist(),
        "median_step_m": float(np.median(step_n)) if len(step_n) else 0.0,
        "viewing_spread_deg": float(np.quantile(spread_n, 0.9)),
        "labels": {
            layer: sum(frame.has(layer) for frame in section.frames) / len(section)
            for layer in LABEL_LAYERS
            if any(frame.has(layer) for frame in section.frames)
        },
        "labelled_share": float(np.mean([_labelled_share(frame) for frame in chosen])),
    }


def _labelled_share(frame: Frame) -> float:
    px_n2, _ = labelled_points(frame, 1000)
    return len(px_n2) / max(1, min(1000, (frame.camera.width // 8) * (frame.camera.height // 8)))


def facts_table(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """The facts of all sections as a person reads them."""
    rows = [("section", "frames", "images", "focal px", "extent m", "step m", "views within", "labels", "labelled")]
    for name, each in facts.items():
        low, high = each["focal_px"]
        labels = " ".join(
            f"{layer}{'' if share == 1 else f' {100 * share:.0f}%'}" for layer, share in each["labels"].items()
        )
        rows.append(
            (
                name,
                str(each["frames"]),
                " ".join(each["image_sizes"][:2]) + (" ..." if len(each["image_sizes"]) > 2 else ""),
                f"{low:.1f}" if high - low < 0.05 else f"{low:.1f}-{high:.1f}",
                " x ".join(f"{metres:.3g}" for metres in each["extent_m"]),
                f"{each['median_step_m']:.3g}",
                f"{each['viewing_spread_deg']:.0f} deg",
                labels or "none",
                f"{100 * each['labelled_share']:.0f} %",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def draw_contact_sheet(sections: Sequence[Section], path: Path) -> Path:
    """Writes a PNG with some frames of each section, a row each."""
    rows = []
    for section in sections:
        pictures = []
        for index in spread_over(section.frames, _SHOWN_FRAMES):
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
    from matplotlib.figure import Figure

    poses = {section.name: [frame.pose for frame in section.frames] for section in sections}
    view = top_down(np.array([pose.center for some in poses.values() for pose in some]), up_3)
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots()
    for section in sections:
        surface = sample_surface(section.frames, max(4, _MAPPED_FRAMES // len(sections)))
        if len(surface.points_n3):
            _scatter_surface(axes, view, surface)
    for index, (name, some) in enumerate(poses.items()):
        _draw_cameras(axes, view, some, name, series_color(index))
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], aspect="equal")
    axes.legend(frameon=False, loc="upper right")
    return _saved(figure, path)


def draw_coverage(coverage: Coverage, poses: Sequence[Pose], up_3: np.ndarray | None, title: str, path: Path) -> Path:
    """Writes a PNG seen from above: from how many directions each place was seen."""
    from matplotlib.figure import Figure

    view = top_down(np.array([pose.center for pose in poses]), up_3)
    places_c2 = view.places(coverage.centers_c3)
    order = np.argsort(coverage.directions_c)
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    high = max(4, int(np.quantile(coverage.directions_c, 0.98)))
    x_c, y_c = places_c2[order].T
    colors_c = coverage.directions_c[order]
    drawn = axes.scatter(x_c, y_c, c=colors_c, s=4, cmap="viridis", vmin=1, vmax=high, linewidths=0)
    figure.colorbar(drawn, ax=axes, label="directions from which it was seen, of 64", shrink=0.7)
    _draw_cameras(axes, view, poses, "views without support", "#d55e00") if title else None
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], aspect="equal", title=title)
    return _saved(figure, path)


def _scatter_surface(axes: Any, view: TopDown, surface: Surface) -> None:
    places_n2 = view.places(surface.points_n3)
    axes.scatter(*places_n2.T, c=surface.rgb_n3 / 255, s=2, linewidths=0, alpha=0.5, zorder=0)


def _draw_cameras(axes: Any, view: TopDown, poses: Sequence[Pose], name: str, color: str) -> None:
    some = [poses[i] for i in np.linspace(0, len(poses) - 1, min(_MOST_TICKS, len(poses))).round().astype(int)]
    if not some:
        return
    places_n2, ahead_n2 = view.places(np.array([pose.center for pose in some])), view.directions(some)
    axes.quiver(*places_n2.T, *ahead_n2.T, color=color, width=0.0022, scale=28, alpha=0.8)
    axes.plot(*places_n2.T, ".", color=color, markersize=4, label=f"{name} ({len(poses)})")


def _saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    return path
