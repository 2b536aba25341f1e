"""Every preset through the one loop: alone, in parts, and shared by two processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.published_states import dsacstar_state, encoder_state
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization import load
from transpose.losses.uncertainty import Uncertainty
from transpose.models.heads import HeadConfig
from transpose.training.conversion import CheckpointFile, convert
from transpose.training.request import Request
from transpose.training.start import train, train_end_to_end
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.world import World, save_world

HEAD = HeadConfig(width=32, blocks=1, anchors=8)
LAPLACE = Uncertainty("diagonal", "laplace")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    camera = Camera.from_focal(90.0, 128, 96)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    viewpoints = latin_hypercube(Renderer(box_world), camera, 12, 0, ranges, ViewCheck())
    world = save_world(box_world, folder / "world")
    render_section(world, viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return folder / "scene"


def test_images_of_two_sizes_are_refused_before_a_run_is_made(scene: Path, tmp_path: Path, box_world: World) -> None:
    camera = Camera.from_focal(90.0, 96, 128)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    upright = latin_hypercube(Renderer(box_world), camera, 10, 1, ranges, ViewCheck())
    render_section(scene.parent / "world", upright, (tmp_path / "scene", "upright"), {}, processes=1)
    (tmp_path / "scene" / "sim").symlink_to(scene / "sim")
    request = Request(tmp_path / "scene", ["sim", "upright"], tmp_path / "run")
    small: dict[str, object] = {"steps": 2, "height": 48, "tiny": True}
    with pytest.raises(TransposeError, match=r"one size, not 36 x 48 .*upright.*; 64 x 48 .*--batch 1"):
        train(request, "dsacstar", small | {"batch": 4, "accumulate": 2})
    assert not request.run.exists()
    train(request, "dsacstar", small | {"batch": 2, "accumulate": 2})
    with pytest.raises(TransposeError, match="one size"):
        train_end_to_end(replace(request, run=tmp_path / "second"), request.run, {"batch": 2})
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    "preset, settings",
    [
        ("dsacstar", {"steps": 3, "height": 48, "tiny": True}),
        ("dsacstar", {"steps": 3, "height": 48, "tiny": True, "mode": "rgb"}),
        ("dsacstar", {"steps": 3, "height": 48, "tiny": True, "mode": "rgbd"}),
        ("dsacstar", {"steps": 3, "height": 48, "tiny": True, "uncertainty": Uncertainty("full", "student")}),
        ("dsacstar", {"steps": 3, "height": 48, "tiny": True, "batch": 2, "contrastive": True}),
        ("crossloc", {"steps": 2, "height": 48, "batch": 2, "accumulate": 2}),
        ("ace", {"steps": 20, "batch": 64, "buffer_megabytes": 2, "width": 32}),
        (
            "fast",
            {"steps": 30, "batch": 64, "views": 30, "head": HEAD, "uncertainty": LAPLACE},
        ),
        ("fast", {"steps": 30, "batch": 64, "views": 30, "head": HEAD, "uncertainty": Uncertainty("none")}),
        ("fast", {"steps": 30, "batch": 64, "views": 30, "head": HEAD, "contrastive": True}),
        (
            "mlr",
            {"steps": 30, "batch": 64, "views": 30, "head": HEAD, "uncertainty": LAPLACE},
        ),
    ],
)
def test_each_preset_leaves_a_localizer(
    scene: Path, tmp_path: Path, device: torch.device, preset: str, settings: dict[str, object]
) -> None:
    train(Request(scene, ["sim"], tmp_path / "run", device=str(device)), preset, settings)
    model = runs.load_model(tmp_path / "run")
    assert (model.provenance.preset, model.progress.complete, model.progress.steps_done) == (
        preset,
        True,
        settings["steps"],
    )
    localizer = load(tmp_path / "run", device, use="coordinates")
    image_hw3 = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    predicted = localizer.coordinates(image_hw3)
    assert np.isfinite(predicted.points_hw3).all()
    if predicted.has_uncertainty:
        covariance = predicted.covariances(np.eye(3))
        assert np.linalg.eigvalsh(covariance).min() > 0
    localizer.localize(image_hw3)


@pytest.fixture(scope="module")
def first(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a second stage goes on from."""
    run = tmp_path_factory.mktemp("runs") / "first"
    settings = {"steps": 60, "batch": 256, "views": 40, "head": HEAD, "precision": "float32", "keypoints_per_view": 0}
    train(Request(scene, ["sim"], run), "fast", settings)
    return run


@pytest.mark.parametrize("through, rgbd", [("dsac", False), ("dsac", True), ("bpnp", False), ("epro", False)])
def test_a_second_stage_goes_through_the_pose(
    scene: Path, first: Path, tmp_path: Path, device: torch.device, through: str, rgbd: bool
) -> None:
    settings = {"through": through, "rgbd": rgbd, "steps": 4, "batch": 4, "precision": "float32"}
    second = Request(scene, ["sim"], tmp_path / "second", device=str(device))
    train_end_to_end(second, first, settings)
    before, after = (runs.load_model(run).network.weights for run in (first, tmp_path / "second"))
    assert all(value.isfinite().all() for value in after.values())
    entry, best = runs.read_log(tmp_path / "second")[-1], runs.load_state(tmp_path / "second")["best"]
    assert np.isfinite(entry["pose_loss"]) and best["value"] <= entry["val_pose"]
    # What was best on validation is kept, the start among it: a second stage does no harm there.
    assert torch.equal(before["head.last.weight"], after["head.last.weight"]) == (best["step"] == 0)


