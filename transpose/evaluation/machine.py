"""The machine on which something was measured, in the words of a table."""

from __future__ import annotations

import platform
from pathlib import Path

from transpose.parallel import worker_count


def processor_name() -> str:
    """Such as "AMD EPYC 7B13"; what the system calls its kind where it names no model."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name") and ":" in line)
    return next(named, "") or platform.processor() or platform.machine()


def machine_name(device: str, threads: int | None = None) -> str:
    """Processor, cores that are used, and the device where networks run, such as "AMD EPYC 7B13, 2 cores, cpu".

    Args:
        device: as PyTorch names it.
        threads: of the processes that are measured; None: all cores that this process may use.
    """
    cores = worker_count() if threads is None else threads
    return f"{processor_name()}, {cores} {'cores' if cores > 1 else 'core'}, {_device_name(device)}"


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            return f"{device} ({torch.cuda.get_device_name(torch.device(device))})"
    return device
