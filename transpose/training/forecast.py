"""How long a training will take, measured where and when it is about to run, and what would make it shorter.

A machine that others share takes longer, and no table of presets knows that: what is said rests on the first views and
on a few steps that change nothing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from transpose.models.network import Network
from transpose.models.precision import autocast
from transpose.training.plan import Plan

log = logging.getLogger(__name__)
_MEASURED_SECONDS = 1.0  # of views or of steps, after which a pace is believed
_MOST_TRIED, _FEWEST_VIEWS = 12, 8


def pace(step: Callable[[], object]) -> float:
    """Seconds that a step takes in the mean; the first, which warms up, counts only where it is slow by itself."""
    spent: list[float] = []
    while len(spent) < 2 or (sum(spent) < _MEASURED_SECONDS and len(spent) < _MOST_TRIED):
        started = time.monotonic()
        step()
        spent.append(time.monotonic() - started)
        if spent[0] > _MEASURED_SECONDS:
            break
    counted = spent[1:] or spent
    return sum(counted) / len(counted)


def head_pace(network: Network, batch: int, channels: int, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of a step of a head on frozen features, before there are any: on random ones, which cost the same."""
    features_nc = torch.zeros(batch, channels, device=device)

    def step() -> object:
        with autocast(device, dtype):
            out_nk = network.head.cells(features_nc)  # type: ignore[operator]
        out_nk.float().sum().backward()
        network.head.zero_grad(set_to_none=True)
        return out_nk[0, 0].item()  # waits for a GPU

    return pace(step)


def rehearsal(plan: Plan, step: int, parts: int, device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """A part of a step without its effect.

    Args:
        plan: that is followed.
        step: which one.
        parts: in which its batch is done.
        device, dtype: where it is done, arithmetic of the hidden layers.
    """

    def one_part() -> object:
        plan.module.train()
        kept = [(buffer, buffer.clone()) for buffer in plan.module.buffers()]  # such as running means
        inputs, targets = plan.source.batch(step, 0, parts)
        with autocast(device, dtype):
            raw_nk = plan.module(inputs)
        loss = plan.objective(raw_nk.float(), targets, step)[0].mean()
        loss.backward()
        plan.optimizer.zero_grad(set_to_none=True)
        for buffer, before in kept:
            buffer.copy_(before)
        return loss.item()

    return one_part


@dataclass(frozen=True)
class Steps:
    """The steps of a training that are still to come.

    Attributes:
        count: of them.
        seconds: that each takes.
        extra_seconds: that all reports on validation take.
        shorter: what would make them fewer or faster.
    """

    count: int
    seconds: float
    extra_seconds: float = 0.0
    shorter: str = "fewer --steps"

    @property
    def total_seconds(self) -> float:
        """Of all."""
        return self.count * self.seconds + self.extra_seconds

    def __str__(self) -> str:
        return f"{self.count} steps at {in_words(self.seconds)}"


def tell_steps(steps: Steps) -> None:
    """Says how long the steps will take."""
    if steps.count > 0:
        log.info(
            "%s: about %s; shorter with %s; cut off, it goes on with --resume",
            *(steps, in_words(steps.total_seconds), steps.shorter),
        )


def tell_views(items: Iterable[int], total: int, steps: Steps, shorter: str) -> Iterator[int]:
    """Says, once the first views are done, how long all of them and the steps will take.

    Args:
        items: one for each view that is done.
        total: how many there will be.
        steps: that follow.
        shorter: what would make the views fewer or faster.

    Returns:
        The same items, the first ones among them.
    """
    items, first, started = iter(items), [], time.monotonic()
    for item in items:
        first.append(item)
        if len(first) >= _FEWEST_VIEWS and time.monotonic() - started >= _MEASURED_SECONDS:
            each = (time.monotonic() - started) / len(first)
            log.info(
                "about %s: %d views at %s, then %s; shorter with %s or %s",
                *(in_words(total * each + steps.total_seconds), total, in_words(each), steps, shorter, steps.shorter),
            )
            break
    return itertools.chain(first, items)


def in_words(seconds: float) -> str:
    """Such as "26 ms", "8 s", "2 min", "3 h 20 min", "12 days": what an estimate is good for."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.00995 else f"{1000 * seconds:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 1440:.0f} days"
