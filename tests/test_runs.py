"""Checkpoints come back as they were saved, older ones too; others' are read without running anything in them."""

import errno
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.localization.checkpoints import CAMERA, HEAD, checkpoint, one_landmark
from transpose import runs, storage
from transpose.errors import TransposeError
from transpose.localization import SceneCoordinateLocalizer, load
from transpose.scenes.unit import METRE, SceneUnit

STATE = OrderedDict((f"conv{i}.weight", torch.arange(4.0).reshape(2, 2)) for i in range(3))


class Sneaky:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def written(content: object, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("zipped", [True, False])  # PyTorch since 1.6, and before
def test_both_formats_of_pytorch_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.net"
    path.write_bytes(written(STATE, zipped))
    assert list(runs.load_foreign(path)) == list(STATE)
    path.write_bytes(written({f"module.{name}": value for name, value in STATE.items()}, zipped))
    assert list(runs.load_foreign(path)) == list(STATE)


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    for name in ("a.net", runs.MODEL_FILE):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        with pytest.raises(TransposeError, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
            runs.load_foreign(tmp_path / name)
    with pytest.raises(TransposeError, match="a pointer of Git LFS"):
        load(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "a.net", tmp_path / "mark"
    path.write_bytes(written({**STATE, "fc": Sneaky(mark)}, zipped))
    with pytest.raises(TransposeError, match=r"a\.net cannot be read: it asks for posix\.mkdir|nt\.mkdir"):
        runs.load_foreign(path)
    path.write_bytes(pickle.dumps(Sneaky(mark)))
    with pytest.raises(TransposeError, match="cannot be read: "):
        runs.load_foreign(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "holds dict where"),
        ([1, 2], "holds list where"),
        ({"epoch": 3, "model": dict(STATE)}, "'epoch' is int"),
        ({1: torch.zeros(1)}, "1 is Tensor"),
        ({"format": 2, "kind": "scene_coordinates"}, "is a model of TransPose already"),
        ({"format": 1, "kind": "scene_coordinates"}, "is a model of TransPose already"),
    ],
)
def test_what_is_no_table_of_tensors_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "a.net"
    torch.save(content, path)
    with pytest.raises(TransposeError, match=message):
        runs.load_foreign(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match=r"no\.net does not exist"):
        runs.load_foreign(tmp_path / "no.net")
    with pytest.raises(TransposeError, match="is a folder"):
        runs.load_foreign(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.booleans(), st.data())
def test_a_damaged_file_is_one_error(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    whole = bytearray(written(STATE, zipped))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
        intact = False
    else:
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6)):
            whole[at] = data.draw(st.integers(0, 255))
        intact = True  # perhaps: a number may have been changed into another
    path = tmp_path / "a.net"
    path.write_bytes(whole)
    try:
        runs.load_foreign(path)
    except TransposeError as error:
        assert str(path) in str(error)
    else:
        assert intact


def full_checkpoint() -> runs.Checkpoint:
    return checkpoint(
        origin_3=np.array([2_600_000.0, 1_200_000.5, 400.0]),
        camera=runs.LearnedCamera(replace(CAMERA, k1=-0.01), "rendered"),
        height=240,
        calibration=runs.Calibration(1.5, 0.1, {"landmarks": 2.0, "coordinates": 3.0}, 40.0),
        landmarks=one_landmark(),
        provenance=runs.Provenance(
            "fast",
            {"steps": 3, "seed": 0},
            "place",
            ("a", "b"),
            "v",
            {"a": "1"},
            "CC0",
            ("w",),
            12,
            code_version="0.1.0",
        ),
        progress=runs.Progress(3, False, 1.5),
    )


def plain(given: runs.Checkpoint) -> dict[str, Any]:
    """Everything but tensors and arrays, which have no single truth value."""
    return {
        name: getattr(given, name) for name in ("kind", "camera", "height", "calibration", "provenance", "progress")
    }


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = full_checkpoint()
    runs.save_model(tmp_path, saved)
    for read in (runs.load_model(tmp_path), runs.load_model(tmp_path / "model.pt")):
        assert plain(read) == plain(saved)
        assert np.array_equal(read.origin_3, saved.origin_3)
        assert read.network is not None and saved.network is not None
        assert read.network.config == saved.network.config and read.network.uncertainty == saved.network.uncertainty
        for stored, given_ in ((read.network.weights, saved.network.weights), (read.landmarks, saved.landmarks)):
            assert stored is not None and given_ is not None and stored.keys() == given_.keys()
            assert all(torch.equal(stored[name], value) for name, value in given_.items())


