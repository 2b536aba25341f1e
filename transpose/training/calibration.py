"""Calibration of a localizer's uncertainty on frames kept out of training.

Each frame is localized once, by landmarks and by coordinates; four figures come out of that, each for a purpose of its
own: the temperature of the coordinates' covariances, the scales of the poses' covariances, the score below which a pose
by coordinates is refused, and the distance over which errors of neighbouring cells are correlated.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from transpose.localization import LocalizationOptions, Query, SceneCoordinateLocalizer
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT, offset
from transpose.localization.consistency import by_consistent_coordinates
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.covariance import CameraErrors
from transpose.localization.labelled_maps import LabelledMap, correlation_of, labelled
from transpose.localization.task_maps import TaskMaps
from transpose.losses.calibration import covariance_temperature, squared_errors
from transpose.runs import Calibration, Checkpoint, Consistency
from transpose.scenes.layout import Frame
from transpose.selection import evenly_chosen
from transpose.training.consistency_choice import chosen_consistency
from transpose.training.context import TrainingContext
from transpose.training.leave_out import LeaveOut
from transpose.training.plan import Plan
from transpose.training.pose_calibration import (
    FEWEST_POSES,
    Posed,
    calibrated_scales,
    camera_errors,
    covariance_scale,
    displacement,
    judged,
)
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_COVERAGE = 0.9  # of the true points in the ellipsoid that is meant to hold so many
_NEUTRAL = Calibration(covariance_scales={"landmarks": 1.0, "recognition": 1.0, "coordinates": 1.0})
_FEWEST_CELLS = 100
_MOST_FRAMES = 24
_Kind = Literal["landmarks", "recognition", "coordinates"]
_KINDS: tuple[_Kind, ...] = ("landmarks", "recognition", "coordinates")


@dataclass(frozen=True, eq=False)
class Localized:
    """A validation frame as it was localized once, before any calibration.

    Attributes:
        frame: with its true pose.
        predicted: coordinates of its cells.
        by_landmarks, by_recognition: None where the run has none.
        by_coordinates: with the temperature that was found.
        errors: of camera and map, by kind, that the residuals do not show; zero for renders, which an exact camera
            took in an exact model.
    """

    frame: Frame
    predicted: CoordinateMap
    by_landmarks: Candidate | None
    by_recognition: Candidate | None
    by_coordinates: Candidate
    errors: Mapping[_Kind, CameraErrors]

    def posed(self, by: _Kind) -> list[Posed]:
        """Its pose by one of them; empty where the run has none."""
        found = {"landmarks": self.by_landmarks, "recognition": self.by_recognition, "coordinates": self.by_coordinates}
        candidate = found[by]
        return [] if candidate is None else [Posed(self.frame, candidate, self.predicted.camera, self.errors[by])]


def calibrate_scene_coordinates(checkpoint: Checkpoint, context: TrainingContext, learned: Plan) -> Calibration:
    """The calibration of a run as it will be stored, with what its user should know of it as warnings.

    Args:
        checkpoint: the model, not calibrated.
        context: of its training.
        learned: the plan that was followed.
    """
    if learned.leave_out is not None:
        return calibrate_by_leaving_out(checkpoint, context.training, learned.leave_out, context.device)
    calibration = calibrate(checkpoint, context.validation, context.device)
    if calibration.min_score is not None and not np.isfinite(calibration.min_score):
        log.warning("no validation pose is right: poses by coordinates will be refused; train for longer")
    elif not calibration.covariance_scales:
        log.warning(
            "%d validation frames are too few to calibrate the uncertainty of poses: it is stated ten times as large, "
            "and more landmarks must agree with a pose; name a larger --val section",
            len(context.validation),
        )
    return calibration


def calibrate(checkpoint: Checkpoint, frames: Sequence[TrainingFrame], device: torch.device) -> Calibration:
    """Calibrates the model in memory, exactly as it will be stored.

    Args:
        checkpoint: the model, not calibrated.
        frames: kept out of training; of many, some evenly spread.
        device: where its network runs, in the arithmetic that `load` takes by default.
    """
    localizer = SceneCoordinateLocalizer(replace(checkpoint, calibration=_NEUTRAL), device)
    chosen = [frames[i] for i in evenly_chosen(len(frames), _MOST_FRAMES)]
    seen = [_seen(localizer, each) for each in chosen]
    factor = temperature([each.labelled for each in seen if each.labelled is not None])
    known = [(each.of.frame, each.scaled(factor), each.tasks) for each in seen]
    consistency = chosen_consistency(known, localizer.options)
    localized = [each.localized(localizer.options, factor, consistency) for each in seen]
    maps = [each.labelled for each in seen if each.labelled is not None]
    correlation = correlation_of(maps)
    scales = {by: covariance_scale([posed for each in localized for posed in each.posed(by)]) for by in _KINDS}
    return Calibration(
        temperature=factor,
        min_score=min_score(localized, localizer.options.min_score),
        covariance_scales={by: scale for by, scale in scales.items() if scale is not None},
        correlation_px=None if correlation is None else correlation.length_px,
        consistency=consistency,
        confidence_offsets={by: offset(judged([p for each in localized for p in each.posed(by)])) for by in _KINDS},
    )


def calibrate_by_leaving_out(
    checkpoint: Checkpoint, frames: Sequence[TrainingFrame], leave_out: LeaveOut, device: torch.device
) -> Calibration:
    """Calibrates poses by landmarks on the training frames themselves, each by the landmarks of other frames.

    The network learned from all of them, so that nothing can be said of poses by its coordinates. Where its labels lie
    between triangulated points, those are refused, unless landmarks that are found with their help bear them out; where
    depth was measured, the general bound holds.

    Args:
        checkpoint: the model, not calibrated.
        frames: of the training.
        leave_out: landmarks without some of these.
        device: where its network runs.
    """
    checkpoint = replace(checkpoint, calibration=_NEUTRAL)
    blocks = leave_out.blocks()
    every = [frame for block in blocks for frame in block]
    chosen = {every[i] for i in evenly_chosen(len(every), _MOST_FRAMES)}
    localized = []
    for block in blocks:
        landmarks = replace(checkpoint, landmarks=leave_out.landmarks(block).state())
        localizer = SceneCoordinateLocalizer(landmarks, device)
        localized += [_seen(localizer, frames[i]).localized(localizer.options, 1.0) for i in sorted(chosen & {*block})]
    bound = math.inf if leave_out.map is not None and leave_out.map.only_source else None
    posed = [each for frame in localized for each in frame.posed("landmarks")]
    return Calibration(min_score=bound, covariance_scales=calibrated_scales("landmarks", posed, checkpoint.unit))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A validation frame after its only pass through the network."""

    of: TrainingFrame
    predicted: CoordinateMap
    labelled: LabelledMap | None
    by_landmarks: Candidate | None
    by_recognition: Candidate | None
    errors: Mapping[_Kind, CameraErrors]
    tasks: TaskMaps

    def scaled(self, factor: float) -> CoordinateMap:
        return replace(self.predicted, uncertainty=replace(self.predicted.uncertainty, temperature=factor))

    def localized(self, options: LocalizationOptions, factor: float, consistency: Consistency = "none") -> Localized:
        predicted = self.scaled(factor)
        by_cells = by_consistent_coordinates(predicted, self.tasks, options, consistency).if_scored(options.min_score)
        return Localized(self.of.frame, predicted, self.by_landmarks, self.by_recognition, by_cells, self.errors)


