"""The line that scripts read of a photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.localization.checkpoints import CAMERA, checkpoint
from transpose.errors import TransposeError
from transpose.geometry import Pose
from transpose.localization import Query
from transpose.localization.answered import Answer, as_json
from transpose.solvers import PoseEstimate

QUERY = Query(np.zeros((96, 128, 3), np.uint8), CAMERA, "option")
FOUND = PoseEstimate(
    Pose(np.eye(4)), "ok", np.array([True, False, True]), 0.4, 9, np.eye(6), "landmarks", confidence=0.9
)


def test_a_located_photo_has_all_that_is_known() -> None:
    found = replace(FOUND, camera=CAMERA.zoomed(1.5), focal_sigma=0.02)
    line = as_json(Answer.of("a.jpg", QUERY, found, 0.5), found, 0.7, checkpoint())
    assert (line["image"], line["reason"], line["by"]) == ("a.jpg", "ok", "landmarks")
    assert (line["confidence"], line["score"], line["inliers"], line["seconds"]) == (0.9, 0.4, 2, 0.7)
    assert line["pose"] == np.eye(4).tolist() and line["covariance"] == np.eye(6).tolist()
    assert line["camera"] == {
        "width": 128, "height": 96, "fx": 135.0, "fy": 135.0, "cx": 64.0, "cy": 48.0, "k1": 0.0, "k2": 0.0,
        "source": "option", "focal_sigma": 0.02,
    }  # fmt: skip
    assert line["alternatives"] == [] and line["unit"] == "metre" and "error" not in line
    assert Answer.of("a.jpg", QUERY, FOUND, 0.5).camera == CAMERA  # that was given, where none was found


def test_a_photo_without_pose_has_no_covariance() -> None:
    refused = replace(FOUND, pose=None, reason="low_score")
    line = as_json(Answer.of("a.jpg", QUERY, refused, 0.5), refused, 0.5, checkpoint())
    assert (line["pose"], line["covariance"], line["reason"]) == (None, None, "low_score")
    bare = replace(FOUND, covariance_66=None)
    assert as_json(Answer.of("a.jpg", QUERY, bare, 0.5), bare, 0.5, checkpoint())["covariance"] is None


def test_a_photo_that_cannot_be_worked_on_says_why_once() -> None:
    for said in ("in/a.jpg is no image;\n  try another", "in/a.jpg: is no image; try another"):
        answer = Answer.failed("in/a.jpg", TransposeError(said), 0.1)
        assert answer.error == "is no image; try another" and answer.estimate.pose is None
        line = as_json(answer, answer.estimate, 0.1, checkpoint())
        assert line["error"] == "is no image; try another" and line["reason"] == "error: is no image; try another"
        assert (line["camera"], line["pose"], line["inliers"]) == (None, None, 0)
    assert Answer.of("a.jpg", QUERY, FOUND, 0.1).error == ""
