"""What a section says of itself, whoever wrote it, when and beside whom."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transpose import storage
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.scenes import files, open_section, writer
from transpose.scenes.digest import section_digest
from transpose.scenes.facts import FOREIGN, read_scene_facts, read_section_facts, record_in_scene, scene_up
from transpose.scenes.truth_error import TruthError
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.storage import read_json, write_json
from transpose.training.sections import gather_frames

CAMERA = Camera.from_focal(50, 64, 48)
RENDERED: dict[str, Any] = {"rendered_from": "a world", "world": {"crs": None}}


def begun(scene: Path, name: str, frames: int = 2, plan: object = 1) -> SectionWriter:
    section = SectionWriter(scene, name, {"v": plan})
    for i in range(frames):
        if not section.is_done(f"f{i}"):
            image_hw3 = np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8)
            labels = FrameLabels(np.full((48, 64), 2, np.float32), semantics_hw=np.full((48, 64), 3, np.uint8))
            section.add(f"f{i}", image_hw3, Pose(np.eye(4)), CAMERA, labels)
    return section


def as_written_before(section: Path) -> None:
    """What a section was before it had a file of its own: an entry in `scene.json`, whose words were fewer."""
    record = read_json(section / "section.json")
    (section / "section.json").unlink()
    for key in ("format", "rendered", "semantics", "licence"):
        record.pop(key, None)
    scene = read_json(section.parent / "scene.json")
    scene["sections"][section.name] = record
    write_json(section.parent / "scene.json", scene)


def test_facts_are_said_and_read(tmp_path: Path) -> None:
    photos = open_section(begun(tmp_path, "train").finish({"source": "7scenes:x", "plan": [1]}, licence="free"))
    renders = open_section(begun(tmp_path, "sim").finish(RENDERED, rendered=True, origin=[1.0, 2.0, 3.0]))
    facts = photos.facts
    assert (facts.rendered, facts.semantics, facts.depth, facts.frames) == (False, "classes", "png_mm", 2)
    assert (facts.source, facts.licence, facts.plan, facts.recorded) == ("7scenes:x", "free", [1], True)
    assert renders.facts.rendered and renders.facts.source == "a world"
    scene = read_scene_facts(tmp_path)
    assert (scene["licence"], scene["origin"]) == ("free", [1, 2, 3])
    assert {name: each["rendered"] for name, each in scene["sections"].items()} == {"train": False, "sim": True}
    bare = SectionWriter(tmp_path, "bare", {})
    bare.add("a", np.zeros((48, 64, 3), np.uint8), Pose(np.eye(4)), CAMERA, FrameLabels())
    assert open_section(bare.finish({})).facts.depth == "none"
    with pytest.raises(ValueError, match="rendered"):  # a maker of renders that forgets to say so
        begun(tmp_path, "other").finish(RENDERED)


def test_the_error_of_the_truth_is_that_of_a_section_or_of_its_scene(tmp_path: Path) -> None:
    photos, renders = begun(tmp_path, "train").finish({}), begun(tmp_path, "sim").finish(RENDERED, rendered=True)
    assert read_section_facts(photos).truth_error is None
    record_in_scene(tmp_path, truth_error={"metres": 0.4, "degrees": 1})
    assert read_section_facts(photos).truth_error == TruthError(0.4, 1.0)
    assert read_section_facts(renders).truth_error is None  # which are exact
    digest = section_digest(photos)
    own = {**read_json(photos / "section.json"), "truth_error": {"metres": 0.1, "degrees": 0}}
    write_json(photos / "section.json", own)
    begun(tmp_path, "other").finish({})  # writes scene.json anew
    assert read_section_facts(photos).truth_error == TruthError(0.1, 0.0)
    assert read_section_facts(tmp_path / "other").truth_error == TruthError(0.4, 1.0)
    assert section_digest(photos) == digest  # it changes nothing of what is learned
    write_json(photos / "section.json", {**own, "metric": False})
    with pytest.raises(TransposeError, match='"truth_error" is in metres, and lengths of this section are not'):
        read_section_facts(photos)


@pytest.mark.parametrize(
    "said",
    [
        0.4,
        [0.4, 1],
        {"metres": 0.4},
        {"metres": -1, "degrees": 1},
        {"metres": 0, "degrees": 0},
        {"metres": "0.4", "degrees": 1},
        {"metres": 0.4, "degrees": 1, "unit": "m"},
        {"metres": 10**400, "degrees": 1},
        {"metres": True, "degrees": 1},
    ],
)
def test_an_error_of_the_truth_that_is_none_is_refused(tmp_path: Path, said: object) -> None:
    section = begun(tmp_path, "train").finish({})
    for path in (section / "section.json", tmp_path / "scene.json"):
        kept = read_json(path)
        write_json(path, {**kept, "truth_error": said})
        with pytest.raises(TransposeError, match=f'{path}: "truth_error" is .*not such as'):
            read_section_facts(section)
        write_json(path, kept)


def test_a_direction_that_is_none_is_refused(tmp_path: Path) -> None:
    assert scene_up(tmp_path) is None
    record_in_scene(tmp_path, up=[0, 3.0, 4])
    assert scene_up(tmp_path).tolist() == [0, 0.6, 0.8]
    for said in ("z", [0, 0, 0], [1, 2], [1, float("inf"), 0], {"z": 1}, [[0, 0, 1]], True):
        (tmp_path / "scene.json").write_text(json.dumps({"up": said}), encoding="utf-8")
        with pytest.raises(TransposeError, match=r"scene.json: up is a direction"):
            scene_up(tmp_path)


def test_a_section_takes_its_facts_along(tmp_path: Path) -> None:
    section = begun(tmp_path / "a", "sim").finish(RENDERED, rendered=True)
    shutil.copytree(section, tmp_path / "b" / "elsewhere")
    facts = open_section(tmp_path / "b" / "elsewhere").facts
    assert facts.rendered and facts.semantics == "classes"
    assert section_digest(tmp_path / "b" / "elsewhere") == section_digest(section)


@pytest.mark.parametrize("rendered", [True, False])
def test_scenes_without_such_files_mean_what_they_meant(tmp_path: Path, rendered: bool) -> None:
    facts = RENDERED if rendered else {"source": "photos:x"}
    section = begun(tmp_path, "old").finish(facts, rendered=rendered, licence="free")
    new, digest = read_section_facts(section), section_digest(section)
    as_written_before(section)
    old = open_section(section)
    assert "rendered" not in read_scene_facts(tmp_path)["sections"]["old"]
    for name in ("rendered", "semantics", "depth", "source", "licence", "frames", "recorded"):
        assert getattr(old.facts, name) == getattr(new, name)
    assert (old.frames[0].semantics() == 3).all()
    assert section_digest(section) == digest
    # Another section beside it changes nothing, and the entry in scene.json stays.
    begun(tmp_path, "young").finish({})
    assert read_section_facts(section).rendered == rendered and read_section_facts(section).recorded


def by_hand(section: Path) -> Path:
    """A section that somebody made, with notes."""
    begun(section.parent.parent / "elsewhere", "made").finish({})
    shutil.copytree(section.parent.parent / "elsewhere" / "made", section)
    (section / "section.json").unlink()
    (section / "notes.txt").write_text("mine", encoding="utf-8")
    return section


def test_the_facts_of_a_section_that_is_gone_are_not_those_of_its_namesake(tmp_path: Path) -> None:
    shutil.rmtree(begun(tmp_path / "scene", "foo").finish(RENDERED, rendered=True))
    section = by_hand(tmp_path / "scene" / "foo")
    assert read_section_facts(section) == FOREIGN
    with pytest.raises(TransposeError, match="foo"):
        begun(tmp_path / "scene", "foo")
    assert (section / "notes.txt").exists()
    begun(tmp_path / "scene", "bar").finish({})
    assert list(read_scene_facts(tmp_path / "scene")["sections"]) == ["bar"]


def test_sections_whose_unit_changes_by_another_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    section = by_hand(tmp_path / "scene" / "foo")
    begun(tmp_path / "scene", "sfm").finish({}, metric=False)
    assert not read_section_facts(section).metric
    assert "foo, which say nothing of their unit, are taken to be in its" in caplog.text
    caplog.clear()
    begun(tmp_path / "scene", "other").finish({}, metric=False)
    assert "say nothing of" not in caplog.text  # once


def test_sections_of_other_programs_have_las_ids(tmp_path: Path) -> None:
    section = begun(tmp_path, "theirs").finish({})
    (section / "section.json").unlink()
    (tmp_path / "scene.json").unlink()
    opened = open_section(section)
    assert opened.facts == FOREIGN and not opened.facts.recorded
    assert (opened.frames[0].semantics() == 2).all()  # LAS 3 is low vegetation


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rendered": None}, '"rendered" is None, not one of True, False'),
        ({"semantics": "asprs"}, "\"semantics\" is 'asprs', not one of 'classes', 'las'"),
        ({"depth": ["png"]}, '"depth" is'),
        ({"format": 2}, "has format 2; this TransPose knows format 1"),
    ],
)
def test_facts_that_say_nothing_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    section = begun(tmp_path, "train").finish({})
    write_json(section / "section.json", {**read_json(section / "section.json"), **change})
    with pytest.raises(TransposeError, match=words) as caught:
        open_section(section)
    assert str(section / "section.json") in str(caught.value)
    # ... and are no hindrance for another section.
    begun(tmp_path, "other").finish({})
    for text in ("[]", '{"name": "of another program"}'):
        (section / "section.json").write_text(text)
        with pytest.raises(TransposeError, match="holds no facts of a section"):
            open_section(section)


def test_who_writes_at_once_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two renders into one scene; the index, too, has both, and what was lost from it comes back."""
    code = "import sys; from pathlib import Path; from tests.scenes.test_facts import RENDERED, begun\n"
    code += "for i in range(4): begun(Path(sys.argv[1]), f'{sys.argv[2]}{i}').finish(RENDERED, rendered=True)"
    root = Path(__file__).parents[2]
    both = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name], cwd=root) for name in "ab"]
    assert [each.wait() for each in both] == [0, 0]
    names = {f"{name}{i}" for name in "ab" for i in range(4)}
    assert set(read_scene_facts(tmp_path)["sections"]) == names
    (tmp_path / "scene.json").unlink()
    assert all(open_section(tmp_path / name).facts.rendered for name in names)
    record_in_scene(tmp_path)
    assert set(read_scene_facts(tmp_path)["sections"]) == names


