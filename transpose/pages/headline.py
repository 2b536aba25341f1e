"""The bound that headlines quote and curves mark, round and fit for the scene, and the headline itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.evaluation.metrics import PERCENT_BOUNDS, RECALL_BOUNDS, FrameResult, summarize, told_median
from transpose.pages.wording import angle, bound, length, of, of_extent, round_length
from transpose.scenes.unit import METRE, SceneUnit

# A recall bound by the median error of those frames that have a pose.
_METRES = ((0.25, "5cm5deg"), (2.5, "50cm5deg"), (10.0, "5m5deg"), (math.inf, "20m10deg"))
_OF_EXTENT = ((0.05, "0.1%0.1deg"), (0.5, "1%1deg"), (2.5, "5%5deg"), (math.inf, "10%10deg"))
# From this distance on an error is told as a share of it: five centimetres mean one thing on a table, another in the
# air. A point as far to the side as p per cent of its distance is seen 0.6 p degrees aside.
_FAR_M = 10.0
_OF_DISTANCE = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class MarkedBound:
    """Errors below both numbers are called good.

    Attributes:
        length: as lengths are told: metres, or per cent of the cameras' extent.
        degrees: of the rotation.
        words: such as "5 cm and 5°".
        name: in `recall_bounds`; None of one that is none of them.
    """

    length: float
    degrees: float
    words: str
    name: str | None = None

    def count(self, results: Sequence[FrameResult]) -> int:
        """How many frames lie within; those without a pose do not."""
        return sum(degrees < self.degrees and told < self.length for degrees, told in (r.told_error for r in results))


def named_bound(name: str) -> MarkedBound:
    """One of `RECALL_BOUNDS` or `PERCENT_BOUNDS`."""
    told, degrees = RECALL_BOUNDS[name] if name in RECALL_BOUNDS else PERCENT_BOUNDS[name]
    return MarkedBound(told, degrees, bound(name), name)


def marked_bound(results: Sequence[FrameResult]) -> MarkedBound:
    """The bound that tells most of these frames, of one unit.

    From the air and across squares, a share of the distance at which the cameras see things; else a length.
    """
    unit = results[0].unit if results else METRE
    distance = viewing_distance(results)
    if not unit.metric or distance is None or distance < _FAR_M:
        return named_bound(bound_for(typical_error(results), unit))
    typical_m = typical_error(results)
    percent = next((p for p in _OF_DISTANCE if typical_m < p / 100 * distance / 2), _OF_DISTANCE[-1])
    metres = percent / 100 * distance
    return MarkedBound(
        metres,
        percent,
        f"{percent:g} % of the viewing distance ({round_length(metres)} at {distance:g} m) and {percent:g}°",
    )


def bound_for(median: float, unit: SceneUnit = METRE) -> str:
    """The name in `recall_bounds` that tells most where told errors have this median."""
    bounds = _METRES if unit.metric else _OF_EXTENT
    return next(name for below, name in bounds if median < below or below == math.inf)


def viewing_distance(results: Sequence[FrameResult]) -> float | None:
    """Median distance of what frames see, to two digits, in the scene's unit; None where no method says."""
    known = [r.estimate.distance for r in results if r.estimate.pose is not None and r.estimate.distance is not None]
    return float(f"{np.median(known):.2g}") if known else None


def typical_error(results: Sequence[FrameResult]) -> float:
    """Median told position error of the frames that have a pose; 0 where none has."""
    finite = [told for _, told in (result.told_error for result in results) if math.isfinite(told)]
    return float(np.median(finite)) if finite else 0.0


def headline(results: Sequence[FrameResult], name: str, kind: str, marked: MarkedBound) -> str:
    """A section's result in a sentence or two. `kind` is the plural that names its frames, such as "photos"."""
    table, unit = summarize(results), results[0].unit
    frames, failed = table["frames"], table["failed"]
    subject = f"{frames} {kind if frames > 1 else kind.removesuffix('s')} of {name}"
    if failed == frames:
        return f"Nothing was localized: of {subject}, every one was refused."
    within = marked.count(results)
    refused = "none was refused" if failed == 0 else f"{failed} {'was' if failed == 1 else 'were'} refused"
    counts = f"{of(within, frames)} {'lies' if within == 1 else 'lie'} within {marked.words}, and {refused}."
    median = told_median(table)
    if not math.isfinite(median):
        half = "Half" if 2 * failed == frames else "More than half"
        return f"{half} of {subject} were refused, so there is no median error: {counts}"
    told = f"{length(median, unit)}{of_extent(unit)} and {angle(table['median_deg'])}"
    return f"The median error over {subject} is {told}: {counts}"
