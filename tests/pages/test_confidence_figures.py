"""What the report says of stated confidences."""

from __future__ import annotations

import json

import numpy as np

from tests.evaluation.test_reliability import HERE, result
from transpose.geometry import Pose
from transpose.geometry.poses import compose
from transpose.pages.confidence_figures import confidence_figures, confidence_table

FAR = Pose(compose(np.eye(3), np.array([3.0, 0, 0])))
RESULTS = [
    result(HERE, 0.999),
    result(HERE, 0.95),
    result(FAR, 0.9),
    result(None, 0.05, refused=FAR),
    result(None, 0.0),
]


def test_the_table_says_how_many_are_right() -> None:
    told = confidence_table({"<day>": RESULTS, "unjudged": [result(HERE, None)]})
    assert "&lt;day&gt;" in told and "unjudged" not in told
    assert "40.0 %" in told and "58.0 %" in told
    assert confidence_table({"unjudged": [result(HERE, None)]}) == ""


def test_the_figures_are_plain_and_complete() -> None:
    drawn = confidence_figures({"day": RESULTS, "unjudged": [result(HERE, None)]})
    assert drawn is not None
    diagram, risk = drawn
    json.dumps(drawn, allow_nan=False)
    assert [trace["name"] for trace in diagram["data"]] == ["ideal", "day"]
    assert len(diagram["data"][1]["x"]) == len(diagram["data"][1]["y"]) == 2  # two bins hold images
    assert risk["data"][0]["y"][0] == 0 and risk["data"][0]["y"][-1] == 60
    assert confidence_figures({"unjudged": [result(HERE, None)]}) is None
