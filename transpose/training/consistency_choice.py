"""Whether cells that contradict predicted depth or normals are trusted less: where validation says that it helps."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from transpose.localization.candidates import Candidate
from transpose.localization.consistency import by_consistent_coordinates
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.task_maps import TaskMaps
from transpose.runs import Consistency
from transpose.scenes.layout import Frame
from transpose.training.pose_calibration import FEWEST_POSES, displacement

log = logging.getLogger(__name__)
_CHOICES: tuple[Consistency, ...] = ("none", "depth", "depth+normal")
_STANDARD_ERRORS = 2.0  # by which the mean gain must exceed zero
_NO_POSE = 1.0  # image diagonals, that a frame without a pose counts; no other counts more
_EXACT = 1e-6  # and none counts less


def chosen_consistency(
    frames: Sequence[tuple[Frame, CoordinateMap, TaskMaps]], options: LocalizationOptions
) -> Consistency:
    """What poses by coordinates are to ask of their cells; "none" unless some choice is better beyond chance.

    A choice is as good as the geometric mean, over frames, of how far its poses shift what is seen. It is taken where
    the mean log ratio to that without it is below zero by two standard errors, and no more frames lack a pose.

    Args:
        frames: kept out of training, each with what is predicted of its cells.
        options: of the search.
    """
    asked = [each for each in frames if each[2].depth is not None and each[1].has_uncertainty]
    if len(asked) < FEWEST_POSES:
        return "none"
    shift_n = {how: _log_shifts(asked, options, how) for how in _CHOICES}
    best: Consistency = "none"
    least = 0.0
    for how in _CHOICES[1:]:
        gain_n = shift_n[how] - shift_n["none"]
        bound = _STANDARD_ERRORS * gain_n.std(ddof=1) / np.sqrt(len(gain_n))
        if gain_n.mean() < min(least, -bound) and _failures(shift_n[how]) <= _failures(shift_n["none"]):
            best, least = how, float(gain_n.mean())
    if best == "none":
        log.info("no pose on validation is better by cells whose depth or normals agree; all cells are taken")
    else:
        ratio = float(np.exp(least))
        log.info(
            "cells whose %s agree are taken: errors of poses on validation x %.2f", best.replace("+", " and "), ratio
        )
    return best


def _log_shifts(
    frames: Sequence[tuple[Frame, CoordinateMap, TaskMaps]], options: LocalizationOptions, how: Consistency
) -> np.ndarray:
    shifts = []
    for frame, predicted, maps in frames:
        found = by_consistent_coordinates(predicted, maps, options, how)
        shifts.append(_shift(found, frame))
    return np.log(np.clip(shifts, _EXACT, _NO_POSE))


def _shift(found: Candidate, frame: Frame) -> float:
    return _NO_POSE if found.pose is None else displacement(found, frame)


def _failures(log_shift_n: np.ndarray) -> int:
    return int((log_shift_n >= np.log(_NO_POSE)).sum())
