"""From an input to a running page: recognizes it, runs the commands that are still to be run, and serves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transpose.app.console import say, tell
from transpose.app.services.commands import STDERR, run_command, typed
from transpose.app.services.recognizing import Recognized
from transpose.app.services.up_record import Record, open_record
from transpose.app.services.up_stages import Goal, Stage, UpRequest, Way
from transpose.errors import TransposeError
from transpose.ownership import sole_use


def go_up(found: Recognized, request: UpRequest) -> Goal:
    """Runs the stages that are not done, and says each command; on stdout in the end, all of them.

    A stage is done where its folder is there, unless it was begun with other words before, its input has changed, or
    the stage before it was run after it. So what somebody made by hand under the same name is taken as it is, and what
    follows from it is made anew.

    Raises:
        TransposeError: a stage failed, which one, and what to do.
    """
    started, way, commands = time.monotonic(), Way(found, request, tell), []
    if found.holds != "run":
        with _writable(request.out), sole_use(request.out):
            record, same = open_record(request.out, found)
            anew, made_s = not same, 0.0
            for stage in way.stages():
                commands.append(typed(stage.words))
                anew = anew or (_is_there(stage) and _made_s(stage) < made_s)
                anew = _do(stage, record, anew, started) or anew
                made_s = max(made_s, _made_s(stage))
    else:
        list(way.stages())
    tell(f"\nready after {time.monotonic() - started:.0f} s; by hand it would have been:")
    for line in [*commands, typed(serve_words(way.goal))]:
        say(line)
    return way.goal


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Says what to do where nothing may be written beside the input."""
    try:
        yield
    except PermissionError as error:
        raise TransposeError(f"{folder} cannot be written ({error.strerror}); name another place with --out") from None


def _do(stage: Stage, record: Record, anew: bool, started: float) -> bool:
    """Runs a stage, unless it is done; returns whether it was run."""
    other = record.was_other(stage)
    if _is_there(stage) and not anew and not other:
        tell(f"\n{stage.name}: {stage.result} is there already\n  {typed(stage.words)}")
        return False
    words = (*stage.words, *_how(stage, anew or other))
    tell(f"\n{stage.name} ({time.monotonic() - started:.0f} s)\n  {typed(words)}")
    record.note(stage)
    if anew and stage.name == "render" and stage.result.is_dir():
        # `render` knows its own work by the size of the world, which another picture on it does not change.
        shutil.rmtree(stage.result)
    code = run_command(words, STDERR)
    if code != 0 or not _is_there(stage):
        why = "failed, as it says above" if code else f"has left no {stage.result}"
        raise TransposeError(
            f"the stage `{stage.name}` {why}; put right what it names, or run its command by hand with other flags "
            f"({typed(words)}); the same transpose up goes on from there"
        )
    return True


def _is_there(stage: Stage) -> bool:
    return _is_complete(stage.result) if stage.name == "train" else stage.result.is_dir()


def _made_s(stage: Stage) -> float:
    """When the result of a stage was made."""
    from transpose.runs import MODEL_FILE

    return (stage.result / MODEL_FILE if stage.name == "train" else stage.result).stat().st_mtime


def _is_complete(run: Path) -> bool:
    """Whether a training came to its end."""
    from transpose import runs

    try:
        return (run / runs.MODEL_FILE).is_file() and runs.load_model(run).progress.complete
    except TransposeError:
        return False


def _how(stage: Stage, anew: bool) -> tuple[str, ...]:
    """What a training is to do with a run that is there, cut off or of other data."""
    if stage.name != "train":
        return ()
    from transpose import runs

    if not runs.holds_run(stage.result):
        return ()
    return ("--overwrite",) if anew else ("--resume",)


def serve_words(goal: Goal) -> tuple[str, ...]:
    """The command that shows a localizer in a browser."""
    world = () if goal.world is None else ("--world", str(goal.world))
    return ("serve", str(goal.run), *world, "--open")


def serve(goal: Goal) -> None:
    """Opens the page, until it is interrupted.

    Raises:
        TransposeError: the page could not be served.
    """
    if code := run_command(serve_words(goal)):
        raise TransposeError(f"the page could not be served (exit code {code}), as it says above")


def beside(source: Path) -> Path:
    """The folder for all that is made of an input: next to it, under its name."""
    source = source.absolute()
    return source.with_name(f"{source.stem if source.is_file() else source.name}-transpose")
