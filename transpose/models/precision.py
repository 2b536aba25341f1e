"""Where networks run, and which arithmetic their hidden layers use."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from transpose.errors import TransposeError

_SUPPORTED = ("cpu", "cuda")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def checked_device(name: str) -> torch.device:
    """The device of that name, once it is known to work.

    Raises:
        TransposeError: there is no such device here, or it lacks what poses and labels need: Apple's `mps` has no
            float64.
    """
    try:
        device = torch.device(name)
        if device.type in _SUPPORTED:
            torch.empty(1, device=device)
            return device
    except (RuntimeError, AssertionError) as error:
        raise TransposeError(f"device {name} is not usable ({str(error).splitlines()[0]}); try --device cpu") from None
    why = (
        "it has no float64, which poses and labels need" if device.type == "mps" else "only cpu and cuda are supported"
    )
    raise TransposeError(f"device {name} is not usable ({why}); use --device cpu")


def fast_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32; or what `precision` says.

    Raises:
        TransposeError: it says something else.
    """
    if precision != "auto":
        if precision not in _DTYPES:
            raise TransposeError(f"precision is auto, {' or '.join(_DTYPES)}, not {precision}")
        return _DTYPES[precision]
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; oneDNN emulates them where there is AVX-512, half as fast as float32.

    PyTorch has no public name for that before 2.10; where it tells nothing, the answer is no.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        known = capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(each() for each in asked if each is not None)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Autocast to `dtype`; nothing for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
