"""Photos without poses, and what structure from motion makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose


@dataclass(frozen=True)
class SharedCamera:
    """A camera that took some of the photos.

    Attributes:
        width, height: of its photos in pixels.
        focal_px: its focal length as far as it is known, None where it is not.
        focal_is_sure: it is that, and not to be estimated.
    """

    width: int
    height: int
    focal_px: float | None = None
    focal_is_sure: bool = False


@dataclass(frozen=True)
class UnposedPhoto:
    """A photo, and the number of the camera that took it."""

    name: str
    image: Path
    camera: int


@dataclass(frozen=True, eq=False)
class Placement:
    """Where photos were taken, in a frame and a unit of its own.

    Attributes:
        lenses: of the cameras by their numbers; those of cameras all of whose photos are not placed are missing.
        poses: of the photos that were placed, by name.
        seen: world points (m, 3) that each of these shows.
        reasons: why each of the others was not placed.
        error_px: how far points are seen from where they should be, the mean.
    """

    lenses: Mapping[int, Lens]
    poses: Mapping[str, Pose]
    seen: Mapping[str, np.ndarray]
    reasons: Mapping[str, str]
    error_px: float


Progress = Callable[[Sequence[Any], str], Iterable[Any]]
# Places photos: given these, their cameras and a seed.
Placer = Callable[[Sequence[UnposedPhoto], Sequence[SharedCamera], int, Progress], Placement]
