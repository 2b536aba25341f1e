import pytest
import torch

from transpose.errors import TransposeError
from transpose.models.precision import checked_device, fast_dtype


def test_a_cpu_without_the_instructions_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN says that it supports bfloat16 wherever it can emulate it."""
    cpu = torch.device("cpu")
    for known, native in (
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"sve": True}, False),  # other processors
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert fast_dtype(cpu) == (torch.bfloat16 if native else torch.float32)


@pytest.mark.parametrize("native", [True, False])
def test_older_versions_of_pytorch_are_asked_by_their_own_names(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert fast_dtype(torch.device("cpu")) == (torch.bfloat16 if native else torch.float32)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert fast_dtype(torch.device("cpu")) == torch.float32


def test_asked_precision_is_taken() -> None:
    assert fast_dtype(torch.device("cpu"), "bfloat16") == torch.bfloat16
    assert fast_dtype(torch.device("cuda"), "float32") == torch.float32
    with pytest.raises(TransposeError, match="precision is auto, float32 or bfloat16, not float16"):
        fast_dtype(torch.device("cpu"), "float16")


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