def killing(real: Callable[..., Any], nth: int, after: bool) -> Callable[..., Any]:
    """A step on the disk that is the last one of its process."""
    count = 0

    def step(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth and not after:
            raise KeyboardInterrupt
        result = real(*args, **more)
        if count == nth:
            raise KeyboardInterrupt
        return result

    return step


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("where", ["replace", "rmtree", "index"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_at_the_end_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, nth: int, after: bool
) -> None:
    """Whenever `finish` is cut off, there is a whole section, with its own facts, and the next one goes on."""
    begun(tmp_path, "train", 2, "old").finish({"made": "old"})
    half = begun(tmp_path, "train", 3, "new")
    with monkeypatch.context() as patch:
        if where == "replace":
            patch.setattr(Path, "replace", killing(Path.replace, nth, after))
        elif where == "rmtree":
            patch.setattr(storage.shutil, "rmtree", killing(shutil.rmtree, nth, after))
        else:
            patch.setattr(writer, "record_in_scene", killing(record_in_scene, nth, after))
        try:
            half.finish({"made": "new"})
        except KeyboardInterrupt:
            pass
        else:
            assert nth > 1  # there are not so many such steps
    section = open_section(tmp_path / "train")
    assert (len(section), section.facts.record["made"]) in ((2, "old"), (3, "new"))
    assert section.facts.frames == len(section)
    again = begun(tmp_path, "train", 3, "new")
    for i in range(3):
        assert again.is_done(f"f{i}")
    again.finish({"made": "new"})
    begun(tmp_path, "train", 4, "newer").finish({"made": "newer"})
    assert len(open_section(tmp_path / "train")) == 4
    assert read_scene_facts(tmp_path)["sections"]["train"]["frames"] == 4
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == [
        "calibration", "depth", "poses", "rgb", "section.json", "semantics",
    ]  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.json", "train"] or os.name != "posix"


def test_what_an_older_version_left_blocks_nothing(tmp_path: Path) -> None:
    begun(tmp_path, "train", 2).finish({})
    shutil.copytree(tmp_path / "train", tmp_path / ".train.old")
    begun(tmp_path, "train", 3, "new").finish({})
    assert len(open_section(tmp_path / "train")) == 3
    (tmp_path / "train").rename(tmp_path / ".train.old")
    assert len(open_section(tmp_path / "train")) == 3  # a reader brings it back


def test_broken_plans_are_begun_anew(tmp_path: Path) -> None:
    begun(tmp_path, "train", 2)
    (tmp_path / ".train.unfinished" / "plan.json").write_text("{")
    assert not SectionWriter(tmp_path, "train", {"v": 1}).is_done("f0")
    SectionWriter(tmp_path, "tuples", {"v": (1, 2)}).add(
        "a", np.zeros((48, 64, 3), np.uint8), Pose(np.eye(4)), CAMERA, FrameLabels()
    )
    assert SectionWriter(tmp_path, "tuples", {"v": (1, 2)}).is_done("a")  # JSON has lists of them


def test_linked_files_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_section(begun(tmp_path, "a").finish({})).frames[0]

    def cut_off(path: Path, target: Path) -> None:
        Path(target).write_bytes(Path(path).read_bytes()[:5])
        raise OSError("No space left on device")

    copies = SectionWriter(tmp_path, "b", {})
    with monkeypatch.context() as patch:
        patch.setattr(writer.shutil, "copyfile", cut_off)
        with pytest.raises(OSError, match="No space"):
            copies.link("f0", {"poses": source.paths["poses"]}, copy=True)
    assert not copies.is_done("f0")
    for copy in (False, True):
        copies.link("f0", source.paths, copy)
        copies.link("f0", source.paths, copy)  # again, as after a crash
    assert np.array_equal(open_section(copies.finish({})).frames[0].image(), source.image())


def test_holes_are_those_of_renders(tmp_path: Path) -> None:
    begun(tmp_path, "sim").finish(RENDERED, rendered=True)
    begun(tmp_path, "real").finish({})
    as_written_before(tmp_path / "sim")
    training, validation = gather_frames(tmp_path, ["sim"], "real")
    assert all(frame.rendered for frame in training) and not any(frame.rendered for frame in validation)


def other_pose(section: Path) -> None:
    T_wc = np.eye(4)
    T_wc[0, 3] = 1e-9
    files.write_pose(section / "poses" / "f0.txt", Pose(T_wc))


def renamed(section: Path) -> None:
    for path in section.glob("*/f1.*"):
        path.rename(path.with_name(path.name.replace("f1", "f2")))


def other_meaning(section: Path) -> None:
    write_json(section / "section.json", {**read_json(section / "section.json"), "rendered": True})


CHANGES: dict[str, Callable[[Path], object]] = {
    "a pose": other_pose,
    "a focal length": lambda section: files.write_camera(section / "calibration" / "f0.txt", CAMERA.resized(32, 24)),
    "an image": lambda section: files.write_image(section / "rgb" / "f0.png", np.zeros((48, 64, 3), np.uint8)),
    "a label less": lambda section: (section / "depth" / "f0.png").unlink(),
    "a frame less": lambda section: [path.unlink() for path in section.glob("*/f1.*")],
    "a name": renamed,
    "what it means": other_meaning,
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_notices(tmp_path: Path, what: str) -> None:
    section = begun(tmp_path, "train").finish({})
    before = section_digest(section)
    CHANGES[what](section)
    assert section_digest(section) != before


def test_the_digest_does_not_notice_what_changes_nothing(tmp_path: Path) -> None:
    section = begun(tmp_path, "train").finish({})
    before = section_digest(section)
    assert section_digest(open_section(section)) == before and len(before) == 64
    begun(tmp_path, "other").finish({}, licence="free")
    (section / "rgb" / ".hidden.png").write_bytes(b"x")
    (section / "notes.txt").write_text("mine")
    for path in section.rglob("*.txt"):
        os.utime(path, (0, 0))
    record = read_json(section / "section.json")
    (section / "section.json").write_text(json.dumps({**record, "plan": "another way to the same"}))
    assert section_digest(section) == before
    begun(tmp_path / "again", "train").finish({})
    assert section_digest(tmp_path / "again" / "train") == before


def test_renders_and_photos_do_not_take_each_others_place(tmp_path: Path) -> None:
    photos, renders = begun(tmp_path, "train").finish({}), begun(tmp_path, "sim").finish(RENDERED, rendered=True)
    for free in (photos, tmp_path / "new"):
        writer.refuse_other_kind(free, rendered=False)
    writer.refuse_other_kind(renders, rendered=True)
    with pytest.raises(TransposeError, match="train holds photos, which renders would replace"):
        writer.refuse_other_kind(photos, rendered=True)
    with pytest.raises(TransposeError, match="sim holds renders, which photos would replace"):
        writer.refuse_other_kind(renders, rendered=False)
