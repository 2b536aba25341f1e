"""How good a network's depth, normals and classes are on a section with labels, each by its own measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.geometry.poses import transform
from transpose.localization import Localizer
from transpose.localization.labelled_maps import frame_px, true_coordinates
from transpose.localization.localizer import task_maps_of, tasks_learned
from transpose.localization.task_maps import TaskMaps
from transpose.scenes.classes import CLASS_NAMES, UNKNOWN_CLASS
from transpose.scenes.labels import classes_at, normals_at
from transpose.scenes.layout import Frame
from transpose.selection import evenly_chosen
from transpose.storage import write_json

_MOST_FRAMES = 100
_CLOSE_RATIO = 1.25  # of depths, the usual delta
_STATED = 0.9  # of the errors of depth, for which a bound is stated


@dataclass(frozen=True, eq=False)
class TaskLabels:
    """What is true of the cells of a frame (rows, columns): depth, metres; normals; classes; NaN or 255: unknown.

    Cells without depth in a frame that has some show no surface, such as the sky: their class is not asked for, as it
    is not learned.
    """

    depth_hw: np.ndarray
    normals_hw3: np.ndarray
    classes_hw: np.ndarray

    @classmethod
    def of(cls, frame: Frame, maps: TaskMaps) -> TaskLabels:
        """The labels of a frame at the cells of its maps."""
        px_hw2 = frame_px(maps.camera, frame)
        rows, columns = px_hw2.shape[:2]
        depth_hw = np.full((rows, columns), np.nan)
        if frame.has("depth") or frame.has("init"):
            points_n3 = true_coordinates(maps.camera, frame).reshape(-1, 3)
            depth_hw = transform(frame.pose.T_cw, points_n3)[:, 2].reshape(rows, columns)
        px_n2 = px_hw2.reshape(-1, 2)
        normals_hw3 = normals_at(frame, px_n2).reshape(rows, columns, 3)
        classes_hw = classes_at(frame, px_n2).reshape(rows, columns)
        if np.isfinite(depth_hw).any():
            classes_hw[~np.isfinite(depth_hw)] = UNKNOWN_CLASS
        return cls(depth_hw, normals_hw3, classes_hw)


def measure_tasks(
    localizer: Localizer,
    frames: Sequence[Frame],
    progress: Callable[[Sequence[Frame]], Iterable[Frame]] = iter,
) -> dict[str, dict[str, Any]]:
    """Measures of each task that the localizer learned and that some frame has labels of, over some of the frames.

    Of depth: the median relative error, the share of depths within a factor of 1.25, the mean relative error and the
    mean that the network states, and the share of errors within its stated bound for 90 %. Of normals: the median and
    the mean angle, and the mean that it states. Of semantics: the mean IoU of the classes that the labels have, each
    one's, the accuracy, and the mean probability that it states. Each counts single cells.

    Args:
        localizer: of a run.
        frames: of a section; of many, some evenly chosen.
        progress: wraps them.
    """
    tasks = tasks_learned(localizer)
    if not tasks:
        return {}
    found = []
    for frame in progress([frames[i] for i in evenly_chosen(len(frames), _MOST_FRAMES)]):
        maps = task_maps_of(localizer, frame.image(), frame.camera)
        found.append((maps, TaskLabels.of(frame, maps)))
    measures = {task: _MEASURES[task](found) for task in tasks}
    return {task: measured for task, measured in measures.items() if measured is not None}


def add_tasks(table: dict[str, Any], measured: dict[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    """Writes the table with the tasks' measures as `results.json`; returns that table."""
    added = {**table, "tasks": measured}
    write_json(out / "results.json", added)
    return added


def depth_errors(maps: TaskMaps, labels: TaskLabels) -> np.ndarray:
    """Relative errors (rows, columns) of depth, predicted over true minus 1; NaN where unknown."""
    assert maps.depth is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        errors_hw: np.ndarray = np.where(labels.depth_hw > 0, maps.depth.depth_hw / labels.depth_hw - 1, np.nan)
    return errors_hw


