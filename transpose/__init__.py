"""TransPose: from a 3D model of a place to the pose of a real photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from transpose.localization import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # `transpose.load` brings PyTorch along; `import transpose` alone stays instant.
    if name == "load":
        from transpose.localization import load

        return load
    raise AttributeError(f"module 'transpose' has no attribute {name!r}")
