"""`transpose up`: which commands it runs, that they are commands, and that a second call goes on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
import tyro
from PIL import Image

from tests.app import miniatures
from tests.app.miniatures import MAKERS
from tests.evaluation.stubs import make_section, save_run
from tests.worlds.rooms import house, world_of
from transpose.app.cli import main
from transpose.app.command_table import Command
from transpose.app.commands.demo import _is_trained, next_commands
from transpose.app.services import going_up
from transpose.app.services.recognizing import recognize
from transpose.app.services.up_stages import Stage, UpRequest, Way
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.randomness import stream
from transpose.scenes import open_section
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.companions import companions
from transpose.worlds.world import World, load_world, save_world

CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)


def parsed(line: str) -> object:
    """The command that a printed line stands for, as the program's own door reads it."""
    words = shlex.split(line)
    assert words[0] == "transpose"
    return tyro.cli(Command, prog="transpose", args=words[1:], config=CONFIG)


class Played:
    """Stands in for the commands: leaves what they would leave, and remembers their words."""

    def __init__(self, world: World, fail: str | None = None, depth: bool = True) -> None:
        self.world, self.fail, self.depth = world, fail, depth
        self.lines: list[str] = []

    def __call__(self, words: Sequence[str], *_: object) -> int:
        self.lines.append(shlex.join(["transpose", *words]))
        if words[0] == self.fail:
            return 1
        out = Path(words[words.index("--out") + 1]) if "--out" in words else Path()
        match words[0]:
            case "setup":
                self.section(out, "train")
            case "build":
                save_world(self.world, out)
            case "render":
                self.section(out.parent, out.name, rendered=True)
            case "train":
                out.mkdir(parents=True, exist_ok=True)
                (out / "model.pt").write_bytes(b"")
        return 0

    def section(self, scene: Path, name: str, rendered: bool = False) -> None:
        """Two frames, of which each has depth where that is wanted."""
        writer = SectionWriter(scene, name, {"by": "test"}, depth_as_png=True)
        depth_hw = np.ones((48, 64), np.float32) if self.depth or rendered else None
        for k in range(2):
            pose = Pose(compose(np.eye(3), np.array([k, 0.0, 0.0])))
            image_hw3, camera = np.zeros((48, 64, 3), np.uint8), Camera.from_focal(60, 64, 48)
            writer.add(f"{k}", image_hw3, pose, camera, FrameLabels(depth_hw=depth_hw))
        writer.finish({"source": "test"}, rendered=rendered)

    @property
    def verbs(self) -> list[str]:
        """The commands in their order."""
        return [line.split()[1] for line in self.lines]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """Commands that are only played, on a world of rooms."""
    stand_in = Played(world_of(house()))
    monkeypatch.setattr(going_up, "run_command", stand_in)
    monkeypatch.setattr(going_up, "_is_complete", lambda run: (run / "model.pt").is_file())
    return stand_in


