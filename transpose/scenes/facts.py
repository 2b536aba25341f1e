"""What is known of a section beside its frames: whether it is rendered, what its class ids mean, where it came from.

Each section has its facts in a file of its own, `SCENE/SECTION/section.json`, written before the section takes its
place, so that a section is never without them and those who write two sections never meet. `scene.json` beside the
sections holds what concerns the whole scene (origin, licence, whether it is metric), and an index of the sections'
facts that is made anew from their files; it says what a section is only of sections of earlier versions, which have
no such file.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from transpose.errors import TransposeError
from transpose.locks import locked
from transpose.ownership import sweep
from transpose.scenes.truth_error import KEY, TruthError, read_truth_error
from transpose.storage import read_json, write_json

log = logging.getLogger(__name__)
SECTION_FILE, SCENE_FILE = "section.json", "scene.json"
Semantics = Literal["classes", "las"]
DepthFormat = Literal["png_mm", "npz_m", "none"]
_FORMAT = 1


@dataclass(frozen=True)
class SectionFacts:
    """The facts of a section, each said and none to be guessed from what is missing.

    Attributes:
        rendered: it shows a world, whose holes show nothing that is real.
        semantics: its `semantics` are classes (`scenes.classes`), or LAS ids as CrossLoc's scripts leave them.
        depth: how its depth is stored; "none" where it has none, None where nobody recorded it.
        metric: its lengths are metres; else they are of a unit of its own, see `scenes.unit`. Where its maker did not
            say, `scene.json` may ("metric": false); where nobody did, they are taken for metres.
        truth_error: how far its true poses are themselves off; None: nobody says, or it is rendered, and they are
            exact. Where its own file does not say, `scene.json` may.
        recorded: that TransPose made it; a section of someone else's scripts has no record.
        frames: how many there were when it was made; None where nobody recorded it.
        source: the data set that it was made of, or the world that it shows.
        licence: under which it was published.
        record: all that was recorded, such as the `plan` by which a set-up knows its own work.
    """

    rendered: bool
    semantics: Semantics
    depth: DepthFormat | None = None
    metric: bool = True
    truth_error: TruthError | None = None
    recorded: bool = True
    frames: int | None = None
    source: str | None = None
    licence: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """A digest (64 hexadecimal digits) of what matters for learning; see `scenes.digest` for the frames."""
        unit, camera = "" if self.metric else " not metric", " camera assumed" if self.camera_assumed else ""
        return hashlib.sha256(f"{self.rendered} {self.semantics} {self.source}{unit}{camera}".encode()).hexdigest()

    @property
    def plan(self) -> Any:
        """What determined the frames, as the section's maker wrote it; None where it wrote nothing."""
        return self.record.get("plan")

    @property
    def camera_assumed(self) -> bool:
        """Whether it was rendered with a camera of which nobody says that photos come from it."""
        return self.rendered and self.record.get("camera_assumed") is True

    @property
    def world(self) -> str | None:
        """The folder of the world that it was rendered from, as `transpose render` was given it; None: not recorded."""
        world = self.plan.get("world") if self.rendered and isinstance(self.plan, Mapping) else None
        return world if isinstance(world, str) else None


# The one rule for sections that nobody recorded: they are someone else's work, made by CrossLoc's scripts where they
# have semantics at all.
FOREIGN = SectionFacts(rendered=False, semantics="las", recorded=False)


def read_section_facts(section: Path) -> SectionFacts:
    """The facts of `SCENE/SECTION`: from its own file, else from the scene's; `FOREIGN` where nobody recorded any.

    Raises:
        TransposeError: a file is broken, or written by a version that this one does not know.
    """
    path = section / SECTION_FILE
    scene = read_scene_facts(section.parent)
    scene_file = section.parent / SCENE_FILE
    metric, truth_error = _is_metric(scene, scene_file), read_truth_error(scene, scene_file)
    if path.exists():
        return _with_truth_error(_of_own_file(path, metric), truth_error, path)
    record = scene.get("sections", {}).get(section.name)
    if record is None or _is_copy(record):
        return _with_truth_error(replace(FOREIGN, metric=metric), truth_error, scene_file)
    if not isinstance(record, dict):
        raise TransposeError(f"{scene_file}: of {section.name} it holds {record!r:.50}, no object")
    facts = _of_old_record({"licence": scene.get("licence"), "metric": metric, **record})
    return _with_truth_error(facts, truth_error, scene_file)


def _is_copy(record: Any) -> bool:
    """Whether an entry of the index merely repeats a section's own file, and says nothing once that is gone: another
    section may have its name by now. Earlier versions wrote such facts nowhere else."""
    return isinstance(record, dict) and "format" in record


def _with_truth_error(facts: SectionFacts, of_scene: TruthError | None, path: Path) -> SectionFacts:
    """With what the section itself says of its true poses, else its scene; renders are exact."""
    said = read_truth_error(facts.record, path) or (None if facts.rendered else of_scene)
    if said is not None and not facts.metric:
        raise TransposeError(f'{path}: "{KEY}" is in metres, and lengths of this section are not; take it out')
    return replace(facts, truth_error=said)


