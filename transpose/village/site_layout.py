"""What stands where: the plan of a village, before anything is modelled or painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.village.maps import rectangle, turned


@dataclass(frozen=True)
class Road:
    """A road's centre line.

    Attributes:
        line_n2: points about 1.5 m apart.
        width_m: of the paved or gravelled surface.
        kind: "main", "street", "lane" or "track".
    """

    line_n2: np.ndarray
    width_m: float
    kind: str


@dataclass(frozen=True)
class Bridge:
    """Where a road crosses the river."""

    centre_2: np.ndarray
    direction_2: np.ndarray
    length_m: float
    width_m: float


@dataclass(frozen=True)
class Block:
    """A box with a roof, in the frame of its building (x along the street, y away from it).

    Attributes:
        x0, x1, y0, y1: outline of the walls.
        eave_m: height of the walls over the building's floor.
        roof: "gable", "hip", "half-hip", "shed", "flat".
        pitch_deg: of the roof.
        ridge_along_x: direction of the ridge.
        storeys: rows of windows.
    """

    x0: float
    x1: float
    y0: float
    y1: float
    eave_m: float
    roof: str
    pitch_deg: float
    ridge_along_x: bool = True
    storeys: int = 1

    @property
    def corners_42(self) -> np.ndarray:
        """Outline, counter-clockwise."""
        return rectangle(self.x0, self.x1, self.y0, self.y1)


@dataclass(frozen=True)
class Building:
    """A building of one or more blocks.

    Attributes:
        number: counts the buildings of the village.
        kind: "house", "barn" or "church".
        centre_2: origin of its frame.
        yaw: of its x axis.
        blocks: the first one is the main one.
        plot: x0, x1, y0, y1 of the ground that belongs to it, in its frame; the street is at y0.
        door_x: middle of the door in the main front, metres along the x axis of its frame.
    """

    number: int
    kind: str
    centre_2: np.ndarray
    yaw: float
    blocks: tuple[Block, ...]
    plot: tuple[float, float, float, float]
    door_x: float

    def to_map(self, points_n2: np.ndarray) -> np.ndarray:
        """From the building's frame to the village's."""
        return turned(points_n2, self.yaw) + self.centre_2

    @property
    def plot_42(self) -> np.ndarray:
        """Corners of the plot in the village's frame."""
        return self.to_map(rectangle(*self.plot))


@dataclass(frozen=True)
class Field:
    """A field; its rows run along the first side."""

    corners_42: np.ndarray
    crop: str


@dataclass(frozen=True)
class Barrier:
    """A hedge, fence or wall along a line."""

    line_n2: np.ndarray
    kind: str
    height_m: float


@dataclass(frozen=True)
class Plant:
    """A tree or bush: "broad", "round", "poplar", "fir", "fruit", "willow" or "bush"."""

    at_2: np.ndarray
    kind: str
    height_m: float
    number: int


@dataclass(frozen=True)
class SiteLayout:
    """The whole plan."""

    centre_2: np.ndarray
    square_k2: np.ndarray
    roads: tuple[Road, ...]
    river_n2: np.ndarray
    river_width_m: float
    bridges: tuple[Bridge, ...]
    buildings: tuple[Building, ...]
    fields: tuple[Field, ...]
    fields_around: tuple[Field, ...]
    barriers: tuple[Barrier, ...]
    plants: tuple[Plant, ...]
