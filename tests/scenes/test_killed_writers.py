"""What writers of sections leave when they are killed, and that nobody sees afterwards that they were."""

from pathlib import Path

import numpy as np
import pytest

from tests.scenes.test_facts import RENDERED, begun, killing
from transpose.scenes import files, writer
from transpose.scenes.facts import read_scene_facts, record_in_scene


def test_a_scene_is_told_of_a_section_whose_writer_died_after_naming_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writer, "record_in_scene", killing(record_in_scene, 1, after=False))
        begun(tmp_path, "sim").finish(RENDERED, rendered=True, licence="free", origin=[1.0, 2.0, 3.0])
    assert not (tmp_path / "scene.json").exists()
    for _ in range(2):
        writer.complete(tmp_path / "sim")
        scene = read_scene_facts(tmp_path)
        assert (scene["licence"], scene["origin"], list(scene["sections"])) == ("free", [1, 2, 3], ["sim"])
    assert not list((tmp_path / "sim").glob("*.json.partial")) and not (tmp_path / "sim" / "plan.json").exists()
    assert [path.name for path in (tmp_path / "sim").glob("*.json")] == ["section.json"]


def test_the_bytes_of_labels_do_not_tell_who_wrote_them(tmp_path: Path) -> None:
    map_3hw = np.random.default_rng(0).normal(size=(3, 6, 8))
    for name in ("a", "b"):
        files.write_map(tmp_path / name, map_3hw)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
