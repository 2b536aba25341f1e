"""Recognizing folders, and what belongs to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.errors import TransposeError
from transpose.runs import Provenance, write_config
from transpose.storage import write_json
from transpose.viewing.folders import choose, kind_of
from transpose.worlds.world import World, save_world


def test_each_kind_is_recognized(place: Path) -> None:
    kinds = {name: kind_of(place / name) for name in ("world", "scene", "scene/test", "run", "run/model.pt", "results")}
    assert kinds == {
        "world": "world",
        "scene": "scene",
        "scene/test": "section",
        "run": "run",
        "run/model.pt": "run",
        "results": "results",
    }


def test_results_bring_run_scene_sections_and_world(place: Path) -> None:
    chosen = choose(place / "results")
    assert (chosen.run, chosen.scene, chosen.world) == (place / "run", place / "scene", place / "world")
    assert chosen.sections == ("test", "train_x") and not chosen.notes


def test_a_run_brings_what_it_learned_from(place: Path) -> None:
    for path in (place / "run", place / "run" / "model.pt"):
        chosen = choose(path)
        assert chosen.sections == ("train_x",) and chosen.world == place / "world" and chosen.results is None


def test_a_model_alone_brings_what_it_learned_from(tmp_path: Path, box_world: World) -> None:
    (tmp_path / "scene" / "train_x" / "rgb").mkdir(parents=True)
    save_world(box_world, tmp_path / "world")
    learned = Provenance(scene=str(tmp_path / "scene"), sections=("train_x",), world=str(tmp_path / "world"))
    runs.save_model(tmp_path / "run", replace(checkpoint(), provenance=learned))
    chosen = choose(tmp_path / "run")
    assert (chosen.scene, chosen.sections, chosen.world) == (tmp_path / "scene", ("train_x",), tmp_path / "world")


def test_what_a_person_says_goes_first(place: Path, box_world: World) -> None:
    save_world(box_world, place / "other")
    chosen = choose(place / "results", world=place / "other", scene=place / "scene" / "test")
    assert chosen.world == place / "other" and chosen.sections[0] == "test"


def test_what_is_gone_is_said(place: Path) -> None:
    write_config(place / "run", {"scene": str(place / "scene"), "sections": ["train_x"], "world": str(place / "lost")})
    chosen = choose(place / "run")
    assert chosen.world is None
    assert "lost is not there; name it with --world" in chosen.notes[0]


def test_a_section_names_the_world_that_it_shows(place: Path) -> None:
    facts = {"format": 1, "rendered": True, "plan": {"world": str(place / "world")}}
    write_json(place / "scene" / "test" / "section.json", facts)
    assert choose(place / "scene" / "test").world == place / "world"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "does not exist"),
        ("empty", "it holds nothing"),
        ("other", "it holds a.txt, b/"),
        ("f.obj", "a file"),
    ],
)
def test_what_is_nothing_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "a.txt").touch()
    (tmp_path / "f.obj").touch()
    with pytest.raises(TransposeError, match=said):
        kind_of(tmp_path / name)


def test_flags_ask_for_a_kind(place: Path) -> None:
    with pytest.raises(TransposeError, match="is a world, where a scene or section is asked for"):
        choose(place / "run", scene=place / "world")
    with pytest.raises(TransposeError, match="is a run, where a world"):
        choose(place / "scene", world=place / "run")


def test_broken_records_are_refused(place: Path) -> None:
    (place / "results" / "results.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(TransposeError, match="no object"):
        choose(place / "results")
