"""The processes of one training: alone, or one of several that `torchrun` started.

Every rank draws the same batch and works on its own share of it; gradients are averaged. Host data (features of views,
key-points) travel over gloo, gradients over NCCL where the devices are GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from transpose.errors import TransposeError

_PATIENCE = timedelta(minutes=60)  # the leader calibrates and saves while the others wait


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and what passes between them.

    Attributes:
        rank: of this process; 0 leads: it alone writes files and talks.
        world: how many there are.
        host: the group over which main memory travels; None where there is one process.
    """

    rank: int = 0
    world: int = 1
    host: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """This rank's part of a batch; all parts are equally long, or averages over ranks would be no averages."""
        if len(items) % self.world:
            raise TransposeError(
                f"a batch of {len(items)} cannot be shared equally by {self.world} processes; "
                f"set --batch to a multiple of {self.world}"
            )
        return items.chunk(self.world)[self.rank] if len(items) else items

    def block(self, count: int, rank: int | None = None) -> range:
        """Which of `count` items a rank works on where parts need not be equal."""
        rank = self.rank if rank is None else rank
        return range(rank * count // self.world, (rank + 1) * count // self.world)

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over all ranks."""
        if self.world == 1:
            return module
        device = next(module.parameters()).device
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)

    def unsynchronized(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Gradients stay with this rank: more of the batch follows."""
        if isinstance(module, nn.parallel.DistributedDataParallel):
            return module.no_sync()
        return nullcontext()

    def spread(self, rows: Tensor, count: int, per_item: int) -> None:
        """Hands `rows` (count * per_item, ...), of which each rank has filled its block of items, to all ranks."""
        for owner in range(self.world if self.world > 1 else 0):
            block = self.block(count, owner)
            part = rows[block.start * per_item : block.stop * per_item]
            if len(part):
                dist.broadcast(part, src=owner, group=self.host)

    def gathered(self, mine: Any) -> list[Any]:
        """What every rank holds, in the order of ranks."""
        if self.world == 1:
            return [mine]
        everything: list[Any] = [None] * self.world
        dist.all_gather_object(everything, mine, group=self.host)
        return everything

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.world > 1:
            dist.barrier(group=self.host)


ALONE = Ranks()


def local_device(name: str) -> str:
    """`cuda` becomes this rank's own GPU."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks that `torchrun` started this process with, or this process alone.

    Raises:
        TransposeError: another rank was lost.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), world, dist.new_group(backend="gloo", timeout=_PATIENCE))
    except (dist.DistError, RuntimeError) as error:
        if not isinstance(error, dist.DistError) and not _of_a_lost_peer(error):
            raise
        raise TransposeError(
            "another process of this training was lost; start the same command again with --resume "
            f"({str(error).splitlines()[0]})"
        ) from None
    finally:
        dist.destroy_process_group()


def _of_a_lost_peer(error: RuntimeError) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("connection closed", "connection reset", "broken pipe", "timed out", "peer"))
