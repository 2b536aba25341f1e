"""A training within a limit of time: how many steps, and views before them, fit it at the pace of this machine.

The numbers are chosen once, before the first view, and kept with the run: the schedule ends at its end, and a run that
is resumed, even on another machine, goes on with them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from transpose.parallel import worker_count
from transpose.training.config import FeatureConfig, PresetConfig, StepConfig
from transpose.training.context import Callbacks, TrainingContext
from transpose.training.forecast import in_words, pace, rehearsal
from transpose.training.plan import Built, Plan

log = logging.getLogger(__name__)
C = TypeVar("C", bound=PresetConfig | StepConfig)
_TRIED_VIEWS, _TRIED_STEPS = 24, 24
_FEWEST_VIEWS, _FEWEST_STEPS = 16, 20
# Of the views that landmarks need: on a machine that is busy meanwhile, fewer would make a localizer of no use.
_FEWEST_OF_FIRST = 1 / 3
_GIVEN_UP_TO = 300, 0.25  # steps, or that share of the time, for the sake of views that landmarks need
# Of the limit: for landmarks of all views, calibration and saving, and for a pace that is slower later on.
_RESERVE = 0.12
# Calibration localizes 24 frames. Validation passes 8 whole images, or only cells; a frame takes so long to localize
# as a core takes for 3 views (RedKitchen: 0.4 s, and 0.13 s).
_CALIBRATED, _CALIBRATED_PER_VALIDATED, _VIEWS_PER_CALIBRATED = 24, 3, 3.0


def as_begun(config: C, begun: Mapping[str, Any]) -> C:
    """A configuration with what the limit of time chose when a run was begun; as it is where no limit did, or another.

    Args:
        config: that is asked for.
        begun: the configuration that the run stores.
    """
    if not isinstance(config, StepConfig) or config.minutes is None or begun.get("minutes") != config.minutes:
        return config
    return replace(config, **{name: begun[name] for name in config.LIMITED if name in begun})


def within_limit(
    config: C,
    plan: Callable[[Any, TrainingContext], Plan | Built],
    context: TrainingContext,
    started: float,
    state: Mapping[str, Any] | None = None,
) -> C:
    """The configuration with as many steps, and views before them, as fit its limit of time; as it is without one.

    Where both must be fewer, both are by the same factor, so that their proportion stays the preset's own, as long as
    landmarks have views enough; then steps are given up first, and a third of those views is kept whatever the limit.
    The paces are those of a trial: a plan of few views, some steps that change nothing, and one validation. A resumed
    run goes on with what was chosen when it began.

    Args:
        config: its `minutes` are the limit.
        plan: makes the preset's plan.
        context: frames and device.
        started: when the training began (`time.monotonic`): what is spent already counts.
        state: of the run that is resumed; None: it begins.
    """
    if state is not None:
        return as_begun(config, state["config"])
    if not isinstance(config, StepConfig) or config.minutes is None:
        return config
    paces = _tried(config, plan, context)
    views, steps = paces.fitting(60 * config.minutes * (1 - _RESERVE) - (time.monotonic() - started))
    views, steps = context.ranks.gathered((views, steps))[0]
    # Of a frame there are several, each changed by chance.
    most_views = f" and {views} of {paces.views} augmented views" if isinstance(config, FeatureConfig) else ""
    log.info("within %s: %d of %d steps%s", in_words(60 * config.minutes), steps, paces.steps, most_views)
    if isinstance(config, FeatureConfig):
        return replace(config, steps=steps, most_views=views)
    return replace(config, steps=steps)


@dataclass(frozen=True)
class Paces:
    """What a training does, and how long it takes here.

    Attributes:
        views, steps: as many as the preset wants.
        view_seconds, step_seconds: that each takes.
        fixed_seconds: that a plan takes beside its views, and calibration.
        report_seconds: that a report takes.
        report_every: steps.
        views_first: so many views are kept at the cost of steps.
    """

    views: int
    steps: int
    view_seconds: float
    step_seconds: float
    fixed_seconds: float
    report_seconds: float
    report_every: int
    views_first: int = 0

    def fitting(self, seconds: float) -> tuple[int, int]:
        """Views and steps that fit so many seconds; see `within_limit`."""
        reported = self.step_seconds + self.report_seconds / self.report_every
        whole = self.views * self.view_seconds + self.steps * reported
        left = max(0.0, seconds - self.fixed_seconds)
        share = min(1.0, left / max(whole, 1e-9))
        views, steps = int(share * self.views), int(share * self.steps)
        if views < min(self.views, self.views_first):
            least_steps, least_share = _GIVEN_UP_TO
            for_views = left - min(least_steps * reported, least_share * left)
            fitting = max(_FEWEST_OF_FIRST * self.views_first, for_views / max(self.view_seconds, 1e-9))
            views = max(views, int(min(self.views, self.views_first, fitting)))
            steps = min(self.steps, int((left - views * self.view_seconds) / reported))
        fewest_views, fewest_steps = min(self.views, _FEWEST_VIEWS), min(self.steps, _FEWEST_STEPS)
        if views < fewest_views or steps < fewest_steps:
            views, steps = max(views, fewest_views), max(steps, fewest_steps)
            least = self.fixed_seconds + views * self.view_seconds + steps * reported
            log.warning("the least that can be learned takes about %s more here, beyond the limit", in_words(least))
        return views, steps


def _tried(config: StepConfig, plan: Callable[[Any, TrainingContext], Plan | Built], context: TrainingContext) -> Paces:
    """The paces of a plan of few views."""
    watch, began = _Watch(), time.monotonic()
    views, first = 0, 0
    # What a plan itself learns (to recognize map points) takes a share of the steps; few show that it can be learned.
    few = replace(config, steps=min(config.steps, _TRIED_STEPS))
    if isinstance(config, FeatureConfig) and isinstance(few, FeatureConfig):
        views, first = config.view_count(len(context.training)), config.views_before_steps
        few = replace(few, most_views=min(views, _TRIED_VIEWS))
    with _silent():
        trial = plan(few, replace(context, callbacks=Callbacks(buffer=watch)))
    assert isinstance(trial, Plan), "what is made at once has no steps, and no limit"
    planned = time.monotonic() - began
    with closing(trial.source):
        step_seconds = config.accumulate * pace(rehearsal(trial, 0, config.accumulate, context.device, context.dtype))
    began = time.monotonic()
    trial.validation()
    reported = time.monotonic() - began
    localizing = _CALIBRATED * _VIEWS_PER_CALIBRATED * watch.each * worker_count()  # views have a core each
    fixed = planned - watch.seconds + max(_CALIBRATED_PER_VALIDATED * reported, localizing)
    each = watch.each / context.ranks.world
    return Paces(views, config.steps, each, step_seconds, fixed, reported, config.report_every, first)


@dataclass
class _Watch:
    """Wraps views as they are done, and notes when they were."""

    times: list[float] = field(default_factory=list)

    def __call__(self, items: Iterable[int], _: int) -> Iterator[int]:
        self.times.append(time.monotonic())
        for item in items:
            self.times.append(time.monotonic())
            yield item

    @property
    def seconds(self) -> float:
        """From the beginning to the last view."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    @property
    def each(self) -> float:
        """Seconds that a view takes, the first one, which warms up, left out; 0 of none."""
        return (self.times[-1] - self.times[1]) / (len(self.times) - 2) if len(self.times) > 2 else self.seconds


@contextmanager
def _silent() -> Iterator[None]:
    """What a trial has to say of itself is not what the training does."""
    logger = logging.getLogger("transpose.training")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
