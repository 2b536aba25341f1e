from pathlib import Path

import numpy as np
import pytest
import torch

from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization import load
from transpose.losses.uncertainty import LAPLACE_VARIANCE_PER_AXIS, PredictedUncertainty, Uncertainty, nll
from transpose.models.heads import CoordinateHead, HeadConfig
from transpose.models.xfeat import XFeatEncoder
from transpose.scenes.augment import AugmentOptions
from transpose.training.buffer import Filling, fill_buffer
from transpose.training.context import Callbacks
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.start import train
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.world import World, save_world

SETTINGS = {"steps": 30, "batch": 256, "views": 90, "head": HeadConfig(width=32, blocks=1, anchors=8)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    camera = Camera.from_focal(90.0, 128, 96)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    viewpoints = latin_hypercube(Renderer(box_world), camera, 20, 0, ranges, ViewCheck())
    world = save_world(box_world, folder / "world")
    render_section(world, viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return folder / "scene"


def test_validation_is_kept_out_in_blocks(scene: Path) -> None:
    training, held_out = gather_frames(scene, ["sim"], None)
    assert (len(training), len(held_out)) == (18, 2)
    assert not {f.frame.stem for f in training} & {f.frame.stem for f in held_out}
    assert all(f.rendered for f in training)
    with pytest.raises(TransposeError, match="stands twice"):
        gather_frames(scene, ["sim"], "sim")


def test_the_buffer_is_bounded_and_determined_by_its_seed(scene: Path) -> None:
    training, _ = gather_frames(scene, ["sim"], None)
    encoder = XFeatEncoder()
    fillings = [Filling(36, 50, 1, True, 800, AugmentOptions(), seed) for seed in (0, 0, 1)]
    filled = [
        fill_buffer(training, encoder, np.zeros(3), filling, device=torch.device("cpu"), dtype=torch.float32)
        for filling in fillings
    ]
    a, b, c = (each.cells for each in filled)
    assert torch.equal(filled[0].observations.points_n3, filled[1].observations.points_n3)
    assert filled[0].observations.points_n3[:, 2].abs().max() < 1.5
    assert torch.equal(a.features_nc, b.features_nc)
    assert torch.equal(a.points_n3, b.points_n3)
    assert not torch.equal(a.points_n3, c.points_n3)
    assert a.features_nc.numel() * 2 + len(a) * 24 <= 2**20
    assert a.points_n3.isfinite().all()
    assert a.points_n3[:, 2].abs().max() < 1.5  # floor and boxes, no taller than that


def test_an_interrupt_leaves_a_usable_model_and_resuming_gives_the_same_weights(scene: Path, tmp_path: Path) -> None:
    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    settings = {**SETTINGS, "steps": 50, "report_every": 40, "views": 36}
    with pytest.raises(KeyboardInterrupt):
        train(Request(scene, ["sim"], tmp_path / "cut"), settings=settings, callbacks=Callbacks(report=interrupt))
    cut = runs.load_model(tmp_path / "cut")
    assert not cut.progress.complete
    assert cut.progress.steps_done == 40
    load(tmp_path / "cut").localize(np.zeros((96, 128, 3), np.uint8))
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), settings=settings)
    train(Request(scene, ["sim"], tmp_path / "whole"), settings=settings)
    resumed, whole = runs.load_model(tmp_path / "cut"), runs.load_model(tmp_path / "whole")
    assert resumed.progress.complete
    for name, value in whole.network.weights.items():
        assert torch.equal(value, resumed.network.weights[name]), name
    assert [entry["step"] for entry in runs.read_log(tmp_path / "cut")] == [40, 50]


def test_runs_are_not_replaced_behind_the_users_back(scene: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(Request(scene, ["sim"], run), settings=SETTINGS)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(TransposeError, match="--resume or replace it with --overwrite"):
        train(Request(scene, ["sim"], run), settings=SETTINGS)
    with pytest.raises(TransposeError, match="another configuration"):
        train(Request(scene, ["sim"], run, resume=True), settings={**SETTINGS, "steps": 29})
    train(Request(scene, ["sim"], run, overwrite=True), settings={**SETTINGS, "precision": "float32"})
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("breakage", ["truncated", "other", "pickle"])
def test_broken_models_are_refused(tmp_path: Path, breakage: str) -> None:
    path = tmp_path / "model.pt"
    if breakage == "truncated":
        runs.save_model(tmp_path, checkpoint())
        path.write_bytes(path.read_bytes()[:100])
    elif breakage == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        torch.save({"code": Path("x")}, path)
    with pytest.raises(TransposeError, match=r"model\.pt"):
        runs.load_model(tmp_path)


def test_the_loss_is_the_density_it_claims() -> None:
    """Its minimum over sigma is at a third of the mean distance, and the variance an axis is 4 sigma^2."""
    sigma = 0.2
    rng = np.random.default_rng(0)
    # Density ~ exp(-r / sigma) in space: the radius is gamma distributed of shape 3.
    radius_n = rng.gamma(3, sigma, 200_000)
    direction_n3 = rng.standard_normal((200_000, 3))
    error_n3 = torch.from_numpy(radius_n[:, None] * direction_n3 / np.linalg.norm(direction_n3, axis=1, keepdims=True))
    assert float(error_n3.var(0).mean()) == pytest.approx(LAPLACE_VARIANCE_PER_AXIS * sigma**2, rel=0.02)
    log_sigma = torch.tensor(np.log(sigma), dtype=torch.float64, requires_grad=True)
    of = Uncertainty("isotropic", "laplace")
    factor_n33 = (torch.exp(-log_sigma) * torch.eye(3, dtype=torch.float64)).expand(200_000, 3, 3)
    nll(error_n3, factor_n33, of).mean().backward()
    assert log_sigma.grad is not None
    assert abs(float(log_sigma.grad)) < 0.02


def test_the_head_predicts_in_the_scene_and_keeps_learning_where_sigma_saturates() -> None:
    head = CoordinateHead(HeadConfig(in_channels=16, width=8, blocks=1, anchors=4))
    points = torch.rand(500, 3) * 10 + 100
    head.fit_statistics(torch.randn(500, 16), points, 0)
    predicted = head.cells(torch.randn(50, 16))[:, :3]
    assert ((predicted > 90) & (predicted < 120)).all()
    as_map = head(torch.randn(1, 16, 5, 10))
    assert as_map.shape == (1, 4, 5, 10)
    with torch.no_grad():
        head.last.bias[3] = 30.0
    uncertainty = PredictedUncertainty.for_scene(Uncertainty("isotropic"), 3.0)
    raw = head.cells(torch.randn(50, 16))[:, 3:]
    factor = uncertainty.factor(raw, torch.zeros(50, 3), torch.zeros(50, 3, 3))
    assert (factor > 0).any()
    factor.sum().backward()
    assert head.last.bias.grad[3] != 0


@pytest.mark.parametrize("size", [(64, 96), (100, 130), (479, 641)])
def test_the_encoders_map_has_a_cell_for_every_eight_pixels(size: tuple[int, int]) -> None:
    features = XFeatEncoder()(torch.rand(1, 3, *size) * 255)
    assert features.shape == (1, 256, -(-size[0] // 8), -(-size[1] // 8))
    assert XFeatEncoder().train().training is False
