"""The table of methods: what a run names is what answers, and what is optional is asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.localization.checkpoints import CAMERA, checkpoint, one_landmark
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.localization import LocalizationOptions, PredictsCoordinates, Query, SceneCoordinateLocalizer, load
from transpose.localization.methods import METHODS
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate
from transpose.solvers.differentiable.posterior import PosteriorOptions

IMAGE = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


class Everywhere:
    """A method that always answers with the origin, and with nothing else than a pose."""

    def __init__(self, checkpoint: Checkpoint, *_: object) -> None:
        self.checkpoint, self.camera = checkpoint, checkpoint.camera.camera

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        return PoseEstimate(Pose(np.eye(4)), "ok", np.ones(9, bool), 1.0, 1, 0.01 * np.eye(6))

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> PoseEstimate:
        return self.localize_query(Query.of(self.camera, image_hw3, camera, focal_px), seed)


def test_a_new_method_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.save_model(tmp_path, replace(checkpoint(), kind="everywhere", network=None))
    with pytest.raises(TransposeError, match="'everywhere'"):
        load(tmp_path)
    monkeypatch.setitem(METHODS, "everywhere", Everywhere)
    localizer = load(tmp_path)
    assert localizer.localize(IMAGE).pose is not None
    assert not isinstance(localizer, PredictsCoordinates)
    found = sample_poses(localizer, Query(IMAGE, CAMERA), PosteriorOptions(samples=500))
    assert isinstance(found, SampledPoses) and found.by == "covariance"
    assert np.cov(found.T_wc_m44[:, :3, 3].T).diagonal() == pytest.approx(0.01, rel=0.3)


def test_loading_moves_nobodys_random_numbers(tmp_path: Path) -> None:
    runs.save_model(tmp_path, checkpoint())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_of_coordinates_is_loaded_with_what_is_asked(tmp_path: Path, device: torch.device) -> None:
    runs.save_model(tmp_path, checkpoint(landmarks=one_landmark()))
    options = LocalizationOptions(min_score=0.2)
    localizer = load(tmp_path, device, use="coordinates", options=options)
    assert isinstance(localizer, SceneCoordinateLocalizer) and isinstance(localizer, PredictsCoordinates)
    assert localizer.device.type == device.type
    assert not localizer.has_landmarks and localizer.min_score == 0.2
    assert localizer.localize(IMAGE).pose is None
    both = load(tmp_path, device)
    assert isinstance(both, SceneCoordinateLocalizer) and both.has_landmarks
    runs.save_model(tmp_path, checkpoint())
    with pytest.raises(TransposeError, match="no landmarks"):
        load(tmp_path, device, use="landmarks")
    with pytest.raises(TransposeError, match="device nowhere is not usable"):
        load(tmp_path, "nowhere")


def test_the_risk_is_asked_for_and_refused_where_nothing_states_it(tmp_path: Path) -> None:
    runs.save_model(tmp_path, checkpoint(landmarks=one_landmark()))
    bold = load(tmp_path, options=LocalizationOptions(min_landmarks=7), risk=0.5)
    assert isinstance(bold, SceneCoordinateLocalizer)
    assert (bold.options.risk, bold.options.min_landmarks) == (0.5, 14)  # no frame has tested these landmarks
    for risk in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(TransposeError, match="probability between 0 and 1"):
            load(tmp_path, risk=risk)
    runs.save_model(tmp_path, replace(checkpoint(), kind="retrieval", network=None))
    with pytest.raises(TransposeError, match="does not say how sure it is"):
        load(tmp_path, risk=0.5)
