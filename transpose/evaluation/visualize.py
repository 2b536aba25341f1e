"""Coordinate, error and uncertainty maps and training curves, as PNG files and one page that holds them all."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from transpose import runs
from transpose.errors import TransposeError
from transpose.evaluation.gallery import png_uri, viridis
from transpose.evaluation.maps import MAPS_FOLDER, SavedMap, read_saved_maps
from transpose.evaluation.plots import plot_training
from transpose.evaluation.wording import length
from transpose.scenes import files
from transpose.storage import replacing_file

_MOST_MAPS = 12
_ENLARGED = 6
_HIGH_QUANTILE = 0.8  # of the errors: the upper end of the colours
_SCATTERED = 20_000


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one folder: a title and pictures (caption, PNG file)."""

    title: str
    pictures: list[tuple[str, Path]]


def folders_to_draw(folder: Path, search: bool, keywords: Sequence[str]) -> list[Path]:
    """A run or results folder, or with `search` all of them below it whose path holds every keyword.

    Raises:
        TransposeError: there is nothing to draw.
    """
    if not folder.is_dir():
        raise TransposeError(f"{folder} is not a folder")
    candidates = [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())] if search else [folder]
    found = [p for p in candidates if _has_maps(p) or (p / runs.LOG_FILE).is_file()]
    kept = [p for p in found if all(word in str(p) for word in keywords)]
    if not kept:
        why = f", and whose path holds {' and '.join(keywords)}" if found and keywords else ""
        raise TransposeError(
            f"{folder} holds no run with a log and no results with saved maps{why}; "
            "make maps with: transpose test RUN SCENE --section S --out DIR --save-map"
        )
    return kept


def _has_maps(folder: Path) -> bool:
    return (folder / MAPS_FOLDER).is_dir() and any((folder / MAPS_FOLDER).glob("*.npz"))


def draw(folder: Path, out: Path) -> Drawn:
    """Draws what a folder holds into PNG files under `out`."""
    pictures: list[tuple[str, Path]] = []
    out.mkdir(parents=True, exist_ok=True)
    if log := runs.read_log(folder):
        pictures.append(("Training", plot_training(log, out / "training.png")))
    if _has_maps(folder):
        pictures += _draw_maps(read_saved_maps(folder / MAPS_FOLDER), out)
    return Drawn(str(folder), pictures)


def _draw_maps(maps: Sequence[SavedMap], out: Path) -> list[tuple[str, Path]]:
    chosen = [maps[i] for i in np.linspace(0, len(maps) - 1, min(_MOST_MAPS, len(maps))).round().astype(int)]
    low_3, high_3 = _bounds(chosen)
    errors = np.concatenate([each.error_hw[np.isfinite(each.error_hw)] for each in chosen])
    sigmas = np.concatenate([each.sigma_hw[np.isfinite(each.sigma_hw)] for each in chosen])
    scale_m = (
        float(np.quantile(errors if len(errors) else sigmas, _HIGH_QUANTILE)) if len(errors) + len(sigmas) else 1.0
    )
    pictures = []
    for each in chosen:
        colors_hw3 = np.clip((each.coordinates_hw3 - low_3) / np.maximum(high_3 - low_3, 1e-9), 0, 1)
        drawn = {"coordinates": (255 * colors_hw3).astype(np.uint8)}
        captions = {"coordinates": f"{each.stem}: coordinates"}
        if np.isfinite(each.error_hw).any():
            drawn["error"] = viridis(each.error_hw, scale_m)
            median = length(float(np.nanmedian(each.error_hw)))
            captions["error"] = f"{each.stem}: error, 0 to {length(scale_m)}, median {median}"
        if np.isfinite(each.sigma_hw).any():
            # The distance that a standard deviation along each of three axes makes.
            drawn["uncertainty"] = viridis(np.sqrt(3) * each.sigma_hw, scale_m)
            captions["uncertainty"] = f"{each.stem}: stated error, same colours"
        for kind, image_hw3 in drawn.items():
            path = out / f"{each.stem}_{kind}.png"
            files.write_image(path, _enlarged(image_hw3))
            pictures.append((captions[kind], path))
    if len(errors) and len(sigmas):
        pictures.append(("Errors beside what was stated of them", _scatter(chosen, out / "error_vs_uncertainty.png")))
    return pictures


def _bounds(maps: Sequence[SavedMap]) -> tuple[np.ndarray, np.ndarray]:
    """Most of what the maps show, so that a few wild cells do not take all colours."""
    points_n3 = np.concatenate([each.coordinates_hw3.reshape(-1, 3)[::7] for each in maps])
    low_3, high_3 = np.quantile(points_n3, [0.02, 0.98], axis=0)
    return low_3, high_3


def _enlarged(image_hw3: np.ndarray) -> np.ndarray:
    size = image_hw3.shape[1] * _ENLARGED, image_hw3.shape[0] * _ENLARGED
    return np.asarray(cv2.resize(image_hw3, size, interpolation=cv2.INTER_NEAREST))


def _scatter(maps: Sequence[SavedMap], path: Path) -> Path:
    error_n = np.concatenate([each.error_hw.ravel() for each in maps])
    stated_n = np.sqrt(3) * np.concatenate([each.sigma_hw.ravel() for each in maps]).astype(np.float64)
    known_n = np.isfinite(error_n) & np.isfinite(stated_n) & (error_n > 0)
    step = max(1, int(known_n.sum()) // _SCATTERED)
    error_n, stated_n = error_n[known_n][::step], stated_n[known_n][::step]
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(stated_n, error_n, s=2, alpha=0.15, color="#2a6fbb", linewidths=0)
    ends = [min(stated_n.min(), np.quantile(error_n, 0.01)), max(stated_n.max(), error_n.max())]
    axes.plot(ends, ends, color="0.4", lw=1)
    axes.set(xscale="log", yscale="log", xlabel="stated error, m", ylabel="error, m")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path


def write_page(drawn: Sequence[Drawn], path: Path) -> Path:
    """One page with everything in it."""
    style = (resources.files("transpose.evaluation") / "report.css").read_text()
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>TransPose: maps</title><style>{style}</style><main>"
    ]
    for each in drawn:
        parts.append(f"<h2>{html.escape(each.title)}</h2><div class=maps>")
        for caption, picture in each.pictures:
            text = html.escape(caption)
            uri = png_uri(files.read_image(picture))
            parts.append(f'<figure><img src="{uri}" alt="{text}"><figcaption>{text}</figcaption></figure>')
        parts.append("</div>")
    parts.append("</main></html>")
    with replacing_file(path) as temporary:
        temporary.write_text("".join(parts))
    return path
