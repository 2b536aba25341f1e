"""Checkpoints of others are read without running anything in them, and whatever is wrong with one is one error."""

import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transpose import runs
from transpose.errors import TransposeError

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
        ({"format": runs.FORMAT, "kind": "scene_coordinates"}, "is a model of TransPose already"),
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
