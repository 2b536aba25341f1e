"""Agreement with depth and normals is asked for only where validation says that it helps."""

from typing import Any

import numpy as np
import pytest

from tests.localization.test_consistency import CAMERA, POSE, seen
from transpose.localization.options import LocalizationOptions
from transpose.localization.task_maps import TaskMaps
from transpose.training import consistency_choice
from transpose.training.consistency_choice import chosen_consistency

OPTIONS = LocalizationOptions()


class Posed:
    """All that is asked of a frame."""

    pose, camera = POSE, CAMERA


def frames(count: int, wrong: float = 0.0) -> list[tuple[Any, Any, Any]]:
    return [(Posed(), *seen(wrong)) for _ in range(count)]


def test_it_is_not_asked_for_where_nothing_tells_whether_it_helps() -> None:
    assert chosen_consistency(frames(2), OPTIONS) == "none"
    without = [(frame, predicted, TaskMaps(CAMERA)) for frame, predicted, _ in frames(6)]
    assert chosen_consistency(without, OPTIONS) == "none"


@pytest.mark.parametrize(
    "depth, both, chosen",
    [
        (-0.3, -0.1, "depth"),
        (-0.1, -0.3, "depth+normal"),
        (0.1, 0.0, "none"),
        (-0.01, 0.2, "none"),  # within chance
    ],
)
def test_the_best_beyond_chance_is_taken(
    monkeypatch: pytest.MonkeyPatch, depth: float, both: float, chosen: str
) -> None:
    mean, rng = {"none": 0.0, "depth": depth, "depth+normal": both}, np.random.default_rng(0)
    noise_n = 0.05 * rng.standard_normal(12)
    shifts = {how: -5 + value + (how != "none") * noise_n for how, value in mean.items()}
    monkeypatch.setattr(consistency_choice, "_log_shifts", lambda frames, options, how: shifts[how])
    assert chosen_consistency(frames(5), OPTIONS) == chosen


def test_frames_must_not_lose_their_pose_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_n = np.full(8, -4.0)
    better_n = plain_n - 3.0 + 0.1 * np.arange(8)
    better_n[0] = 0.0
    shifts = {"none": plain_n, "depth": better_n, "depth+normal": plain_n}
    monkeypatch.setattr(consistency_choice, "_log_shifts", lambda frames, options, how: shifts[how])
    assert chosen_consistency(frames(5), OPTIONS) == "none"


def test_it_is_measured_on_real_poses() -> None:
    assert chosen_consistency(frames(5, wrong=0.4), OPTIONS) in ("none", "depth", "depth+normal")