def normal_errors(maps: TaskMaps, labels: TaskLabels) -> np.ndarray:
    """Angles (rows, columns), degrees, between predicted and true normals; NaN where unknown."""
    assert maps.normal is not None
    a_hw3, b_hw3 = maps.normal.normals_hw3, labels.normals_hw3
    sine_hw = np.linalg.norm(np.cross(a_hw3, b_hw3), axis=-1)
    angles_hw: np.ndarray = np.degrees(np.arctan2(sine_hw, (a_hw3 * b_hw3).sum(-1)))
    return angles_hw


Found = Sequence[tuple[TaskMaps, TaskLabels]]


def _depth(found: Found) -> dict[str, Any] | None:
    error_n = np.concatenate([depth_errors(*each).ravel() for each in found])
    expected_n = np.concatenate([maps.depth.expected_hw.ravel() for maps, _ in found if maps.depth is not None])
    known_n = np.isfinite(error_n)
    if not known_n.any():
        return None
    log_n, expected_n = np.abs(np.log1p(error_n[known_n])), expected_n[known_n]
    return {
        "cells": int(known_n.sum()),
        "median_relative": float(np.median(np.abs(error_n[known_n]))),
        "delta_1.25": float((log_n < math.log(_CLOSE_RATIO)).mean()),
        "mean_log": float(log_n.mean()),
        "stated_mean_log": float(expected_n.mean()),
        # Of Laplace's density exp(-|e| / b) / 2b, |e| is within -b ln(1 - p) with probability p.
        "covered_90": float((log_n <= -expected_n * math.log(1 - _STATED)).mean()),
    }


def _normals(found: Found) -> dict[str, Any] | None:
    angle_n = np.concatenate([normal_errors(*each).ravel() for each in found])
    expected_n = np.concatenate([maps.normal.expected_hw.ravel() for maps, _ in found if maps.normal is not None])
    known_n = np.isfinite(angle_n)
    if not known_n.any():
        return None
    return {
        "cells": int(known_n.sum()),
        "median_deg": float(np.median(angle_n[known_n])),
        "mean_deg": float(angle_n[known_n].mean()),
        "stated_mean_deg": float(np.degrees(expected_n[known_n]).mean()),
    }


def _classes(found: Found) -> dict[str, Any] | None:
    count = len(CLASS_NAMES)
    confusion_cc, stated, cells = np.zeros((count, count), np.int64), 0.0, 0
    for maps, labels in found:
        assert maps.semantics is not None
        known_hw = labels.classes_hw != UNKNOWN_CLASS
        pairs_n = count * labels.classes_hw[known_hw].astype(np.int64) + maps.semantics.classes_hw[known_hw]
        confusion_cc += np.bincount(pairs_n, minlength=count * count).reshape(count, count)
        stated += float(maps.semantics.probabilities_hwc.max(-1)[known_hw].sum())
        cells += int(known_hw.sum())
    if cells == 0:
        return None
    iou = intersections_over_unions(confusion_cc)
    return {
        "cells": cells,
        "miou": float(np.nanmean(iou)),
        "iou": {name: None if np.isnan(value) else float(value) for name, value in zip(CLASS_NAMES, iou, strict=True)},
        "accuracy": float(confusion_cc.trace() / cells),
        "stated_accuracy": stated / cells,
    }


def intersections_over_unions(confusion_cc: np.ndarray) -> np.ndarray:
    """Of each class (c,), from counts of cells by true class (rows) and predicted one; NaN where none is true."""
    right_c, true_c, predicted_c = confusion_cc.diagonal(), confusion_cc.sum(1), confusion_cc.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou_c: np.ndarray = np.where(true_c > 0, right_c / (true_c + predicted_c - right_c), np.nan)
    return iou_c


_MEASURES: dict[str, Callable[[Found], dict[str, Any] | None]] = {
    "depth": _depth,
    "normal": _normals,
    "semantics": _classes,
}
