"""What workers are asked to do in tests: who only hands it on loads nothing heavy."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transpose.worlds.renderer import Renderer


def depth_below(renderer: Renderer, height_m: float) -> float:
    """The least depth of a view straight down."""
    import numpy as np

    from tests.conftest import looking_down
    from transpose.geometry import Camera

    view = renderer.glance(Camera.from_focal(90, 64, 64), looking_down(0, 0, height_m, pitch=-90))
    return float(np.nanmin(view.depth_hw))


def blas_threads(_: Renderer, name: str) -> str | None:
    """A variable of the worker's environment."""
    return os.environ.get(name)


def end_early(renderer: Renderer, _: int) -> None:
    """Ends the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
