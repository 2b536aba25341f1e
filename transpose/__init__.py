"""TransPose: from a 3D model of a place to the pose of a real photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from transpose.localization import Query, load

__all__ = ["Query", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # These bring PyTorch along; `import transpose` alone stays instant.
    if name in ("Query", "load"):
        from transpose import localization

        return getattr(localization, name)
    raise AttributeError(f"module 'transpose' has no attribute {name!r}")
