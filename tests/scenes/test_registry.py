"""Every option is read by the data set that it is given to, or refused."""

from __future__ import annotations

import typing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from transpose.app.cli import main
from transpose.app.commands.setup import Setup
from transpose.app.services.setting_up import services
from transpose.errors import TransposeError
from transpose.scenes.setup import registry
from transpose.scenes.setup.registry import SET_UP, DataSet, Services, set_up
from transpose.scenes.setup.request import SetupRequest

SAID: dict[str, Any] = {
    "source": Path("s"),
    "poses": Path("p.txt"),
    "section": "train",
    "list_file": Path("l.txt"),
    "images": Path("i"),
    "world": Path("w"),
    "area": "epfl",
    "margin_m": 5.0,
    "download": True,
    "copy": True,
    "only": ("chess",),
    "accept_licence": True,
    "metric": True,
    "metres_per_unit": 2.0,
    "focal_px": 600.0,
    "scale_from": ("a", "b", 2.0),
    "seed": 1,
    "camera": "fr1",
    "depth_steps_per_m": 1000.0,
    "tolerance_s": 0.01,
    "delay_s": "auto",
    "every": 3,
}


def test_the_command_knows_all_rows_and_all_options() -> None:
    annotation = typing.get_type_hints(Setup)["dataset"]
    assert set(typing.get_args(annotation)) == SET_UP.keys()
    command = {field.name for field in fields(Setup)}
    assert {name.replace("margin_m", "margin") for name in (*SAID, "dataset", "out")} == command
    assert SAID.keys() | {"dataset", "out"} == {field.name for field in fields(SetupRequest)}


@pytest.mark.parametrize("option", SAID)
@pytest.mark.parametrize("dataset", SET_UP)
def test_an_option_is_read_or_refused(
    dataset: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, asked = SET_UP[dataset], []

    def seen(request: SetupRequest, _: Services) -> list[str]:
        asked.append(request)
        return ["done"]

    monkeypatch.setitem(SET_UP, dataset, replace(row, set_up=seen))
    monkeypatch.setattr(registry, "obtain", lambda *_: None)
    needed = {name: SAID[name] for name in row.needs}
    if option in row.reads:
        with_it = {"list_file": ("section",), "only": ("download",), "accept_licence": ("download",)}
        more = {name: SAID[name] for name in (option, *with_it.get(option, ()))}
        request = SetupRequest(dataset, tmp_path, **{**needed, **more})
        assert set_up(request, services()) == ["done"] and asked == [request]
    else:
        request = SetupRequest(dataset, tmp_path, **{**needed, option: SAID[option]})
        flag = {"list_file": "--list", "margin_m": "--margin", "accept_licence": "--accept-licence"}
        flag |= {"metres_per_unit": "--unit", "focal_px": "--focal", "scale_from": "--scale-from"}
        flag |= {"depth_steps_per_m": "--depth-scale", "tolerance_s": "--tolerance", "delay_s": "--delay"}
        with pytest.raises(TransposeError, match=f"setup {dataset} does not read {flag.get(option, f'--{option}')}"):
            set_up(request, services())
        assert not asked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["12scenes", "--source", "s", "--poses", "p"], "setup 12scenes does not read --poses, only --source"),
        (["colmap", "--source", "s", "--world", "w", "--area", "epfl"], "does not read --world and --area"),
        (["swiss", "--area", "epfl", "--list", "l"], "setup swiss does not read --list"),
        (["swiss"], "setup swiss needs --area, epfl, comballaz or demo"),
        (["photos", "--source", "s"], "setup photos needs --world, the world in whose frame"),
        (["cambridge", "--source", "s", "--list", "l"], "--list needs --section"),
        (["cambridge", "--source", "s", "--accept-licence"], "are about what --download fetches"),
        (["7scenes", "--source", "s", "--download"], "non-commercial"),
        (["nerfstudio", "--source", "s", "--margin", "0"], "does not read --margin"),
    ],
)
def test_refusals_are_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", *words, "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_row_needs_no_command() -> None:
    assert isinstance(SET_UP["photos"], DataSet) and Services(None, None, None, None).shown([1], "train") == [1]  # type: ignore[arg-type]
