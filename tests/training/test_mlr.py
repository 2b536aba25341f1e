"""Mid-level tasks beside coordinates: the preset, its stages, and what each of them draws."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import looking_down
from tests.training.test_presets import HEAD, scene  # noqa: F401
from transpose import runs
from transpose.errors import TransposeError
from transpose.evaluation.tasks import measure_tasks
from transpose.geometry import Camera
from transpose.localization import load
from transpose.localization.localizer import task_maps_of, tasks_learned
from transpose.models.mlr import MlrConfig, MlrHead
from transpose.models.mlr_full import MlrDecoders, MlrEncoders, MlrFullConfig, mlr_full_network
from transpose.pages.task_pictures import task_pictures
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.scenes.layout import Frame, open_section
from transpose.training.buffer import CellBuffer
from transpose.training.context import Callbacks
from transpose.training.presets import configured
from transpose.training.ranks import ALONE
from transpose.training.render_pairs import frame_pools, paired_renders
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.staged_cells import StagedCellSource, cell_pools
from transpose.training.stages import Stages
from transpose.training.start import train
from transpose.training.view_table import ViewTable
from transpose.training.views import TrainingFrame, training_view

SETTINGS = {
    "steps": 40, "batch": 128, "views": 90, "head": HEAD, "task_width": 16, "task_blocks": 1, "precision": "float32",
    "report_every": 10, "keypoints_per_view": 0,
}  # fmt: skip
SHAPE = MlrConfig(dataclasses.replace(HEAD, in_channels=8), ("depth", "normal", "semantics"), 16, 1)


@pytest.fixture(scope="module")
def run(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("mlr") / "run"
    train(Request(scene, ["sim"], folder), "mlr", SETTINGS)
    return folder


def test_it_leaves_a_localizer_that_knows_the_tasks_with_labels(run: Path, scene: Path) -> None:  # noqa: F811
    localizer = load(run, use="coordinates")
    assert tasks_learned(localizer) == ("depth", "normal")  # the boxes' world has no classes
    frame = open_section(scene / "sim").frames[0]
    assert np.isfinite(localizer.coordinates(frame.image(), frame.camera).points_hw3).all()
    maps = task_maps_of(localizer, frame.image(), frame.camera)
    assert maps.depth is not None and maps.normal is not None and maps.semantics is None
    assert maps.depth.depth_hw.shape == maps.depth.expected_hw.shape == (12, 16)
    assert 1 < np.median(maps.depth.depth_hw) < 4
    assert np.allclose(np.linalg.norm(maps.normal.normals_hw3, axis=-1), 1)
    measured = measure_tasks(localizer, open_section(scene / "sim").frames)
    assert measured["depth"]["median_relative"] < 0.3 and measured["normal"]["median_deg"] < 60
    assert [each.caption.split(",")[0] for each in task_pictures(localizer, frame)] == [
        "Predicted depth", "Depth by the label", "Predicted normals", "Normals by the label",
    ]  # fmt: skip


def test_it_goes_on_from_any_stage_as_if_it_had_not_stopped(run: Path, scene: Path, tmp_path: Path) -> None:  # noqa: F811
    def interrupt(entry: dict[str, float]) -> None:
        if entry["step"] == 30:  # of the third stage, which begins after 28
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Request(scene, ["sim"], tmp_path / "cut"), "mlr", SETTINGS, Callbacks(report=interrupt))
    cut = runs.load_model(tmp_path / "cut").network.weights
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), "mlr", SETTINGS)
    whole, resumed = (runs.load_model(each).network.weights for each in (run, tmp_path / "cut"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    frozen = [name for name in whole if name.startswith(("head.encoders.", "head.decoders."))]
    assert frozen and all(torch.equal(whole[name], cut[name]) for name in frozen)  # while coordinates are fused
    assert not torch.equal(whole["head.fusion.3.weight"], cut["head.fusion.3.weight"])


def test_a_task_without_labels_is_left_out_and_that_is_said_once(
    run: Path,
    scene: Path,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "transpose"):
        train(Request(scene, ["sim"], tmp_path / "none"), "mlr", {**SETTINGS, "steps": 4, "tasks": ("semantics",)})
    assert [record.message for record in caplog.records if "left out" in record.message] == [
        "no training frame has semantics: this task is left out"
    ]
    assert tasks_learned(load(tmp_path / "none")) == ()


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(TransposeError, match="tasks are depth, normal, semantics, not 'sky'"):
        configured("mlr", {"tasks": ("sky",)})
    with pytest.raises(TransposeError, match="stands twice"):
        configured("mlr", {"tasks": ("depth", "depth")})
    with pytest.raises(TransposeError, match="leave some steps"):
        configured("mlr", {"fine_tune": 0.5, "fuse": 0.5})
    with pytest.raises(TransposeError, match="leave --replay away"):
        configured("mlr-full", {"replay": True})


def test_fusion_begins_with_what_coordinates_were_and_leaves_other_tasks_alone() -> None:
    torch.manual_seed(0)
    head, features_nc = MlrHead(SHAPE), torch.randn(5, 8)
    apart_nk = head.apart(features_nc)
    assert apart_nk.shape == (5, 4 + 2 + 4 + 6)
    assert torch.equal(head.cells(features_nc), apart_nk[:, :4])
    head.cells(features_nc).square().sum().backward()
    assert all(weight.grad is None for weight in [*head.encoders.parameters(), *head.decoders.parameters()])
    assert all(weight.grad is not None for weight in head.coordinates.parameters())
    maps = head.task_outputs(features_nc.T[None, :, None])
    assert torch.allclose(torch.cat(list(maps.values()), 1)[0, :, 0].T, apart_nk[:, 4:], atol=1e-6)


def test_stages_follow_one_another_and_each_rate_rises_and_falls() -> None:
    stages = Stages.of(100, 0.2, 0.3, 0.5, 0.25)
    assert (stages.pretrain, stages.fine_tune, stages.fuse) == (50, 20, 30)
    assert [stages.at(step) for step in (0, 49, 50, 69, 70, 99, 100)] == [
        "pretrain", "pretrain", "fine_tune", "fine_tune", "fuse", "fuse", "fuse",
    ]  # fmt: skip
    rate_n = np.array([stages.rate(step) for step in range(101)])
    assert np.allclose([rate_n[:50].max(), rate_n[50:70].max(), rate_n[70:].max()], [1, 0.5, 0.25])
    assert rate_n.min() > 0 and max(rate_n[49], rate_n[69], rate_n[100]) < 0.02
    alone = Stages.of(10, 0.0, 0.0)
    assert {alone.at(step) for step in range(11)} == {"pretrain"}
    assert Stages.of(1, 0.5, 0.49).pretrain == 1  # however few steps there are


def test_normals_turn_with_the_camera_and_borders_have_no_label(scene: Path) -> None:  # noqa: F811
    frames = gather_frames(scene, ["sim"], None)[0]
    options = AugmentOptions(max_scale=1.0, max_rotation_deg=45.0)
    seen = training_view(frames, 0, stream(0, "turned"), options)
    px_n2 = seen.cell_px()
    surface_n4, frame = seen.surface(px_n2), frames[0].frame
    known_n = np.isfinite(surface_n4[:, :3]).all(1)
    assert known_n.sum() > 50 and np.isnan(surface_n4[:, 3]).all()
    source_n2 = seen.source_px(px_n2)
    outside_n = (source_n2 < 0).any(1) | (source_n2 > (frame.camera.width, frame.camera.height)).any(1)
    assert outside_n.any() and not (known_n & outside_n).any()
    # In the world a floor's normal points up, whichever way the image was turned.
    world_n3 = surface_n4[known_n, :3] @ seen.pose.R_wc.T
    at_n2 = np.floor(source_n2[known_n] / 8).astype(int)
    true_n3 = frame.normals()[:, at_n2[:, 1], at_n2[:, 0]].T @ frame.pose.R_wc.T
    assert np.allclose(world_n3, true_n3, atol=1e-5)
    assert np.median(world_n3[:, 2]) > 0.99


def test_each_stage_draws_its_pools_in_equal_parts(scene: Path) -> None:  # noqa: F811
    renders = gather_frames(scene, ["sim"], None)[0][:4]
    frames = [*renders, dataclasses.replace(renders[0], rendered=False)]
    views = ViewTable.empty(5)
    view_n = torch.repeat_interleave(torch.arange(5, dtype=torch.int32), 20)
    row_n = torch.arange(100).float()
    buffer = CellBuffer(
        row_n[:, None].bfloat16(), row_n[:, None].repeat(1, 3), torch.rand(100, 2), view_n, views,
        torch.zeros(100, 4, dtype=torch.half),
    )  # fmt: skip
    pools = cell_pools(buffer, frame_pools(frames), range(5))
    assert [len(pool) for pool in pools["pretrain"]] == [80]
    assert pools["fine_tune"][0].tolist() == pools["fuse"][0].tolist() == list(range(80, 100))
    assert set(range(20)) <= set(pools["fine_tune"][1].tolist())  # the photo's twin
    source = StagedCellSource(buffer, Stages(2, 2, 2), pools, 40, 0, torch.device("cpu"), ALONE)
    for step, photos, fused in ((0, 0, False), (2, 20, False), (4, 20, True)):
        inputs, targets = source.batch(step, 0, 1)
        again = torch.cat([source.batch(step, part, 4)[1].cells.points_n3 for part in range(4)])
        assert inputs.fused == fused and (targets.cells.points_n3[:, 0] >= 80).sum() == photos
        assert torch.equal(again, targets.cells.points_n3)  # a batch in parts is the same batch


def test_renders_pair_with_photos_by_what_they_show(scene: Path) -> None:  # noqa: F811
    renders = gather_frames(scene, ["sim"], None)[0]
    photo = dataclasses.replace(renders[3], rendered=False)
    assert paired_renders([*renders, photo], 1) == [3]
    assert paired_renders(renders, 4) == [] and paired_renders([photo], 4) == []
    away = looking_down(500.0, 0.0, 3.0)
    elsewhere = _posed(photo, away.T_wc)
    assert paired_renders([*renders, elsewhere], 4) == []


def test_what_stands_behind_a_wall_is_no_pair(scene: Path) -> None:  # noqa: F811
    render = gather_frames(scene, ["sim"], None)[0][3]

    def photo(nearer: float) -> TrainingFrame:
        frame = _Nearer(render.frame.stem, render.frame.paths, nearer=nearer)
        return TrainingFrame(frame, rendered=False)

    assert paired_renders([photo(1.0), render], 4) == [1]
    assert paired_renders([photo(2.0), render], 4) == []


@dataclasses.dataclass(frozen=True, eq=False)
class _Nearer(Frame):
    """A frame before which a wall stands."""

    nearer: float = 1.0

    def depth(self) -> np.ndarray:
        return super().depth() / np.float32(self.nearer)


def _posed(each: TrainingFrame, T_wc_44: np.ndarray) -> TrainingFrame:
    """The frame with another pose."""
    frame = dataclasses.replace(each.frame)
    frame.__dict__["pose"] = type(each.frame.pose)(T_wc_44)
    assert isinstance(frame.camera, Camera)
    return dataclasses.replace(each, frame=frame)


@pytest.mark.usefixtures("narrow_crossloc")
def test_the_layers_of_the_full_size_go_through_all_stages_and_go_on(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    device: torch.device,
) -> None:
    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    settings = {
        "steps": 3,
        "batch": 2,
        "accumulate": 2,
        "height": 48,
        "report_every": 2,
        "fuse": 0.4,
        "tasks": ("depth",),
    }
    request = Request(scene, ["sim"], tmp_path / "run", device=str(device))
    with pytest.raises(KeyboardInterrupt):
        train(request, "mlr-full", settings, Callbacks(report=interrupt))
    before = runs.load_state(tmp_path / "run")["weights"]
    train(dataclasses.replace(request, resume=True), "mlr-full", settings)
    after = runs.load_state(tmp_path / "run")["weights"]
    changed = {name.split(".")[2] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"coordinates", "straight", "branch"}  # the last step fuses, and leaves the tasks alone
    frame = open_section(scene / "sim").frames[0]
    maps = task_maps_of(load(tmp_path / "run", device), frame.image(), frame.camera)
    assert maps.depth is not None and maps.depth.depth_hw.shape == (6, 8)


def test_the_full_fusion_begins_with_what_coordinates_were() -> None:
    torch.manual_seed(0)
    network = mlr_full_network(MlrFullConfig(("depth", "semantics"))).eval()
    encoder, head = network.encoder, network.head
    assert isinstance(encoder, MlrEncoders) and isinstance(head, MlrDecoders)
    features_bchw = encoder(torch.rand(1, 3, 24, 32) * 255, frozen_tasks=True)
    apart = head.apart(features_bchw)
    assert apart.shape == (1, 4 + 2 + 6, 3, 4)
    assert torch.allclose(head(features_bchw), apart[:, :4], atol=1e-5)
    head(features_bchw).sum().backward()
    assert all(weight.grad is None for weight in encoder.of_task.parameters())
    assert all(weight.grad is not None for weight in head.coordinates.parameters())
    scales = [head.straight.norm.weight, head.branch[-1].norm.weight]  # type: ignore[union-attr, index]
    assert all(scale.grad.abs().sum() > 0 for scale in scales)  # it can learn to fuse
