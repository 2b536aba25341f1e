"""What a network knows of an image beside coordinates, beside the labels: depth, normals and classes as pictures."""

from __future__ import annotations

import numpy as np

from transpose.evaluation.tasks import TaskLabels, depth_errors, normal_errors
from transpose.localization import Localizer
from transpose.localization.localizer import task_maps_of, tasks_learned
from transpose.localization.task_maps import TaskMaps
from transpose.pages.gallery import UNKNOWN_RGB, Picture, png_uri, viridis
from transpose.pages.wording import angle
from transpose.scenes.classes import CLASS_NAMES
from transpose.scenes.layout import Frame

_FAR = 0.98  # of the true depths, that the colours cover
# Of `CLASS_NAMES`, in its order.
_CLASS_COLORS = ((135, 190, 235), (196, 170, 130), (80, 150, 70), (205, 92, 82), (50, 90, 170), (150, 110, 170))
_COLOR_NAMES = ("light blue", "sand", "green", "red", "dark blue", "purple")
TASK_WORDS = (
    "Depth: dark is near. Normals: right, down and towards the camera as red, green, blue. Classes: "
    + ", ".join(f"{name} {color}" for name, color in zip(CLASS_NAMES, _COLOR_NAMES, strict=True))
    + "."
)


def task_pictures(localizer: Localizer, frame: Frame) -> list[Picture]:
    """The maps of each task that a localizer learned of a frame, and behind each its label where there is one."""
    tasks = tasks_learned(localizer)
    if not tasks:
        return []
    maps = task_maps_of(localizer, frame.image(), frame.camera)
    labels = TaskLabels.of(frame, maps)
    drawn = {"depth": _depth, "normal": _normals, "semantics": _classes}
    return [picture for task in tasks for picture in drawn[task](frame.stem, maps, labels)]


def _depth(stem: str, maps: TaskMaps, labels: TaskLabels) -> list[Picture]:
    assert maps.depth is not None
    known_hw = np.isfinite(labels.depth_hw)
    shown_hw = labels.depth_hw[known_hw] if known_hw.any() else maps.depth.depth_hw
    far = float(np.quantile(shown_hw, _FAR))
    words = "Predicted depth"
    if known_hw.any():
        words += f", median {100 * np.nanmedian(np.abs(depth_errors(maps, labels))):.1f} % off"
    return _pair(stem, words, viridis(maps.depth.depth_hw, far), "Depth", viridis(labels.depth_hw, far), known_hw)


def _normals(stem: str, maps: TaskMaps, labels: TaskLabels) -> list[Picture]:
    assert maps.normal is not None
    known_hw = np.isfinite(labels.normals_hw3).all(-1)
    words = "Predicted normals"
    if known_hw.any():
        words += f", median {angle(float(np.nanmedian(normal_errors(maps, labels))))} off"
    predicted_hw3, label_hw3 = _directions(maps.normal.normals_hw3), _directions(labels.normals_hw3)
    return _pair(stem, words, predicted_hw3, "Normals", label_hw3, known_hw)


def _classes(stem: str, maps: TaskMaps, labels: TaskLabels) -> list[Picture]:
    assert maps.semantics is not None
    colors_k3 = np.array((*_CLASS_COLORS, UNKNOWN_RGB), np.uint8)
    known_hw = labels.classes_hw < len(CLASS_NAMES)
    words = "Predicted classes"
    if known_hw.any():
        right = (maps.semantics.classes_hw == labels.classes_hw)[known_hw].mean()
        words += f", {100 * right:.0f} % right"
    label_hw3 = colors_k3[np.minimum(labels.classes_hw, len(CLASS_NAMES))]
    return _pair(stem, words, colors_k3[maps.semantics.classes_hw], "Classes", label_hw3, known_hw)


def _directions(normals_hw3: np.ndarray) -> np.ndarray:
    """Colours (rows, columns, 3) uint8 of unit vectors: x, y and towards the camera as red, green, blue; grey: none."""
    colors_hw3 = 255 * (np.nan_to_num(normals_hw3) * (1, 1, -1) + 1) / 2
    colors_hw3[~np.isfinite(normals_hw3).all(-1)] = UNKNOWN_RGB
    return colors_hw3.round().astype(np.uint8)


def _pair(
    stem: str, words: str, predicted_hw3: np.ndarray, label: str, label_hw3: np.ndarray, known_hw: np.ndarray
) -> list[Picture]:
    pictures = [Picture(png_uri(predicted_hw3), words, f"{words} of {stem}", True, "task")]
    if known_hw.any():
        pictures.append(Picture(png_uri(label_hw3), f"{label} by the label", f"{label} of {stem}", True, "task"))
    return pictures