def up(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[list[str], str]:
    """Runs `transpose up --no-serve`; the commands on its stdout, and its stderr."""
    assert main(["up", *map(str, words), "--no-serve"]) == 0
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


@pytest.mark.parametrize("name", [*MAKERS, "world"])
def test_every_command_that_is_printed_is_one(
    tmp_path: Path, name: str, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "it's mine, -v"  # what a shell would take apart
    folder.mkdir()
    source = MAKERS[name][0](folder / name) if name in MAKERS else save_world(played.world, folder / name)
    lines, told = up(capsys, source)
    assert f"{source} is taken for " in told
    assert lines[:-1] == played.lines
    for line in lines[:-1]:
        assert line in told
        assert type(parsed(line)).__name__.lower() == line.split()[1]
    run = going_up.beside(source) / "run"
    assert shlex.split(lines[-1])[1:3] == ["serve", str(run)]
    parsed(lines[-1])


@pytest.mark.parametrize(
    ("name", "depth", "verbs", "learned"),
    [
        ("scan.glb", True, ["build", "render", "train"], ["up_sim"]),
        ("kitchen", True, ["setup", "build", "render", "train"], ["up_sim", "train"]),
        ("fox", False, ["setup", "train"], ["train"]),
        ("col", False, ["setup", "train"], ["train"]),
    ],
)
def test_the_way_depends_on_what_there_is(
    tmp_path: Path, name: str, depth: bool, verbs: list[str], learned: list[str],
    played: Played, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    played.depth = depth
    lines, _ = up(capsys, MAKERS[name][0](tmp_path / name))
    assert played.verbs == verbs
    words = shlex.split(lines[-2])
    first = words.index("--sections") + 1
    assert words[first : first + len(learned) + 1] == [*learned, "--out"]
    assert ("--world" in lines[-1]) == ("build" in verbs)


def test_a_second_call_does_what_is_left(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    played.fail = "train"
    assert main(["up", str(source), "--no-serve"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the stage `train` failed") and played.lines[-1] in said
    played.fail, played.lines = None, []
    up(capsys, source)
    assert played.verbs == ["train"]
    played.lines = []
    lines, told = up(capsys, source)
    assert not played.lines and len(lines) == 4 and told.count("is there already") == 3


def test_what_was_cut_off_is_resumed(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    up(capsys, source)
    run = tmp_path / "m-transpose" / "run"
    (run / "model.pt").unlink()
    (run / "state.pt").write_bytes(b"")
    played.lines = []
    lines, _ = up(capsys, source)
    assert played.verbs == ["train"] and played.lines[0].endswith("--resume")
    assert not lines[-2].endswith("--resume")


def test_of_a_folder_with_a_model_all_is_beside_the_folder(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "house").mkdir()
    miniatures.mesh(tmp_path / "house" / "m.glb")
    up(capsys, tmp_path / "house")
    assert (tmp_path / "house-transpose" / "world").is_dir()
    assert [path.name for path in (tmp_path / "house").iterdir()] == ["m.glb"]


def test_what_changed_is_done_again(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    up(capsys, source)
    played.lines = []
    up(capsys, source, "--views", 40)
    assert played.verbs == ["render", "train"] and played.lines[-1].endswith("--overwrite")
    trimesh.creation.box((2, 2, 2.5)).export(source)
    played.lines = []
    (tmp_path / "m-transpose" / "scene" / "up_sim" / "old").mkdir()
    up(capsys, source, "--views", 40)
    assert played.verbs == ["build", "render", "train"]
    assert not (tmp_path / "m-transpose" / "scene" / "up_sim" / "old").exists()


def test_a_mesh_whose_picture_or_materials_changed_is_done_again(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    source = miniatures.mesh(tmp_path / "m.obj")
    source.write_text("mtllib my look.mtl\n" + source.read_text())
    (tmp_path / "my look.mtl").write_text("newmtl a\nmap_Kd pictures/wall.png\n")
    (tmp_path / "pictures").mkdir()
    miniatures.png(tmp_path / "pictures" / "wall.png")
    up(capsys, source)
    for name in ("my look.mtl", "pictures/wall.png"):
        played.lines = []
        up(capsys, source)
        assert not played.lines
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
        up(capsys, source)
        assert played.verbs == ["build", "render", "train"], name


def test_a_gltf_consists_of_its_buffers_and_pictures_too(tmp_path: Path) -> None:
    path = tmp_path / "m.gltf"
    said = {"buffers": [{"uri": "m%20a.bin"}, {"uri": "data:;base64,"}, {}], "images": [{"uri": "gone.png"}]}
    path.write_text(json.dumps({"asset": {}, "meshes": [], **said}))
    (tmp_path / "m a.bin").write_bytes(b"0")
    assert companions(path) == [tmp_path / "m a.bin"]
    path.write_text('{"buffers": 3}')
    assert companions(path) == []


def test_a_folder_whose_files_changed_is_done_again(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MAKERS["desk"][0](tmp_path / "rgbd_freiburg1_desk")
    up(capsys, source, "--out", source / "made")  # what is made in it is no part of it
    played.lines = []
    up(capsys, source, "--out", source / "made")
    assert not played.lines
    (source / ".DS_Store").write_bytes(b"0")
    up(capsys, source, "--out", source / "made")
    assert not played.lines
    truth = source / "groundtruth.txt"
    truth.write_text(truth.read_text() + "# corrected\n")
    up(capsys, source, "--out", source / "made")
    assert played.verbs[0] == "setup" and played.verbs[-1] == "train"


def test_what_was_made_by_hand_is_taken(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = miniatures.mesh(tmp_path / "m.glb"), tmp_path / "out"
    save_world(played.world, out / "world")
    up(capsys, source, "--out", out)
    assert played.verbs == ["render", "train"]


def test_what_follows_from_what_was_made_by_hand_is_made_anew(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    up(capsys, source)
    world = tmp_path / "m-transpose" / "world"
    later = (tmp_path / "m-transpose" / "run" / "model.pt").stat().st_mtime + 1
    os.utime(world, (later, later))  # `build` was called again, with other flags
    played.lines = []
    up(capsys, source)
    assert played.verbs == ["render", "train"] and played.lines[-1].endswith("--overwrite")


def test_a_folder_of_another_input_is_left_alone(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    up(capsys, miniatures.mesh(tmp_path / "a.glb"), "--out", tmp_path / "out")
    played.lines = []
    assert main(["up", str(miniatures.mesh(tmp_path / "b.glb")), "--out", str(tmp_path / "out"), "--no-serve"]) == 1
    assert "holds what was made of" in capsys.readouterr().err and not played.lines


def test_rooms_land_and_what_is_said(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    _, told = up(capsys, source)
    assert "is walked through at eye height" in told and "--viewpoints inside" in played.lines[1]
    up(capsys, source, "--aerial")
    assert "--min-seen 0.35" in played.lines[-2] and "--viewpoints" not in played.lines[-2]
    up(capsys, source, "--viewpoints", "walk")
    assert "--viewpoints walk" in played.lines[-2]


def test_scenes(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    scene = tmp_path / "scene"
    for name in ("train", "more", "test"):
        played.section(scene, name)
    lines, _ = up(capsys, scene)
    assert played.verbs == ["build", "render", "train"]
    assert " --sections up_sim more train --out " in lines[-2]
    played.lines = []
    up(capsys, scene)  # the section that it rendered is its own
    assert not played.lines
    played.section(tmp_path / "other", "train_sim", rendered=True)
    lines, _ = up(capsys, tmp_path / "other")
    assert played.verbs == ["train"] and "--sections train_sim" in lines[0]


def test_sections_for_tests_are_told_by_their_names(
    tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("valley", "testimonial", "test", "test_2", "val-sim"):
        played.section(tmp_path / "scene", name, rendered=True)
    lines, _ = up(capsys, tmp_path / "scene")
    assert "--sections testimonial valley " in lines[0]


def test_a_scene_without_anything_to_learn_from(tmp_path: Path, played: Played) -> None:
    played.section(tmp_path / "scene", "test")
    way = Way(recognize([tmp_path / "scene"])[0], UpRequest(tmp_path / "out"))
    with pytest.raises(TransposeError, match="no section to learn from"):
        list(way.stages())


def test_many_frames_are_fused_by_some(tmp_path: Path, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transpose.app.services.up_stages._MOST_FUSED", 1)
    played.section(tmp_path / "scene", "train")
    stage = next(Way(recognize([tmp_path / "scene"])[0], UpRequest(tmp_path / "out")).stages())
    assert isinstance(stage, Stage) and stage.words[-2:] == ("--every", "2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--indoor", "--aerial"], "exclude each other"),
        (["--minutes", "0"], "must be positive"),
        (["--views", "0"], "must be positive"),
    ],
)
def test_flags_that_make_no_sense(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", str(miniatures.mesh(tmp_path / "m.glb")), *words]) == 1
    assert said in capsys.readouterr().err


def test_nothing_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up"]) == 1
    assert "name a model" in capsys.readouterr().err
    assert main(["up", str(tmp_path)]) == 1
    assert "is not recognized: it holds nothing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_nothing_may_be_written(
    tmp_path: Path, played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(going_up, "sole_use", refused)
    assert main(["up", str(miniatures.mesh(tmp_path / "m.glb"))]) == 1
    assert "cannot be written (Permission denied); name another place with --out" in capsys.readouterr().err
    assert not played.lines


def test_the_demo_s_run_is_of_the_views_that_are_there(tmp_path: Path) -> None:
    from transpose import runs
    from transpose.scenes.digest import section_digest

    section = make_section(tmp_path / "scene", "train_sim")
    run = save_run(tmp_path / "run", tmp_path / "scene")
    checkpoint = runs.load_model(run)
    origin = replace(
        checkpoint.provenance, config={"steps": 9, "seed": 3}, digests={"train_sim": section_digest(section)}
    )
    runs.save_model(run, replace(checkpoint, provenance=origin))
    assert _is_trained(tmp_path / "scene", run, 9, 3)
    assert not _is_trained(tmp_path / "scene", run, 8, 3) and not _is_trained(tmp_path / "scene", run, 9, 4)
    shutil.rmtree(tmp_path / "scene" / "train_sim")
    make_section(tmp_path / "scene", "train_sim", frames=3)
    assert not _is_trained(tmp_path / "scene", run, 9, 3)


def test_what_the_demo_offers_are_commands(tmp_path: Path) -> None:
    for _, words in next_commands(tmp_path / "run", tmp_path / "world"):
        parsed(shlex.join(["transpose", *words]))


def test_a_broken_record_is_told(tmp_path: Path, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    source = miniatures.mesh(tmp_path / "m.glb")
    up(capsys, source)
    for content in ("[]", '{"source": 3, "begun": {}}', '{"source": {}}', "{"):
        (tmp_path / "m-transpose" / "up.json").write_text(content)
        assert main(["up", str(source), "--no-serve"]) == 1
        assert "up.json" in capsys.readouterr().err


def painted_house(path: Path) -> Path:
    """A house in GLB: y up, its node lifted and turned, its texture inside."""
    mesh = house().subdivide().subdivide()
    mesh.unmerge_vertices()
    pixels = stream(0, "painted house").integers(0, 256, (64, 64, 3), np.uint8)
    uv_v2 = (mesh.vertices[:, [0, 1]] + mesh.vertices[:, [2]] * [0.37, 0.61]) / 3
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels).resize((256, 256)))
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv_v2, material=material)
    y_up = trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0])
    lifted = trimesh.transformations.translation_matrix([0, 10.0, 0])
    scene = trimesh.Scene()
    scene.add_geometry(mesh, transform=lifted @ y_up)
    scene.export(path)
    return path


def test_all_the_way_from_a_glb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = painted_house(tmp_path / "house.glb")
    words = ["up", str(source), "--views", "12", "--minutes", "0.1", "--no-serve"]
    assert main(words) == 0
    out = tmp_path / "house-transpose"
    world = load_world(out / "world")
    low, high = world.bounds + world.origin_3
    assert np.allclose([low[2], high[2]], [9.8, 12.8], atol=0.01) and np.allclose((high - low)[:2], [6, 5], atol=0.01)
    assert world.textures
    frames = open_section(out / "scene" / "up_sim").frames
    assert len(frames) == 12 and all(10.9 < frame.pose.center[2] < 11.9 for frame in frames)
    said = capfd.readouterr()
    assert [line.split()[1] for line in said.out.splitlines()] == ["build", "render", "train", "serve"]
    assert "is walked through at eye height" in said.err
    before = (out / "run" / "model.pt").stat().st_mtime_ns
    assert main(words) == 0
    assert (out / "run" / "model.pt").stat().st_mtime_ns == before
    assert capfd.readouterr().err.count("is there already") == 3
    assert json.loads((out / "up.json").read_text())["source"]["kind"] == "mesh"
