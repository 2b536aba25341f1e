"""Which arithmetic the hidden layers use."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def fast_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32; or what `precision` says."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cpu":
        native = torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.backends.cpu.get_cpu_capability() == "AVX512"
        return torch.bfloat16 if native else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Autocast to `dtype`; nothing for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
