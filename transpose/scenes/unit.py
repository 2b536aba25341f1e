"""What the lengths of a scene are: metres, or a unit of its own that says nothing until it is held against the cameras.

Structure from motion knows a place but for its size. Lengths of such a scene are told in its own unit and in per cent
of its cameras' extent, and a localizer learns it as if that extent were `LEARNED_EXTENT_M` metres: so everything that
training takes for granted about metres holds at any scale, and scenes that differ by a factor give the same poses but
for that factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from transpose.errors import TransposeError
from transpose.scenes.layout import Section

LEARNED_EXTENT_M = 10.0
_BLOCK = 1024
_ONE_PLACE = 1e-9  # of the cameras' distance to the origin: what rounding alone sets apart


@dataclass(frozen=True)
class SceneUnit:
    """The unit of a scene's lengths.

    Attributes:
        metric: it is the metre.
        extent: of the cameras that were learned from, in that unit: the largest distance between two of them. None: not
            known, as of a metric run of an older version.
        learned: a length of 1 in what a localizer learns is so many of the scene's units; 1 where they are metres.

    Raises:
        ValueError: a unit that is not the metre needs an extent.
    """

    metric: bool = True
    extent: float | None = None
    learned: float = 1.0

    def __post_init__(self) -> None:
        if not self.metric and (self.extent is None or not 0 < self.extent < math.inf):
            raise ValueError(f"a unit that is not the metre needs the extent of the cameras, got {self.extent}")
        if not 0 < self.learned < math.inf:
            raise ValueError(f"learned lengths need a positive factor, got {self.learned}")

    @classmethod
    def of_cameras(cls, metric: bool, centers_n3: np.ndarray) -> SceneUnit:
        """The unit of a scene, by the camera centres (n, 3) that are learned from.

        Raises:
            TransposeError: it is not the metre, and all cameras stand in one place, so that nothing has a size.
        """
        extent = cameras_extent(centers_n3)
        if metric:
            return cls(True, extent)
        if not extent > _ONE_PLACE * float(np.abs(centers_n3).max(initial=0.0)):
            raise TransposeError(
                "all cameras stand in one place, and the scene is not in metres: nothing in it has a size; set its "
                "sections up with --unit METRES_PER_UNIT"
            )
        return cls(False, extent, extent / LEARNED_EXTENT_M)

    @property
    def name(self) -> str:
        """In results that scripts read."""
        return "metre" if self.metric else "scene unit"

    def told(self, length: float) -> float:
        """A length as people are told it: in metres, or in per cent of the cameras' extent."""
        return length if self.metric or self.extent is None else 100 * length / self.extent

    def told_entry(self, entry: dict[str, float]) -> dict[str, float]:
        """Learned lengths as they are logged: metres (`*_m`), or per cent of the extent (`*_percent`)."""
        if self.metric:
            return entry
        names = {name: f"{name.removesuffix('_m')}_percent" for name in entry if name.endswith("_m")}
        return {names.get(name, name): self.told(self.learned * v) if name in names else v for name, v in entry.items()}

    def as_json(self) -> dict[str, Any]:
        """What results say of it: its name and, where it is not the metre, the extent that per cent are of."""
        return {"unit": self.name} if self.metric else {"unit": self.name, "extent": self.extent}


METRE = SceneUnit()


def unit_as_it_is(section: Section) -> SceneUnit:
    """The unit of a section for what learned its lengths as they are, as other programs do."""
    if section.facts.metric:
        return METRE
    centers_n3 = np.array([frame.pose.center for frame in section.frames])
    return replace(SceneUnit.of_cameras(False, centers_n3), learned=1.0)


def cameras_extent(centers_n3: np.ndarray) -> float:
    """The largest distance between two camera centres (n, 3); 0 of one or none. No turn of the world changes it."""
    points_n3 = np.asarray(centers_n3, np.float64).reshape(-1, 3)
    blocks = range(0, len(points_n3), _BLOCK)
    return max((float(cdist(points_n3[at : at + _BLOCK], points_n3[at:]).max()) for at in blocks), default=0.0)


def is_metric(sections: Sequence[Section]) -> bool:
    """Whether lengths of sections that are used together are metres.

    Raises:
        TransposeError: those of some are and those of others are not.
    """
    metric = [section for section in sections if section.facts.metric]
    others = [section for section in sections if not section.facts.metric]
    if metric and others:
        raise TransposeError(
            f"{metric[0].path} is in metres and {others[0].path} in a unit of its own, so they do not go together; set "
            f"{others[0].name} up with --unit METRES_PER_UNIT (1 where its unit is that of {metric[0].name})"
        )
    return not others