def _is_metric(record: Mapping[str, Any], path: Path, otherwise: bool = True) -> bool:
    metric = record.get("metric", otherwise)
    if not isinstance(metric, bool):
        raise TransposeError(f'{path}: "metric" is {metric!r}, not true or false')
    return metric


def _of_own_file(path: Path, metric: bool = True) -> SectionFacts:
    """The facts of a section's own file; `metric` is what its scene says of lengths, should it say nothing itself."""
    record = read_json(path)
    if not isinstance(record, dict) or "format" not in record:
        raise TransposeError(f"{path} holds no facts of a section; is it a file of another program? Move it elsewhere")
    if record["format"] != _FORMAT:
        raise TransposeError(f"{path} has format {record['format']}; this TransPose knows format {_FORMAT}: update it")
    rendered, semantics, depth = (record.get(key) for key in ("rendered", "semantics", "depth"))
    for key, value, allowed in (
        ("rendered", rendered, (True, False)),
        ("semantics", semantics, get_args(Semantics)),
        ("depth", depth, get_args(DepthFormat)),
    ):
        if value not in allowed:
            raise TransposeError(f'{path}: "{key}" is {value!r}, not one of {", ".join(map(repr, allowed))}')
    # What is rendered shows a world, whose unit is the metre.
    metric = _is_metric(record, path, metric or bool(rendered))
    return replace(_facts(record, bool(rendered), semantics, depth), metric=metric)


def _of_old_record(record: dict[str, Any]) -> SectionFacts:
    """What `scene.json` says of a section without a file of its own. Renders were those of a world or of swisstopo."""
    facts = _facts(record, "rendered_from" in record, "classes", record.get("depth"))
    return replace(facts, metric=bool(record["metric"]))


def _facts(record: dict[str, Any], rendered: bool, semantics: Any, depth: Any) -> SectionFacts:
    source = record.get("source") or record.get("rendered_from")
    return SectionFacts(
        rendered,
        semantics,
        depth,
        frames=record.get("frames"),
        source=source,
        licence=record.get("licence"),
        record=record,
    )


def write_section_facts(section: Path, facts: Mapping[str, Any]) -> None:
    """Writes the facts of a section into its folder.

    Args:
        section: the folder, before it takes its place.
        facts: `rendered`, `semantics`, `depth` and `metric`, and whatever else is worth keeping.
    """
    write_json(section / SECTION_FILE, {"format": _FORMAT, **facts})
    _of_own_file(section / SECTION_FILE)


def was_written(section: Path) -> bool:
    """Whether a folder is a section that this program wrote, now or by an earlier version."""
    if (section / SECTION_FILE).exists():
        return True
    try:
        index = read_scene_facts(section.parent).get("sections", {})
        return section.name in index and not _is_copy(index[section.name])
    except TransposeError:
        return False


def read_scene_facts(scene: Path) -> dict[str, Any]:
    """What `scene.json` records: origin, licence, unit, and an index of sections; empty where there is no file.

    Raises:
        TransposeError: it is broken.
    """
    path = scene / SCENE_FILE
    if not path.exists():
        return {}
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("sections", {}), dict):
        raise TransposeError(f"{path} holds no facts of a scene; is it a file of another program? Move it elsewhere")
    return record


def scene_up(scene: Path) -> np.ndarray | None:
    """Which way is up in a scene's frame, unit length; None where `scene.json` does not say.

    Raises:
        TransposeError: what it says is no direction.
    """
    said = read_scene_facts(scene).get("up")
    if said is None:
        return None
    try:
        up_3 = np.array(said, np.float64)
        length = float(np.linalg.norm(up_3))
    except (TypeError, ValueError):
        up_3, length = np.zeros(0), 0.0
    if up_3.shape != (3,) or not 0 < length < math.inf:
        raise TransposeError(f"{scene / SCENE_FILE}: up is a direction of three numbers, not {str(said)[:100]}")
    return np.asarray(up_3 / length)


def record_in_scene(scene: Path, **scene_facts: Any) -> None:
    """Writes facts of the scene as a whole into `scene.json`, and the index of its sections anew."""
    with locked(scene / SCENE_FILE):
        sweep(scene, f"{SCENE_FILE}.*")
        record = {"format": _FORMAT, **read_scene_facts(scene), **scene_facts}
        sections = {name: each for name, each in record.get("sections", {}).items() if not _is_copy(each)}
        for path in sorted(scene.glob(f"[!.]*/{SECTION_FILE}")):
            with suppress(TransposeError):  # a broken file is named where its section is opened
                sections[path.parent.name] = read_json(path)
        said = [sections.get(path.parent.name, {}).get("metric") for path in scene.glob("[!.]*/rgb")]
        if False in said or None not in said:  # else the scene speaks for sections that say nothing themselves
            silent = sorted({path.parent.name for path in scene.glob("[!.]*/rgb")} - sections.keys())
            if silent and False in said and record.get("metric", True):
                log.warning(
                    "%s: a section is not in metres, and %s, which say nothing of their unit, are taken to be in its; "
                    'a section.json with "metric": true says otherwise (docs/datasets.md)',
                    scene,
                    ", ".join(silent),
                )
            record["metric"] = False not in said
        write_json(scene / SCENE_FILE, {**record, "sections": sections})
