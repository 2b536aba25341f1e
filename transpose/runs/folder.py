"""The run folder: where training and localization meet. Checkpoints are read and written here only.

`model.pt` is the localizer: weights, configuration, camera and statistics. `state.pt` holds what resuming needs.
`config.json` repeats the configuration for people, `log.jsonl` has one line for each report of the training.
"""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from transpose.errors import TransposeError, quoted
from transpose.runs.checkpoint import Checkpoint
from transpose.runs.serial import FORMAT, from_plain, is_ours, to_plain
from transpose.storage import refuse_pointer, replacing_file, save_tensors, write_json
from transpose.untrusted.tensors import UnknownGlobalError, load_tensors
from transpose.untrusted.values import BAD_VALUES

MODEL_FILE, STATE_FILE, LOG_FILE, CONFIG_FILE = "model.pt", "state.pt", "log.jsonl", "config.json"
_ASIDE = ".replaced"  # in a run's folder: the run that another one is about to replace


def save_model(run: Path, checkpoint: Checkpoint) -> Path:
    """Writes `model.pt` in one step; a run that it replaces (`set_aside`) is gone then."""
    path = _save(run / MODEL_FILE, to_plain(checkpoint))
    shutil.rmtree(run / _ASIDE, ignore_errors=True)
    return path


def load_model(run: Path) -> Checkpoint:
    """Reads a run's localizer.

    Args:
        run: the run folder, or its `model.pt`.

    Raises:
        TransposeError: it is missing, broken or of a format that this version does not know.
    """
    path = run / MODEL_FILE if run.is_dir() else run
    if not path.is_file():
        if (run / _ASIDE / MODEL_FILE).is_file():
            raise TransposeError(
                f"{run} holds no {MODEL_FILE} yet: what was to replace it was cut off. Go on with --resume in place of "
                f"--overwrite, or move what is in {run / _ASIDE} back to {run}"
            )
        raise TransposeError(f"{run} holds no {MODEL_FILE}; train one with: transpose train SCENE --out {quoted(run)}")
    content = _load(path)
    if not is_ours(content):
        raise TransposeError(
            f"{path} is no TransPose model of a format up to {FORMAT}; make one of it with: transpose convert"
        )
    try:
        return from_plain(content)
    except (*BAD_VALUES, RuntimeError) as error:  # the last of tensors that stand where a number should
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is not as it was written ({error})"
        raise TransposeError(f"{path} is a damaged TransPose model: it {what}; train or convert it again") from None


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Writes what resuming needs."""
    _save(run / STATE_FILE, state)


def load_state(run: Path) -> dict[str, Any]:
    """Reads what resuming needs."""
    if not (run / STATE_FILE).is_file():
        raise TransposeError(f"{run} has no {STATE_FILE} to resume from; start again with --overwrite")
    state = _load(run / STATE_FILE)
    if not isinstance(state, dict):
        raise TransposeError(f"{run / STATE_FILE} holds {type(state).__name__}, no state; start again with --overwrite")
    return state


def holds_run(run: Path) -> bool:
    """Whether something was trained or converted there, to its end or not."""
    return (run / MODEL_FILE).exists() or (run / STATE_FILE).exists()


def set_aside(run: Path) -> None:
    """Moves a run out of the way of one that replaces it, until `save_model` has that one's model.

    Where no model was saved since the last time, that time's run stays the one to be put back.
    """
    aside = run / _ASIDE
    if (run / MODEL_FILE).exists() or not (aside / MODEL_FILE).exists():
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _move(run, aside)
    _remove(run)


def put_back(run: Path) -> None:
    """Undoes `set_aside` where nothing was saved in its place."""
    if (run / _ASIDE).is_dir() and not holds_run(run):
        _remove(run)
        _move(run / _ASIDE, run)
        shutil.rmtree(run / _ASIDE, ignore_errors=True)


def _move(run: Path, to: Path) -> None:
    for name in (STATE_FILE, LOG_FILE, CONFIG_FILE, MODEL_FILE):
        if (run / name).exists():
            (run / name).replace(to / name)


def _remove(run: Path) -> None:
    """What is written here, and nothing else that may stand in the folder."""
    for name in (MODEL_FILE, STATE_FILE, LOG_FILE, CONFIG_FILE):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def write_config(run: Path, config: dict[str, Any]) -> None:
    """Writes the configuration for people to read."""
    write_json(run / CONFIG_FILE, config)


def append_log(run: Path, entry: dict[str, Any]) -> None:
    """Adds a line to the log."""
    with (run / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read_log(run: Path) -> list[dict[str, Any]]:
    """All lines of the log; a last line that was cut off is left out."""
    path = run / LOG_FILE
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
    return entries


def truncate_log(run: Path, step: int) -> None:
    """Forgets what was logged after a step: the steps after it are about to be done again."""
    if not (run / LOG_FILE).exists():
        return
    kept = [json.dumps(entry) + "\n" for entry in read_log(run) if entry.get("step", 0) <= step]
    with replacing_file(run / LOG_FILE) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def load_foreign(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint that another program wrote, by name; nothing in it is executed.

    Names lose the prefix `module.` where all have it: training on several GPUs puts it there.

    Raises:
        TransposeError: it is missing or broken, holds code, or is no dictionary of tensors.
    """
    if not path.is_file():
        raise TransposeError(f"{path} {'is a folder, not a checkpoint' if path.is_dir() else 'does not exist'}")
    content = _load(path)
    if not isinstance(content, dict) or not content:
        raise TransposeError(f"{path} holds {type(content).__name__} where a dictionary of tensors is expected")
    if is_ours(content):
        raise TransposeError(f"{path} is a model of TransPose already; use its run folder as it is")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise TransposeError(
                f"{path} is no dictionary of tensors by name (a state_dict): {name!r} is {type(value).__name__}"
            )
    shared = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(shared): value for name, value in content.items()}


def _save(path: Path, content: dict[str, Any]) -> Path:
    save_tensors(path, content)
    return path


def _load(path: Path) -> Any:
    try:
        return load_tensors(path)
    except MemoryError:
        raise
    except UnknownGlobalError as error:
        what = f"{error}, and nothing in a checkpoint is run or built but tensors and plain values"
        raise TransposeError(f"{path} cannot be read: {what}") from None
    except Exception as error:  # broken pickles raise nearly anything: KeyError, IndexError, AssertionError, ...
        refuse_pointer(path)
        if isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:  # PyTorch's, of a cut file
            what = error.strerror
        else:
            what = "truncated, or not a checkpoint of tensors and plain values"
        raise TransposeError(f"{path} cannot be read: {what}") from None