def _seen(localizer: SceneCoordinateLocalizer, each: TrainingFrame) -> _Seen:
    frame = each.frame
    # Which of several places that look alike it is, no frame tells; how good its pose is there, it does.
    query = Query.of(localizer.camera, frame.image(), frame.camera, prior=frame.pose)
    encoded = localizer.encode(query)
    predicted = localizer.predict(encoded)
    landmarks, recognized = localizer.by_landmarks(encoded), localizer.by_recognition(encoded)
    found = None if landmarks is None else landmarks.everywhere().if_supported(localizer.options.min_landmarks)
    found, recognized = (each and localizer.places(encoded, each)[0].candidate for each in (found, recognized))
    has_labels = frame.has("depth") or frame.has("init")
    errors = {by: camera_errors(each, query, localizer.options.systematic, by) for by in _KINDS}
    tasks = localizer.tasks_of_encoded(encoded)
    of_cells = labelled(predicted, frame) if has_labels else None
    return _Seen(each, predicted, of_cells, found, recognized, errors, tasks)


def temperature(maps: Sequence[LabelledMap]) -> float:
    """The factor on predicted covariances with which their 90 % ellipsoids hold 90 % of the points; 1 where unknown."""
    squares = []
    for each in maps:
        error_n3, covariance_n33 = each.flat()
        if covariance_n33 is not None:
            squares.append(squared_errors(error_n3, covariance_n33))
    if sum(map(len, squares)) < _FEWEST_CELLS:
        return 1.0
    return covariance_temperature(np.concatenate(squares), _COVERAGE)


def min_score(frames: Sequence[Localized], least: float) -> float:
    """The score that a pose by predicted coordinates must have, so that a network that learned little gives none.

    Args:
        frames: of the validation.
        least: no bound is lower; images of other places are refused by it, whatever was trained.

    Returns:
        The bound; infinite where no pose on validation is right.
    """
    posed = [(each, each.by_coordinates) for each in frames if each.by_coordinates.pose is not None]
    if len(posed) < FEWEST_POSES:
        return least
    scores = np.array([candidate.estimate.score for _, candidate in posed])
    right = [displacement(candidate, each.frame) < RIGHT for each, candidate in posed]
    return score_bound(scores, np.array(right), least)


def score_bound(score_n: np.ndarray, right_n: np.ndarray, least: float) -> float:
    """The least bound, from `least` on, over which right poses outnumber wrong ones by most; infinite where none does.

    Args:
        score_n: of poses.
        right_n: which of them are right.
        least: no bound is lower.
    """
    order_n = np.argsort(score_n, kind="stable")
    score_n, gain_n = score_n[order_n], np.where(right_n[order_n], 1, -1)
    over_n = np.append(np.cumsum(gain_n[::-1])[::-1], 0)  # what is gained by all from the i-th on
    best = int(over_n.argmax())
    if best == len(score_n):
        return float("inf")
    # Half way to the best score that is refused, on a logarithmic scale.
    return least if best == 0 else max(least, float(np.sqrt(score_n[best - 1] * score_n[best])))
