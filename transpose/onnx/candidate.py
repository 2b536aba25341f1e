"""A pose that correspondences support, and how likely it is to be right; as `transpose.localization` has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.onnx.place import ExportedPlace
from transpose.onnx.solver import Solution

_FIELDS = (8, 6)  # by which the spread is counted
_MOST_LOGIT = 14.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """The answer of one kind of correspondences; see `transpose.localization.candidates.Candidate`.

    Attributes:
        by: "landmarks", "recognition" or "coordinates".
        found: the pose and what agrees with it.
        px_n2: pixels of the correspondences.
        before: from which it was refined; None: from none.
        guided: whether correspondences were looked for near some pose.
    """

    by: str
    found: Solution
    px_n2: np.ndarray
    before: Candidate | None = None
    guided: bool = False

    @property
    def support(self) -> int:
        """How many agree; 0 without a pose."""
        return 0 if self.found.T_cw is None else int(self.found.agreeing_n.sum())

    @property
    def unguided_support(self) -> int:
        """How many agreed before others were chosen by the pose."""
        return (self.before or self).support

    def if_scored(self, least: float) -> Candidate | None:
        """The candidate; None where it has no pose or its score is lower."""
        return self if self.found.T_cw is not None and self.found.score >= least else None


def confidence(candidate: Candidate | None, camera: Camera, place: ExportedPlace) -> float:
    """The probability that a candidate's pose is right; 0 without one (see `transpose.localization.confidence`)."""
    if candidate is None or candidate.found.T_cw is None:
        return 0.0
    found = candidate.before or candidate
    weights = place.confidence.get(candidate.by, {}).get("guided" if found.guided else "anywhere")
    if weights is None:
        return 0.0
    agreeing = max(1, found.support)
    share = agreeing / max(agreeing, len(found.px_n2))
    spread = max(_spread(found.px_n2[found.found.agreeing_n], camera), 1e-3)
    logit = weights["intercept"] + weights["agreeing"] * math.log(agreeing)
    logit += weights["share"] * math.log(share) + weights["spread"] * math.log(spread)
    logit = max(-_MOST_LOGIT, min(_MOST_LOGIT, logit)) + place.offsets.get(candidate.by, 0.0)
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def _spread(px_m2: np.ndarray, camera: Camera) -> float:
    """Share of 8 x 6 fields of the image that hold a pixel."""
    fields = np.array(_FIELDS if camera.width >= camera.height else _FIELDS[::-1])
    field_m2 = np.floor(px_m2 * fields / (camera.width, camera.height)).clip(0, fields - 1)
    return len(np.unique(field_m2, axis=0)) / float(fields.prod())
