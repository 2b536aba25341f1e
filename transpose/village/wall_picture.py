"""A wall's picture while it is painted: what it has to show, metres to pixels, the shared noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.village.noise import NoiseBank
from transpose.village.paint import rect


@dataclass(frozen=True)
class WallPlan:
    """What a wall's picture has to show; metres, measured from its lower left corner.

    Attributes:
        outline_k2: the wall's outline.
        foot_m: height of the lower edge over the floor (negative).
        eave_m: height of the eaves over the floor.
        storeys: rows of windows.
        role: "front", "side", "back", "garage", "barn", "church", "tower", "dormer".
        door_m: middle of the door, None without a door.
        hidden: parts (left, right, top) behind other blocks, without openings.
    """

    outline_k2: np.ndarray
    foot_m: float
    eave_m: float
    storeys: int
    role: str
    door_m: float | None = None
    hidden: tuple[tuple[float, float, float], ...] = ()


class WallPicture:
    """A wall's picture while it is painted: metres to pixels and the shared noise."""

    def __init__(self, plan: WallPlan, px_per_m: float, bank: NoiseBank, rng: np.random.Generator) -> None:
        self.plan, self.scale, self.bank, self.rng = plan, px_per_m, bank, rng
        # Flowers come and go with the season; what they draw must not shift the rest of the wall.
        self.bloom_rng = rng.spawn(1)[0]
        self.width_m, self.height_m = plan.outline_k2.max(0)
        shape = max(4, int(np.ceil(self.height_m * px_per_m))), max(4, int(np.ceil(self.width_m * px_per_m)))
        self.image = np.zeros((*shape, 3), np.uint8)

    def row(self, height_m: float) -> float:
        """Row of a height over the floor."""
        return (self.height_m - (height_m - self.plan.foot_m)) * self.scale

    def rect(self, x0: float, x1: float, z0: float, z1: float, rgb: tuple[int, ...] | np.ndarray) -> None:
        """Fills a rectangle given in metres from the left border and over the floor."""
        rect(self.image, x0 * self.scale, self.row(z1), x1 * self.scale, self.row(z0), rgb)

    def noise(self, kind: str, rows: int | None = None) -> np.ndarray:
        """A window of the shared noise as wide as the picture and as high, or of some rows."""
        height, width = self.image.shape[:2]
        return self.bank.take(self.rng, (height if rows is None else rows, width), kind)
