import pytest
import torch

from transpose.errors import TransposeError
from transpose.models.precision import checked_device, fast_dtype


class _WithoutOneDnn:
    """As `torch.ops.mkldnn` in builds for Apple Silicon: a namespace that lacks the operation."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"'_OpNamespace' 'mkldnn' object has no attribute '{name}'")


def test_a_build_without_onednn_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", _WithoutOneDnn())
    assert fast_dtype(torch.device("cpu")) == torch.float32


def test_asked_precision_is_taken() -> None:
    assert fast_dtype(torch.device("cpu"), "bfloat16") == torch.bfloat16
    assert fast_dtype(torch.device("cuda"), "float32") == torch.float32


def test_devices_that_cannot_do_it_are_refused() -> None:
    assert checked_device("cpu") == torch.device("cpu")
    with pytest.raises(TransposeError, match=r"device mps is not usable .*no float64.*--device cpu"):
        checked_device("mps")
    with pytest.raises(TransposeError, match="device cuda:77 is not usable"):
        checked_device("cuda:77")
    with pytest.raises(TransposeError, match="device quantum is not usable"):
        checked_device("quantum")
    with pytest.raises(TransposeError, match="only cpu and cuda"):
        checked_device("meta")
