"""Batches of views out of a buffer."""

import pytest
import torch

from transpose.training.buffer import CellBuffer
from transpose.training.ranks import ALONE, Ranks
from transpose.training.sources import ViewSource
from transpose.training.view_table import ViewTable

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
