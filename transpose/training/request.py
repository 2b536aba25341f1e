"""Which run is wanted, and what may happen to one that is there already."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from transpose import runs
from transpose.errors import TransposeError
from transpose.ownership import sole_use
from transpose.runs import Provenance
from transpose.scenes.digest import section_digest
from transpose.training.config import PresetConfig, StepConfig
from transpose.training.ranks import Ranks
from transpose.training.time_limit import as_begun

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """Which run is wanted.

    Attributes:
        scene: the scene folder.
        sections: to learn from.
        run: the run folder. One that exists is refused unless `resume` or `overwrite` says what to do with it.
        validation: section to validate on; without it a tenth of the last section is kept out.
        device: as PyTorch names it.
        resume: go on with a run that was cut off.
        overwrite: remove the run that is there.
        world: the world of the scene, which the run notes; without it the one that its sections were rendered from.
    """

    scene: Path
    sections: Sequence[str]
    run: Path
    validation: str | None = None
    device: str = "cpu"
    resume: bool = False
    overwrite: bool = False
    world: Path | None = None

    @property
    def all_sections(self) -> tuple[str, ...]:
        """Those that are learned from and, if one was named, that of the validation."""
        return (*self.sections, *([self.validation] if self.validation else []))

    def digests(self) -> dict[str, str]:
        """What the sections hold, by name, so that a change is noticed."""
        return {name: section_digest(self.scene / name) for name in self.all_sections}


@contextmanager
def at_work(request: Request, ranks: Ranks) -> Iterator[None]:
    """Keeps other trainings out of the run folder; the main one of several processes does for all.

    A run that was to be replaced is there again where the training ends before it has saved anything.

    Raises:
        TransposeError: another process is training there.
    """
    with sole_use(request.run) if ranks.is_main else nullcontext():
        try:
            yield
        finally:
            if request.overwrite and ranks.is_main:
                runs.put_back(request.run)


def is_made(request: Request, config: PresetConfig | StepConfig, provenance: Provenance) -> bool:
    """Whether a run is to be gone on with of which nothing is left to do.

    Raises:
        TransposeError: it is of another configuration or of other data.
    """
    if not request.resume or not (request.run / runs.MODEL_FILE).exists():
        return False
    try:
        made = runs.load_model(request.run)
    except TransposeError:
        if not (request.run / runs.STATE_FILE).exists():
            raise
        return False  # what was saved beside it makes it again
    if not made.progress.complete:
        return False
    before = {
        "config": dict(made.provenance.config),
        "digests": dict(made.provenance.digests) or None,
        "roles": made.provenance.roles if made.provenance.sections else None,
    }
    _check_same(request, config, provenance, before)
    log.info("%s is complete", request.run)
    return True


def state_of(request: Request, config: PresetConfig | StepConfig, provenance: Provenance) -> dict[str, Any] | None:
    """What to resume from, where that is asked for; None also where nothing was saved yet.

    Raises:
        TransposeError: another configuration saved it, or its data has changed since.
    """
    if not request.resume:
        return None
    if not runs.holds_run(request.run):
        log.info("nothing was saved in %s yet; it starts from the beginning", request.run)
        return None
    state = runs.load_state(request.run)
    _check_same(request, config, provenance, state)
    return state


def _check_same(
    request: Request, config: PresetConfig | StepConfig, provenance: Provenance, before: dict[str, Any]
) -> None:
    """Refuses to go on with what was begun otherwise: with other `config`, `digests` or `roles` than those before.

    A state of an older version lacks the last, or the last two.
    """
    if before["config"] != dataclasses.asdict(as_begun(config, before["config"])):
        raise TransposeError(
            f"{request.run} was begun with another configuration; resume with the same flags or --overwrite"
        )
    roles, digests = before.get("roles"), before.get("digests")
    if digests is not None and digests.keys() != provenance.digests.keys():
        raise TransposeError(
            f"{request.run} was begun on {', '.join(digests)}; resume with these sections, or --overwrite"
        )
    if roles is not None and roles != provenance.roles:
        validated = f", --val {roles['validation']}" if roles["validation"] else ""
        begun = f", from {roles['source']}" if roles["source"] else ""
        raise TransposeError(
            f"{request.run} was begun on {', '.join(roles['sections'])} in this order{validated}{begun}; resume with "
            "the same, or --overwrite"
        )
    if digests is not None and digests != provenance.digests:
        changed = ", ".join(
            str(request.scene / name) for name, digest in digests.items() if provenance.digests[name] != digest
        )
        raise TransposeError(
            f"{changed} changed since {request.run} was begun, and what it learned does not fit any more; start again "
            "with --overwrite"
        )


def check_run(request: Request) -> None:
    """Refuses to touch a run behind the user's back."""
    run = request.run
    if request.resume and request.overwrite:
        raise TransposeError("--resume goes on with a run, --overwrite removes it; choose one")
    if runs.holds_run(run) and not request.resume and not request.overwrite:
        raise TransposeError(f"{run} holds a run already; go on with --resume or replace it with --overwrite")


def open_run(request: Request, config: dict[str, Any]) -> None:
    """Makes the run folder and writes what is about to happen."""
    check_run(request)
    run = request.run
    if request.overwrite and run.exists():
        runs.set_aside(run)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / runs.STATE_FILE).exists():
        runs.truncate_log(run, 0)  # of a run that was cut off before it first saved
    runs.write_config(run, config)
