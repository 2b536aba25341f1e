"""The processes of one training: alone, or one of several that `torchrun` started.

Every rank draws the same batch and works on its own shard of it; gradients are averaged. Host data (features of views,
keypoints) travel over gloo, gradients over NCCL where the devices are GPUs.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from transpose.errors import TransposeError

log = logging.getLogger(__name__)
_PATIENCE = timedelta(minutes=60)  # the main one calibrates and saves while the others wait
_MEETING_S, _SILENT_S = 900.0, 10.0  # until all have started, which other machines may do later; without a word
_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun and its like set
# What gloo, NCCL and the store say when a peer is gone; all else that they raise is a fault of how they were started.
_LOST_WORDS = (
    "connection closed", "connection reset", "broken pipe", "timed out", "timeout", "closed by peer", "by remote peer",
    "remote process exited", "ncclremoteerror", "was aborted", "recv failed", "failed to recv",
)  # fmt: skip


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and what passes between them.

    Attributes:
        rank: of this process; 0 is the main one: it alone writes files and talks.
        world: how many there are.
        host: the group over which main memory travels; None where no launcher started this process.
    """

    rank: int = 0
    world: int = 1
    host: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def shard(self, items: Tensor) -> Tensor:
        """This rank's part of a batch; all parts are equally long, or averages over ranks would be no averages."""
        if len(items) % self.world:
            raise TransposeError(
                f"a batch of {len(items)} cannot be shared equally by {self.world} processes; "
                f"set --batch to a multiple of {self.world}"
            )
        return items.chunk(self.world)[self.rank] if len(items) else items

    def whole(self, shard: Tensor) -> Tensor:
        """The batch of which each rank has its shard, on the device that gradients are on."""
        if self.host is None:
            return shard
        shards = [torch.empty_like(shard) for _ in range(self.world)]
        dist.all_gather(shards, shard.contiguous())
        return torch.cat(shards)

    def block(self, count: int, rank: int | None = None) -> range:
        """Which of `count` items a rank works on where parts need not be equal."""
        rank = self.rank if rank is None else rank
        return range(rank * count // self.world, (rank + 1) * count // self.world)

    def wrapped(self, module: nn.Module, staged: bool = False) -> nn.Module:
        """The module whose gradients are averaged over all ranks; `staged`: some weights get none in some steps."""
        if self.host is None:
            return module
        device = next(module.parameters()).device
        ids = [device.index] if device.type == "cuda" else None
        # The newer PyTorch warns of the older one's word.
        known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        word = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        without: dict[str, Any] = {word: False, "find_unused_parameters": staged}
        return nn.parallel.DistributedDataParallel(module, device_ids=ids, **without)

    def unsynchronized(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Gradients stay with this rank: more of the batch follows."""
        if isinstance(module, nn.parallel.DistributedDataParallel):
            return module.no_sync()
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all ranks, of a tensor on the device that gradients are on; nothing is waited for on a GPU."""
        if self.host is None:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.world

    def broadcast_blocks(self, rows: Tensor, count: int, per_item: int) -> None:
        """Hands `rows` (count * per_item, ...), of which each rank has filled its block of items, to all ranks."""
        for owner in range(0 if self.host is None else self.world):
            block = self.block(count, owner)
            part = rows[block.start * per_item : block.stop * per_item]
            if len(part):
                dist.broadcast(part, src=owner, group=self.host)

    def gathered(self, mine: Any) -> list[Any]:
        """What every rank holds, in the order of ranks."""
        if self.host is None:
            return [mine]
        everything: list[Any] = [None] * self.world
        dist.all_gather_object(everything, mine, group=self.host)
        return everything

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.host is not None:
            dist.barrier(group=self.host)


ALONE = Ranks()


def local_device(name: str) -> str:
    """`cuda` becomes this rank's own GPU."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks that `torchrun` started this process with, be it one, or this process alone.

    Raises:
        TransposeError: another rank was lost, or they cannot work together as they were started.
    """
    missing = [name for name in _LAUNCHED if name not in os.environ]
    if missing and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if missing:
        raise TransposeError(f"WORLD_SIZE says several processes, but {', '.join(missing)} is not set; use torchrun")
    host = _meet("nccl" if device.type == "cuda" else "gloo")
    try:
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), host)
        refuse_shared_devices(ranks.gathered(_device_id(device)))
        yield ranks
    except (dist.DistError, RuntimeError) as error:
        if _is_lost_peer(error):
            raise TransposeError(
                "another process of this training was lost; start the same command again with --resume "
                f"({_essence(error)})"
            ) from None
        if isinstance(error, dist.DistError):
            raise TransposeError(
                f"the processes of this training cannot work together ({_essence(error)}); each needs a GPU of its "
                "own (--device cuda), or try --device cpu"
            ) from None
        raise
    finally:
        dist.destroy_process_group()


def _meet(backend: str) -> Any:
    """Waits until all processes are there; the group over which main memory travels.

    In a thread: the wait is within PyTorch, which heeds no signals.

    Raises:
        TransposeError: this process was started wrongly, or the others do not come.
    """
    rank, world = (os.environ[name] for name in ("RANK", "WORLD_SIZE"))
    if not (rank.isdecimal() and world.isdecimal() and int(rank) < int(world)):
        raise TransposeError(
            f"RANK is {rank} and WORLD_SIZE {world}: ranks count from 0 to WORLD_SIZE - 1; use torchrun"
        )
    came: list[Any] = []

    def meet() -> None:
        try:
            dist.init_process_group(backend, timeout=_PATIENCE)
            came.append(dist.new_group(backend="gloo", timeout=_PATIENCE))
        except Exception as error:  # raised by who waits for it, or told
            came.append(error)

    others = threading.Thread(target=meet, name="meeting the other processes", daemon=True)
    others.start()
    others.join(_SILENT_S)
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if others.is_alive():
        log.warning("process %s waits at %s for all %s of this training", rank, where, world)
        others.join(_MEETING_S)
    failed = came[0] if came and isinstance(came[0], Exception) else None
    if failed and not isinstance(failed, dist.DistError | RuntimeError | ValueError):
        raise failed
    if failed or not came:
        why = (
            _essence(failed) if failed else f"not all {world} were there in {(_MEETING_S + _SILENT_S) / 60:.0f} minutes"
        )
        raise TransposeError(
            f"the processes of this training do not find each other at {where} ({why}); look at the launcher's "
            "address and port"
        )
    return came[0]


def refuse_shared_devices(id_of_ranks: Sequence[str | None]) -> None:
    """NCCL would say so too, but only when gradients are first exchanged, and in its own words.

    Raises:
        TransposeError: two ranks were given one GPU.
    """
    owner: dict[str, int] = {}
    for rank, each in enumerate(id_of_ranks):
        if each is not None and owner.setdefault(each, rank) != rank:
            raise TransposeError(
                f"processes {owner[each]} and {rank} of this training were given the same GPU ({each}); give each one "
                "of its own with --device cuda, and start no more processes than there are GPUs"
            )


def _device_id(device: torch.device) -> str | None:
    """What tells a GPU from all others, whatever each process calls it; None: another device, or unknown."""
    if device.type != "cuda":
        return None
    unique = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if unique is None else str(unique)


def _is_lost_peer(error: RuntimeError) -> bool:
    text = str(error).lower()
    return any(word in text for word in _LOST_WORDS)


def _essence(error: Exception) -> str:
    """The first line of a backend's message, and the last, where NCCL puts the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
