"""What `transpose up` has done in a folder, so that a second one goes on, and what changed is done again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transpose.app.services.recognizing import Recognized
from transpose.app.services.up_stages import Stage
from transpose.errors import TransposeError
from transpose.storage import read_json, write_json

_FILE, _FORMAT = "up.json", 1


@dataclass
class Record:
    """The commands of the stages by their names, and the input that they were for.

    Attributes:
        folder: of `transpose up`.
        source: the input, as its files then were.
        begun: words of the stages that were begun, by name.
    """

    folder: Path
    source: Mapping[str, Any]
    begun: dict[str, list[str]] = field(default_factory=dict)

    def was_other(self, stage: Stage) -> bool:
        """Whether the stage was begun before by another command."""
        return self.begun.get(stage.name, list(stage.words)) != list(stage.words)

    def note(self, stage: Stage) -> None:
        """Writes down that a stage begins."""
        self.begun[stage.name] = list(stage.words)
        write_json(self.folder / _FILE, {"format": _FORMAT, "source": dict(self.source), "begun": self.begun})


def open_record(folder: Path, found: Recognized) -> tuple[Record, bool]:
    """The record of a folder for an input, and whether what stands there is of the same input as it was before.

    Raises:
        TransposeError: the folder belongs to another input.
    """
    source = {"path": str(found.source), "kind": found.kind, "files": _states(found, folder)}
    path = folder / _FILE
    if not path.is_file():
        return Record(folder, source), True
    try:
        content = read_json(path)
        before, begun = dict(content["source"]), {str(k): list(map(str, v)) for k, v in content["begun"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TransposeError(f"{path} is broken; remove it, and all is done again") from None
    if before.get("path") != source["path"]:
        raise TransposeError(f"{folder} holds what was made of {before.get('path')}; name another --out")
    return Record(folder, source, begun), before == source


def _states(found: Recognized, folder: Path) -> list[list[Any]]:
    """Names, sizes and times of the files of an input; of a folder of photos or of a model one digest of all of them.

    Scenes and runs grow by what is made of them, and are no part of it; neither is what `up` itself writes.
    """
    files = [path for path in found.files if path.is_file()]
    if files or found.holds not in ("photos", "model") or not found.source.is_dir():
        return [_state(path, path) for path in files]
    digest, count, own = hashlib.sha256(), 0, folder.resolve()
    for path in sorted(found.source.rglob("[!.]*")):
        if path.is_file() and own not in path.resolve().parents:
            digest.update(repr(_state(path, path.relative_to(found.source))).encode())
            count += 1
    return [[str(found.source), count, digest.hexdigest()]]


def _state(path: Path, name: Path) -> list[Any]:
    return [str(name), path.stat().st_size, path.stat().st_mtime_ns]
