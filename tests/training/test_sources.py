"""Batches of views out of a buffer."""

import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import looking_down
from transpose.geometry import Camera
from transpose.models.xfeat import XFeatEncoder
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.scenes.layout import open_section
from transpose.training.buffer import CellBuffer, _observations
from transpose.training.ranks import ALONE, Ranks
from transpose.training.sources import ImageSource, ViewSource, seen_cells
from transpose.training.view_table import ViewTable
from transpose.training.views import TrainingFrame, TrainingView, training_view
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

CPU = torch.device("cpu")
COUNTS = (200, 3, 90, 120)  # cells of each view; the second has too few for a pose


@pytest.fixture
def buffer() -> CellBuffer:
    """Every feature and every point tells which row it is."""
    n = sum(COUNTS)
    views = ViewTable.empty(len(COUNTS))
    views.T_cw_v34[:, 0, 3] = torch.arange(len(COUNTS)).float()
    view_n = torch.repeat_interleave(torch.arange(len(COUNTS), dtype=torch.int32), torch.tensor(COUNTS))
    row_n = torch.arange(n).float()
    return CellBuffer(
        row_n[:, None].repeat(1, 2).bfloat16(), row_n[:, None].repeat(1, 3), torch.rand(n, 2), view_n, views
    )


def test_a_batch_holds_as_many_cells_of_each_view(buffer: CellBuffer) -> None:
    source = ViewSource(buffer, 6, 50, 0, CPU, ALONE)
    features_nc, cells = source.batch(0, 0, 1)
    assert features_nc.shape == (300, 2) and len(cells) == 300 and cells.images == 6
    row_n = cells.points_n3[:, 0].long()
    view_bn = buffer.view_n[row_n].view(6, 50)
    assert torch.equal(view_bn, view_bn[:, :1].expand(-1, 50))  # one after the other, as `Cells.images` promises
    assert torch.equal(cells.T_cw_n34[:, 0, 3], view_bn.flatten().float())
    assert torch.equal(features_nc[:, 0], buffer.features_nc[row_n, 0].float())


def test_all_views_are_drawn_but_those_with_too_few_cells(buffer: CellBuffer) -> None:
    source = ViewSource(buffer, 8, 64, 1, CPU, ALONE)
    rows = torch.cat([source.batch(step, 0, 1)[1].points_n3[:, 0] for step in range(30)]).long().unique()
    seen_v = torch.bincount(buffer.view_n[rows], minlength=len(COUNTS))
    assert seen_v.tolist() == [200, 0, 90, 120]


def test_steps_differ_and_repeat(buffer: CellBuffer) -> None:
    first, second = (ViewSource(buffer, 4, 64, 3, CPU, ALONE) for _ in range(2))
    assert torch.equal(first.batch(5, 0, 1)[0], second.batch(5, 0, 1)[0])
    assert not torch.equal(first.batch(5, 0, 1)[0], first.batch(6, 0, 1)[0])


