"""Walls and roof planes of one block, as polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.village.maps import turned
from transpose.village.site_layout import Block

_FOOT_M = -0.3
"""Walls are painted down to here; a plain footing goes on below, into the ground."""


@dataclass(frozen=True)
class Wall:
    """A wall seen from outside.

    Attributes:
        points_k3: its outline in the building's frame.
        outward_3: horizontal unit normal.
    """

    points_k3: np.ndarray
    outward_3: np.ndarray

    @property
    def right_3(self) -> np.ndarray:
        """To the right of someone who looks at the wall."""
        return np.cross([0.0, 0.0, 1.0], self.outward_3)


@dataclass(frozen=True)
class Shape:
    """The walls of a block and the lower sides of its roof's planes, in the building's frame."""

    walls: tuple[Wall, ...]
    roof_planes: tuple[np.ndarray, ...]


def _roof_of_ridge(block: Block, half_l: float, half_w: float, overhang: float) -> tuple[list, dict[str, float]]:
    """The planes of a gable, hip or half-hip roof about a ridge along x; the lower side meets the walls' tops."""
    slope = np.tan(np.radians(block.pitch_deg))
    hip = {"gable": 0.0, "half-hip": 0.4, "hip": 1.0}[block.roof]
    hip = min(hip, half_l / half_w)
    top, eave = block.eave_m + half_w * slope, block.eave_m - overhang * slope
    x, y = half_l + overhang, half_w + overhang
    if hip == 0.0:
        sides = [np.array([[-x, s * y, eave], [x, s * y, eave], [x, 0, top], [-x, 0, top]]) for s in (-1, 1)]
        return sides, {"gable_top": top, "gable_half": 0.0}
    hip_foot = block.eave_m + (1 - hip) * half_w * slope - overhang * slope
    hip_y, ridge = hip * half_w + overhang, half_l - hip * half_w
    planes = []
    for s in (-1, 1):
        corners = [[-x, s * y, eave], [x, s * y, eave], [x, s * hip_y, hip_foot]]
        corners += [[ridge, 0, top], [-ridge, 0, top], [-x, s * hip_y, hip_foot]]
        planes.append(np.array(corners))
        planes.append(np.array([[s * x, -hip_y, hip_foot], [s * x, hip_y, hip_foot], [s * ridge, 0, top]]))
    return planes, {"gable_top": block.eave_m + (1 - hip) * half_w * slope, "gable_half": hip * half_w}


def _without_repeats(points_k3: np.ndarray) -> np.ndarray:
    keep = np.linalg.norm(points_k3 - np.roll(points_k3, 1, axis=0), axis=1) > 1e-6
    return points_k3[keep]


def block_shape(block: Block, overhang: float, foot: float = _FOOT_M) -> Shape:
    """The polygons of a block; `foot` is the height of the walls' lower edge."""
    middle = np.array([(block.x0 + block.x1) / 2, (block.y0 + block.y1) / 2])
    half = np.array([(block.x1 - block.x0) / 2, (block.y1 - block.y0) / 2])
    half_l, half_w = half if block.ridge_along_x else half[::-1]
    eaves = {"front": block.eave_m, "back": block.eave_m}
    gable = {"gable_top": block.eave_m, "gable_half": half_w}
    if block.roof in ("flat", "shed"):
        slope = np.tan(np.radians(block.pitch_deg))
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [half_l + overhang, half_w + overhang]
        # A shed roof falls towards its back (+y).
        planes = [np.column_stack([corners, block.eave_m + slope * (half_w - corners[:, 1])])]
        eaves["front"] = block.eave_m + 2 * half_w * slope
    else:
        planes, gable = _roof_of_ridge(block, half_l, half_w, overhang)
    walls = []
    for s, name in ((-1, "front"), (1, "back")):
        x = np.array([-half_l, half_l, half_l, -half_l])
        z = np.array([foot, foot, eaves[name], eaves[name]])
        walls.append(Wall(np.column_stack([x, np.full(4, s * half_w), z]), np.array([0.0, s, 0.0])))
    for s in (-1, 1):
        y = np.array([-half_w, half_w, half_w, gable["gable_half"], -gable["gable_half"], -half_w])
        top = gable["gable_top"]
        z = np.array([foot, foot, eaves["back"], top, top, eaves["front"]])
        if block.roof in ("flat", "shed"):
            y, z = y[[0, 1, 2, 5]], z[[0, 1, 2, 5]]
        walls.append(
            Wall(_without_repeats(np.column_stack([np.full(len(y), s * half_l), y, z])), np.array([s, 0.0, 0.0]))
        )
    yaw = 0.0 if block.ridge_along_x else np.pi / 2

    def place(points: np.ndarray) -> np.ndarray:
        return np.column_stack([turned(points[:, :2], yaw) + middle, points[:, 2]])

    def turn(direction: np.ndarray) -> np.ndarray:
        return np.round(np.append(turned(direction[None, :2], yaw)[0], 0.0))

    return Shape(
        tuple(Wall(place(wall.points_k3), turn(wall.outward_3)) for wall in walls),
        tuple(_without_repeats(place(plane)) for plane in planes),
    )


def roof_height(block: Block, at_2: np.ndarray) -> float:
    """Height of the lower side of a ridged roof over a point of the building's frame."""
    middle = np.array([(block.x0 + block.x1) / 2, (block.y0 + block.y1) / 2])
    half = np.array([(block.x1 - block.x0) / 2, (block.y1 - block.y0) / 2])
    inside = half - np.abs(np.asarray(at_2) - middle)
    distance = inside[1] if block.ridge_along_x else inside[0]
    if block.roof == "hip":
        distance = inside.min()
    if block.roof in ("flat", "shed"):
        distance = 0.0
    return float(block.eave_m + distance * np.tan(np.radians(block.pitch_deg)))
