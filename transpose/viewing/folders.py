"""What kind of folder a person named, and the other folders that belong to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from transpose.errors import TransposeError, first_few
from transpose.scenes.layout import section_names
from transpose.storage import read_json, recover_folder

Kind = Literal["world", "scene", "section", "run", "results"]
_MODEL = "model.pt"  # `runs.MODEL_FILE`, without loading PyTorch
_MOST_NAMED = 6


@dataclass(frozen=True)
class Chosen:
    """What is shown. None and empty: not there, or not known.

    Attributes:
        world: folder of a world.
        scene: folder of a scene.
        sections: of it, those whose cameras are shown.
        run: run folder, for its landmarks.
        results: folder that `transpose test` wrote.
        notes: what a person should know of how these were found, one a line.
    """

    world: Path | None = None
    scene: Path | None = None
    sections: tuple[str, ...] = ()
    run: Path | None = None
    results: Path | None = None
    notes: tuple[str, ...] = ()


def kind_of(path: Path) -> Kind:
    """What a folder is: a world, a scene, a section of one, a run (or its model.pt), or the results of a test.

    Raises:
        TransposeError: it is not there, or none of them; the message says what it holds and what is known.
    """
    if path.is_file() and path.name == _MODEL:
        return "run"
    if not path.is_dir():
        recover_folder(path)
    if path.is_file():
        raise TransposeError(
            f"{path} is a file; name the folder of a world, scene, section, run or of the results of a test (a 3D "
            "model becomes a world by: transpose build mesh FILE --out WORLD)"
        )
    if not path.is_dir():
        raise TransposeError(f"{path} does not exist")
    if (path / "world.json").is_file():
        return "world"
    if (path / _MODEL).is_file() or (path / "state.pt").is_file():
        return "run"
    if (path / "results.json").is_file():
        return "results"
    if (path / "rgb").is_dir():
        return "section"
    if section_names(path):
        return "scene"
    names = sorted(each.name + ("/" if each.is_dir() else "") for each in path.iterdir())
    holds = first_few(names, _MOST_NAMED) if names else "nothing"
    raise TransposeError(
        f"{path} is nothing that can be shown: it holds {holds}; known are a world (world.json), a scene (folders with "
        "rgb/ in them), a section (rgb/), a run (model.pt) and the results of a test (results.json)"
    )


def choose(path: Path, world: Path | None = None, scene: Path | None = None, results: Path | None = None) -> Chosen:
    """The folder that a person named with all that belongs to it, as far as it is recorded and still there.

    Args:
        path: of any kind.
        world, scene, results: said by the person; they go before what is recorded. `scene` may be SCENE/SECTION.

    Raises:
        TransposeError: a folder is not what it is taken for.
    """
    chosen = _opened(Chosen(), path, kind_of(path))
    asked: tuple[tuple[Path | None, tuple[Kind, ...]], ...]
    asked = ((results, ("results",)), (scene, ("scene", "section")), (world, ("world",)))
    for said, kinds in asked:
        if said is not None:
            chosen = _opened(chosen, said, _checked(said, kinds))
    return _completed(chosen)


def _checked(path: Path, kinds: Sequence[str]) -> Kind:
    kind = kind_of(path)
    if kind not in kinds:
        raise TransposeError(f"{path} is a {kind}, where a {' or '.join(kinds)} is asked for")
    return kind


def _opened(chosen: Chosen, path: Path, kind: Kind) -> Chosen:
    if kind == "world":
        return replace(chosen, world=path)
    if kind == "scene":
        return replace(chosen, scene=path, sections=tuple(section_names(path)))
    if kind == "section":
        whole = path.resolve()
        return replace(chosen, scene=whole.parent, sections=(whole.name,))
    if kind == "run":
        return replace(chosen, run=path.parent if path.is_file() else path)
    return replace(chosen, results=path)


def _completed(chosen: Chosen) -> Chosen:
    """With what results, runs and scenes record of each other."""
    if chosen.results is not None:
        chosen = _by_results(chosen, chosen.results)
    if chosen.run is not None:
        chosen = _by_run(chosen, chosen.run)
    if chosen.world is None and chosen.scene is not None:
        found = next(filter(None, (_world_of(chosen.scene / name) for name in chosen.sections)), None)
        chosen = _with(chosen, "world", found)
    return chosen


def _by_results(chosen: Chosen, results: Path) -> Chosen:
    table = _object(results / "results.json")
    if chosen.run is None:
        chosen = _with(chosen, "run", table.get("run"))
    if chosen.scene is None:
        chosen = _with(chosen, "scene", table.get("scene"))
        section = table.get("section")
        if chosen.scene is not None and isinstance(section, str) and (chosen.scene / section / "rgb").is_dir():
            chosen = replace(chosen, sections=(section,))
    return chosen


def _by_run(chosen: Chosen, run: Path) -> Chosen:
    """By `config.json`, which repeats what the model's file says; without it, by that."""
    config = _object(run / "config.json") if (run / "config.json").is_file() else _of_model(run)
    learned = config.get("sections") if isinstance(config.get("sections"), list) else []
    if chosen.scene is None:
        chosen = _with(chosen, "scene", config.get("scene"))
    if chosen.scene is not None and _same(chosen.scene, config.get("scene")):
        there = [str(n) for n in learned or () if (chosen.scene / str(n) / "rgb").is_dir()]
        chosen = replace(chosen, sections=tuple(dict.fromkeys([*chosen.sections, *there])))
    return chosen if chosen.world is not None else _with(chosen, "world", config.get("world"))


def _of_model(run: Path) -> dict[str, Any]:
    if not (run / _MODEL).is_file():
        return {}
    from transpose import runs  # loads PyTorch

    known = runs.load_model(run).provenance
    return {"scene": known.scene, "sections": list(known.sections), "world": known.world}


def _world_of(section: Path) -> str | None:
    """The world that a section's views were rendered from."""
    record = _object(section / "section.json") if (section / "section.json").is_file() else {}
    plan = record.get("plan")
    world = plan.get("world") if isinstance(plan, dict) else None
    return world if isinstance(world, str) else None


def _with(chosen: Chosen, name: str, found: Any) -> Chosen:
    """With a folder that something records, or a note where it is gone."""
    if not isinstance(found, str) or not found:
        return chosen
    if not Path(found).is_dir():
        note = f"the recorded {name} {found} is not there" + ("" if name == "run" else f"; name it with --{name}")
        return replace(chosen, notes=(*chosen.notes, note))
    return replace(chosen, **{name: Path(found)})  # type: ignore[arg-type]


def _same(path: Path, other: Any) -> bool:
    return isinstance(other, str) and path.resolve() == Path(other).resolve()


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise TransposeError(f"{path} holds {json.dumps(content)[:40]}, no object")
    return content
