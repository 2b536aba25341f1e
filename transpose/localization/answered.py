"""What came of a photo, and the line that scripts read of it: the same on the command line and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.query import CameraSource, Query
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate

_ERROR = "error: "


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a photo.

    Attributes:
        image: the photo's path, or the name that it was sent under.
        estimate: its pose, or the reason why there is none; "error: ..." where the photo could not be worked on.
        seconds: that it took.
        source: where its camera comes from; None where the photo could not be worked on.
        camera: that was taken for it; None as well.
    """

    image: str
    estimate: PoseEstimate
    seconds: float
    source: CameraSource | None = None
    camera: Camera | None = None

    @classmethod
    def of(cls, image: str, query: Query, estimate: PoseEstimate, seconds: float) -> Answer:
        """Of a photo that was worked on."""
        return cls(image, estimate, seconds, query.source, estimate.camera or query.camera)

    @classmethod
    def failed(cls, image: str, error: TransposeError, seconds: float) -> Answer:
        """Of a photo that could not be worked on; the error need not name it again."""
        what = str(error).removeprefix(f"{image} ").removeprefix(f"{image}: ")
        return cls(image, PoseEstimate(None, _ERROR + " ".join(what.split()), np.zeros(0, bool)), seconds)

    @property
    def error(self) -> str:
        """Why the photo could not be worked on; empty where it was."""
        reason = self.estimate.reason
        return reason.removeprefix(_ERROR) if reason.startswith(_ERROR) else ""


def as_json(answer: Answer, estimate: PoseEstimate, seconds: float, checkpoint: Checkpoint) -> dict[str, Any]:
    """The line that scripts read (docs/localizing.md).

    Args:
        answer: of the photo alone.
        estimate: of the photo, alone or in its sequence.
        seconds: that all took.
        checkpoint: of the run: its scene's unit, and whether its training ended.
    """
    covariance, camera = estimate.covariance_66, None
    if answer.camera is not None:
        names = ("width", "height", "fx", "fy", "cx", "cy", "k1", "k2")
        camera = {name: getattr(answer.camera, name) for name in names}
        camera |= {"source": answer.source, "focal_sigma": answer.estimate.focal_sigma}
    line = {
        "image": answer.image,
        "pose": None if estimate.pose is None else estimate.pose.T_wc.tolist(),
        "reason": estimate.reason,
        "confidence": estimate.confidence,
        "score": estimate.score,
        "inliers": estimate.inliers,
        "by": estimate.by,
        "covariance": None if estimate.pose is None or covariance is None else covariance.tolist(),
        "alternatives": estimate.alternatives_as_json(),
        "camera": camera,
        "training_complete": checkpoint.progress.complete,
        "seconds": seconds,
        **checkpoint.unit.as_json(),
    }
    return {**line, "error": answer.error} if answer.error else line