def test_the_bytes_of_a_model_do_not_tell_who_wrote_it(tmp_path: Path) -> None:
    first, second = (runs.save_model(tmp_path / name, full_checkpoint()).read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_is_the_systems_error_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    runs.save_state(tmp_path, {"step": 1})
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with monkeypatch.context() as patch, pytest.raises(OSError) as raised:
        patch.setattr(storage, "temporary_name", lambda _: full)
        runs.save_state(tmp_path, {"step": 2, "weights": torch.zeros(size)})
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == [runs.STATE_FILE] and runs.load_state(tmp_path) == {"step": 1}


def test_the_unit_is_kept_and_older_runs_are_in_metres(tmp_path: Path) -> None:
    unit = SceneUnit(False, 7.1, 0.71)
    runs.save_model(tmp_path, checkpoint(unit=unit))
    assert runs.load_model(tmp_path).unit == unit
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    del content["unit"]
    torch.save(content, tmp_path / "model.pt")
    assert runs.load_model(tmp_path).unit == METRE
    content["unit"] = {"metric": False, "extent": None, "learned": 1.0}
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(TransposeError, match="needs the extent"):
        runs.load_model(tmp_path)


def test_an_infinite_bound_survives(tmp_path: Path) -> None:
    runs.save_model(tmp_path, checkpoint(calibration=runs.Calibration(min_score=np.inf)))
    assert runs.load_model(tmp_path).calibration.min_score == np.inf


def test_runs_of_the_first_format_still_open(tmp_path: Path) -> None:
    network = checkpoint().network
    assert network is not None
    flat = {
        "format": 1,
        "kind": "scene_coordinates",
        "preset": "fast",
        "code_version": "0.1.0",
        "config": {"steps": 3},
        "camera": asdict(CAMERA),
        "height": None,
        "frames": 12,
        "origin": [1.0, 2.0, 3.0],
        "scene": "place",
        "sections": ["a"],
        "validation": None,
        "world": "CC0",
        "landmarks": one_landmark(),
        "network": "fast",
        "network_config": asdict(HEAD),
        "weights": network.weights,
        "uncertainty": network.uncertainty,
        "steps_done": 3,
        "complete": True,
        "train_seconds": 1.5,
        "temperature": 1.5,
        "least_score": 0.1,
        "covariance_scales": {"landmarks": 2.0},
        "error_correlation_px": 40.0,
    }
    torch.save(flat, tmp_path / "model.pt")
    read = runs.load_model(tmp_path)
    assert read.calibration == runs.Calibration(1.5, 0.1, {"landmarks": 1.0}, 40.0)  # an error model states them now
    assert read.provenance.licence == "CC0" and read.provenance.sections == ("a",) and read.camera.origin == "unknown"
    assert read.progress == runs.Progress(3, True, 1.5)
    localizer = load(tmp_path)
    assert isinstance(localizer, SceneCoordinateLocalizer)
    assert localizer.has_landmarks and localizer.min_score == 0.1
    few = ("kind", "camera", "origin", "network", "network_config", "weights", "uncertainty", "format")
    torch.save({name: flat[name] for name in few}, tmp_path / "model.pt")  # as the first of them were
    assert runs.load_model(tmp_path).calibration == runs.Calibration()


def test_a_model_that_lacks_something_is_named(tmp_path: Path) -> None:
    torch.save({"format": 2, "kind": "scene_coordinates"}, tmp_path / "model.pt")
    with pytest.raises(TransposeError, match=r"model\.pt is a damaged .* lacks"):
        runs.load_model(tmp_path)
    torch.save({"format": 99, "kind": "scene_coordinates"}, tmp_path / "model.pt")
    with pytest.raises(TransposeError, match="up to 3"):
        runs.load_model(tmp_path)


def test_a_method_of_a_later_version_is_named(tmp_path: Path) -> None:
    runs.save_model(tmp_path, replace(checkpoint(), kind="telepathy"))
    with pytest.raises(TransposeError, match="'telepathy', which this version does not know"):
        load(tmp_path)
