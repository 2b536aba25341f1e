"""Runs with an adapter: given, trained with the scene, and refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization import load
from transpose.localization.localizer import task_maps_of
from transpose.models.adapter import Adapter, AdapterConfig
from transpose.models.adapter_file import save_adapter
from transpose.models.heads import HeadConfig
from transpose.training.presets import configured
from transpose.training.request import Request
from transpose.training.start import train
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.world import World, save_world

SETTINGS = {"steps": 5, "batch": 64, "views": 30, "head": HeadConfig(width=32, blocks=1, anchors=8)}
IMAGE = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    camera = Camera.from_focal(90.0, 128, 96)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    viewpoints = latin_hypercube(Renderer(box_world), camera, 12, 0, ranges, ViewCheck())
    render_section(save_world(box_world, folder / "world"), viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return folder / "scene"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    adapter = Adapter(AdapterConfig(width=16))
    torch.nn.init.normal_(adapter.last.weight, std=0.3)
    save_adapter(tmp_path / "adapter.pt", adapter, {})
    return tmp_path / "adapter.pt"


def test_a_given_adapter_is_used_as_it_is(scene: Path, tmp_path: Path, file: Path) -> None:
    for name, settings in (("plain", {}), ("adapted", {"adapter": str(file)})):
        train(Request(scene, ["sim"], tmp_path / name), "fast", {**SETTINGS, **settings})
    plain, adapted = (runs.load_model(tmp_path / name) for name in ("plain", "adapted"))
    assert plain.network is not None and adapted.network is not None
    assert plain.network.name == "fast" and not any("encoder" in name for name in plain.network.weights)
    assert adapted.network.name == "fast-adapted" and adapted.network.config["adapter"]["width"] == 16
    given = torch.load(file, weights_only=True)["weights"]
    assert all(torch.equal(adapted.network.weights["encoder.adapter." + name], value) for name, value in given.items())
    load(tmp_path / "adapted").localize(IMAGE)


def test_mid_level_tasks_learn_from_adapted_features(scene: Path, tmp_path: Path, file: Path) -> None:
    weights = {}
    for name, settings in (("given", {"adapter": str(file)}), ("trained", {"contrastive": True})):
        train(Request(scene, ["sim"], tmp_path / name), "mlr", {**SETTINGS, "task_width": 16, **settings})
        network = runs.load_model(tmp_path / name).network
        assert network is not None and network.name == "mlr"
        weights[name] = network.weights
        maps = task_maps_of(load(tmp_path / name), IMAGE, Camera.from_focal(90.0, 128, 96))
        assert maps.depth is not None and np.isfinite(maps.depth.depth_hw).all()
    given = torch.load(file, weights_only=True)["weights"]
    assert all(torch.equal(weights["given"]["encoder.adapter." + name], value) for name, value in given.items())
    assert weights["trained"]["encoder.adapter.last.weight"].any()


def test_an_adapter_of_another_encoder_stops_before_anything_is_written(
    scene: Path, tmp_path: Path, file: Path
) -> None:
    torch.save({**torch.load(file, weights_only=True), "encoder": "dinov2"}, file)
    with pytest.raises(TransposeError, match="dinov2"):
        train(Request(scene, ["sim"], tmp_path / "run"), "fast", {**SETTINGS, "adapter": str(file)})
    assert not (tmp_path / "run").exists()


def test_flags_that_do_not_go_together_are_refused() -> None:
    for preset, settings, says in (
        ("ace", {"contrastive": True}, "has no --contrastive"),
        ("dsacstar", {"adapter": "adapter.pt"}, "has no --adapter"),
        ("dsacstar", {"contrastive": True}, "multiple of 2"),
        ("dsacstar", {"contrastive": True, "batch": 2, "accumulate": 2}, "multiple of 2"),
        ("dsacstar", {"contrastive": True, "batch": 2, "mode": "rgb"}, "no world points"),
        ("crossloc", {"contrastive": True, "contrast_weight": 0.0}, "weight positive"),
        ("crossloc", {"contrastive": True, "replay": True}, "choose one"),
        ("fast", {"contrastive": True, "keypoints_per_view": 0}, "learns from keypoints"),
    ):
        with pytest.raises(TransposeError, match=says):
            configured(preset, settings)