@pytest.mark.parametrize("parts, world", [(2, 1), (1, 2), (2, 2)])
def test_parts_and_ranks_share_one_batch(buffer: CellBuffer, parts: int, world: int) -> None:
    whole, _ = ViewSource(buffer, 4, 64, 0, CPU, ALONE).batch(2, 0, 1)
    shared = [
        ViewSource(buffer, 4, 64, 0, CPU, Ranks(rank, world)).batch(2, part, parts)
        for part in range(parts)
        for rank in range(world)
    ]
    assert all(cells.images == 4 // (parts * world) for _, cells in shared)
    assert torch.equal(torch.cat([features_nc for features_nc, _ in shared]), whole)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> list[TrainingFrame]:
    """Renders from the edge of the world, beyond which they have holes."""
    folder = tmp_path_factory.mktemp("images")
    camera = Camera.from_focal(60.0, 64, 48)
    poses = [looking_down(3.4, y, 3.0, yaw=30.0 * y) for y in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    viewpoints = [Viewpoint(camera, pose) for pose in poses]
    render_section(save_world(box_world, folder / "world"), viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return [TrainingFrame(frame, rendered=True) for frame in open_section(folder / "scene" / "sim").frames]


def images(frames: list[TrainingFrame], batch: int, threads: int, ranks: Ranks = ALONE) -> ImageSource:
    return ImageSource(frames, np.zeros(3), batch, AugmentOptions(), seed=3, device=CPU, ranks=ranks, threads=threads)


def test_images_do_not_depend_on_threads_or_on_where_a_training_resumes(frames: list[TrainingFrame]) -> None:
    few, many = images(frames, 2, threads=1), images(frames, 2, threads=7)
    with closing(few), closing(many):
        expected = [few.batch(step, 0, 1) for step in range(6)]
        for step in (0, 1, 2, 5, 4, 3):  # in any order, as after resuming
            image_b3hw, cells = many.batch(step, 0, 1)
            assert torch.equal(image_b3hw, expected[step][0])
            torch.testing.assert_close(cells.points_n3, expected[step][1].points_n3, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(expected[0][0], expected[1][0])


@pytest.mark.parametrize("parts, world", [(2, 1), (1, 2)])
def test_parts_and_ranks_share_the_images_of_a_batch(frames: list[TrainingFrame], parts: int, world: int) -> None:
    with closing(images(frames, 2, threads=2)) as source:
        whole, _ = source.batch(1, 0, 1)
    shared = []
    for rank in range(world):
        with closing(images(frames, 2, 2, Ranks(rank, world))) as source:
            shared += [source.batch(1, part, parts)[0] for part in range(parts)]
    assert torch.equal(torch.cat(shared), whole)


def test_threads_end_with_the_training(frames: list[TrainingFrame]) -> None:
    before = set(threading.enumerate())
    source = images(frames, 1, threads=3)
    source.batch(0, 0, 1)
    assert set(threading.enumerate()) > before
    source.close()
    assert set(threading.enumerate()) == before


def test_holes_of_renders_show_nothing(frames: list[TrainingFrame]) -> None:
    """What fills them is another frame, mirrored: nothing there is where the labels would say."""
    for which in range(len(frames)):
        view = training_view(frames, which, stream(0, "view"), None)
        depth_hw = frames[which].frame.depth()
        hole_hw = ~np.isfinite(depth_hw)
        assert 0.05 < hole_hw.mean() < 0.9
        rows, columns = np.indices(hole_hw.shape)
        px_n2 = np.stack([columns.ravel(), rows.ravel()], 1) + 0.5
        assert np.array_equal(view.visible(px_n2), ~hole_hw.ravel())
        cells = seen_cells(view, np.zeros(3))
        hole_n = ~view.visible(view.cell_px())
        assert hole_n.any() and torch.equal(cells.px_n2.isnan().all(1), torch.from_numpy(hole_n))


@pytest.mark.parametrize("height, zoom", [(None, 1.0), (32, 1.0), (96, 1.0), (None, 1.5)])
def test_an_observation_says_what_a_pixel_of_the_seen_view_covers(
    frames: list[TrainingFrame], height: int | None, zoom: float
) -> None:
    """The same keypoint is as large as it was, in metres, when fewer pixels show it."""
    view = training_view([replace(each, height=height) for each in frames], 2, stream(0, "view"), None)
    view = replace(view, camera=replace(view.camera, fx=zoom * view.camera.fx, fy=zoom * view.camera.fy))
    found = _observations(view, 2, XFeatEncoder().maps(tensor_of(view)), (500, False), np.zeros(3))
    assert found is not None and len(found) > 1
    assert (found.frame_n == 2).all() and (found.number_n == -1).all()
    ray_n3 = view.pose.center - found.points_n3.numpy()
    distance_n = np.linalg.norm(ray_n3, axis=1)
    assert np.allclose(found.toward_n3, ray_n3 / distance_n[:, None], atol=1e-3)
    width = view.image_hw3.shape[1]
    assert np.allclose(found.gsd_n, distance_n / (60.0 * width / 64 * zoom), rtol=1e-4)


def tensor_of(view: TrainingView) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(view.image_hw3)).permute(2, 0, 1)[None].float()