def test_ace_learns_on_its_own_encoder(scene: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = {name: value.half() for name, value in encoder_state().items()}
    path = tmp_path / "ace_encoder_pretrained.pt"
    torch.save(encoder, path)
    settings = {"steps": 20, "batch": 64, "buffer_megabytes": 2, "encoder": str(path)}
    train(Request(scene, ["sim"], tmp_path / "run"), "ace", settings)
    weights = runs.load_model(tmp_path / "run").network.weights
    for name, value in encoder.items():  # frozen, and as small as it came
        assert torch.equal(weights[f"encoder.{name}"], value)
    localizer = load(tmp_path / "run", precision="float32")
    image_hw3 = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    points_hw3 = localizer.coordinates(image_hw3).points_hw3
    shifted_hw3 = localizer.coordinates(np.roll(image_hw3, 16, axis=1)).points_hw3
    assert np.allclose(points_hw3[5, 6], shifted_hw3[5, 8], atol=1e-4)  # away from the borders it sees the same
    assert not np.allclose(points_hw3[5, 6], points_hw3[5, 8], atol=1e-2)


def test_an_encoder_that_is_none_is_refused_before_anything_is_written(scene: Path, tmp_path: Path) -> None:
    torch.save(dsacstar_state(tiny=True), tmp_path / "scene.net")
    with pytest.raises(TransposeError, match=r"scene\.net: this is not ACE's encoder.*looks like DSAC"):
        train(Request(scene, ["sim"], tmp_path / "run"), "ace", {"encoder": str(tmp_path / "scene.net")})
    assert not (tmp_path / "run").exists()


def test_a_converted_run_learns_on_through_the_pose(scene: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(dsacstar_state(tiny=True), tmp_path / "scene.net")
    source = CheckpointFile(tmp_path / "scene.net", "dsacstar", height=48)
    convert(source, Camera.from_focal(90.0, 128, 96), tmp_path / "first")
    train_end_to_end(Request(scene, ["sim"], tmp_path / "second"), tmp_path / "first", {"steps": 2})
    first, second = (runs.load_model(tmp_path / name) for name in ("first", "second"))
    assert first.origin_3.tolist() == second.origin_3.tolist() == [121.0, -2.0, 3.0]
    best = runs.load_state(tmp_path / "second")["best"]  # the start's weights, where validation was best with them
    same = torch.equal(first.network.weights["head.fc3.weight"], second.network.weights["head.fc3.weight"])
    assert same == (best["step"] == 0)
    assert np.isfinite(runs.read_log(tmp_path / "second")[-1]["pose_loss"])


def test_a_batch_in_parts_and_a_batch_at_once_learn_the_same(scene: Path, tmp_path: Path) -> None:
    settings = {"steps": 10, "batch": 64, "views": 30, "head": HEAD, "precision": "float32", "keypoints_per_view": 0}
    for parts in (1, 4):
        train(Request(scene, ["sim"], tmp_path / str(parts)), "fast", {**settings, "accumulate": parts})
    once, parted = (runs.load_state(tmp_path / name)["weights"] for name in ("1", "4"))
    for name, value in once.items():
        assert torch.allclose(value, parted[name], atol=2e-4), name


def test_what_a_preset_lacks_is_said(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="the preset ace has no --passes"):
        train(Request(scene, ["sim"], tmp_path / "run"), "ace", {"passes": 2})
    with pytest.raises(TransposeError, match="predicts no uncertainty"):
        train(Request(scene, ["sim"], tmp_path / "run"), "ace", {"uncertainty": Uncertainty("full")})
    with pytest.raises(TransposeError, match="equal parts"):
        train(
            Request(scene, ["sim"], tmp_path / "run"), "fast", {"batch": 10, "accumulate": 3, "steps": 5, "head": HEAD}
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run several processes")
@pytest.mark.parametrize("preset", ["fast", "mlr"])
def test_two_processes_learn_what_one_does(
    scene: Path, tmp_path: Path, preset: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(scene), "--sections", "sim", "--steps", "12", "--batch", "64", "--precision", "float32"]
    words += ["--preset", preset, "--passes", "1"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of the two has
    try:
        assert main([*words, "--out", str(tmp_path / "one")]) == 0, capfd.readouterr().err[-2000:]
    finally:
        torch.set_num_threads(threads)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    shared = [*launcher, "-m", "transpose", *words, "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(shared, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (runs.load_state(tmp_path / name) for name in ("one", "two"))
    assert one["step"] == two["step"] == 12
    for name, value in one["weights"].items():
        assert torch.allclose(value, two["weights"][name], atol=1e-3), name
    landmarks = [runs.load_model(tmp_path / name).landmarks["points"] for name in ("one", "two")]
    assert torch.equal(*landmarks)
