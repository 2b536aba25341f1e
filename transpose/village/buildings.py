"""Buildings as meshes with pictures on two atlases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transpose.randomness import stream
from transpose.village.atlas import Atlas
from transpose.village.facades import paint_facade
from transpose.village.maps import rectangle
from transpose.village.noise import NoiseBank
from transpose.village.parts import Kind, MeshBuilder, Texture, box, boxed_uv, polygon_normal, prism, to_village_frame
from transpose.village.roofs import paint_roof
from transpose.village.shapes import Wall, block_shape, roof_height
from transpose.village.site_layout import Block, Building
from transpose.village.styles import Style, draw_style
from transpose.village.wall_picture import WallPlan

_FOOTING_M = -1.7
_THICKNESS_M = 0.16
_SIGNS = (
    "BAKERY",
    "CAFE",
    "POST",
    "INN",
    "BOOKS",
    "FLOWERS",
    "BUTCHER",
    "SCHOOL",
    "BANK",
    "CYCLES",
    "PHARMACY",
    "WINE",
)


@dataclass(frozen=True)
class Workshop:
    """What all buildings share: the mesh, the atlases, the noise and the resolutions."""

    builder: MeshBuilder
    roofs: Atlas
    facades: Atlas
    bank: NoiseBank
    seed: int
    season: str
    wall_px_per_m: float
    roof_px_per_m: float


@dataclass(frozen=True)
class _Site:
    """One building under construction."""

    shop: Workshop
    building: Building
    base_m: float
    style: Style
    rng: np.random.Generator
    snow: np.random.Generator

    def world(self, points_n3: np.ndarray) -> np.ndarray:
        """From the building's frame to the village's."""
        return to_village_frame(points_n3, (*self.building.centre_2, self.base_m), self.building.yaw)

    def direction(self, vector_3: np.ndarray) -> np.ndarray:
        """A direction of the building's frame in the village's."""
        return to_village_frame(np.asarray(vector_3, float)[None], (0, 0, 0), self.building.yaw)[0]


def _role(building: Building, block: Block, wall: Wall) -> str:
    main = building.blocks[0]
    if building.kind != "house":
        return "tower" if building.kind == "church" and block.eave_m > 12 else building.kind
    if block is not main and block.y0 < main.y1 - 1.0 and block.storeys == 1 and block.eave_m < 2.9:
        return "garage" if wall.outward_3[1] < 0 else "side"
    return "front" if wall.outward_3[1] < 0 else "back" if wall.outward_3[1] > 0 else "side"


def _hidden(building: Building, block: Block, wall: Wall, origin: float) -> tuple[tuple[float, float, float], ...]:
    """The parts of a wall that other blocks stand against, measured from its left end."""
    parts = []
    for other in building.blocks:
        outline = np.column_stack([other.corners_42, np.zeros(4)])
        depth = (outline - wall.points_k3[0]) @ wall.outward_3
        if other is not block and depth.max() > 0.05 and depth.min() < 0.05:
            along = outline @ wall.right_3 - origin
            peak = other.eave_m + (0.0 if other.roof in ("flat", "shed") else 1.2)
            parts.append((float(along.min()), float(along.max()), peak))
    return tuple(parts)


def _add_wall(site: _Site, block: Block, wall: Wall, role: str) -> None:
    """A painted wall and the plain footing under it."""
    shop, building = site.shop, site.building
    along = wall.points_k3 @ wall.right_3
    low, foot = along.min(), wall.points_k3[:, 2].min()
    outline = np.column_stack([along - low, wall.points_k3[:, 2] - foot])
    door = None
    if block is building.blocks[0] and (role == "front" or (role == "church" and wall.outward_3[1] < 0)):
        door = building.door_x - low
    hidden = () if role == "dormer" else _hidden(building, block, wall, low)
    plan = WallPlan(outline, foot, block.eave_m, block.storeys, role, door, hidden)
    image = paint_facade(plan, site.style, shop.wall_px_per_m, shop.bank, site.rng.spawn(1)[0])
    uv = outline * [1, -1] * shop.wall_px_per_m + [0, image.shape[0]]
    outward = site.direction(wall.outward_3)
    shop.builder.polygon(
        site.world(wall.points_k3), outward, Kind.BUILDING, Texture.FACADES, uv, piece=shop.facades.add(image)
    )
    if role != "dormer":
        ends = wall.points_k3[[0, 1]]
        footing = np.concatenate([ends * [1, 1, 0] + [0, 0, foot], ends[::-1] * [1, 1, 0] + [0, 0, _FOOTING_M]])
        rgb = (site.style.plinth_rgb * 0.7).astype(np.uint8)
        shop.builder.polygon(site.world(footing), outward, Kind.BUILDING, rgb=rgb)


def _add_plane(site: _Site, plane_k3: np.ndarray) -> None:
    """The visible upper side of one roof plane."""
    shop, normal = site.shop, polygon_normal(plane_k3)
    normal = normal / np.linalg.norm(normal) * (1 if normal[2] > 0 else -1)
    right = np.cross([0, 0, 1.0], normal)
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 1e-6 else np.array([1.0, 0, 0])
    along, up = plane_k3 @ right, plane_k3 @ np.cross(normal, right)
    outline = np.column_stack([along - along.min(), up.max() - up]) * shop.roof_px_per_m
    image = paint_roof(outline, site.style, shop.roof_px_per_m, shop.bank, site.rng.spawn(1)[0], site.snow)
    world = site.world(plane_k3 + np.array([0, 0, _THICKNESS_M]))
    shop.builder.polygon(world, (0, 0, 1), Kind.BUILDING, Texture.ROOFS, outline, piece=shop.roofs.add(image))


def _add_roof(site: _Site, planes: tuple[np.ndarray, ...]) -> None:
    """The planes with their lower sides and the boards along the free edges."""
    builder = site.shop.builder
    board, soffit = ((site.style.trim_rgb * gain).astype(np.uint8) for gain in (0.8, 0.5))
    edges = {}
    for plane in planes:
        _add_plane(site, plane)
        builder.polygon(site.world(plane), (0, 0, -1), Kind.BUILDING, rgb=soffit)
        turned_up = plane if polygon_normal(plane)[2] > 0 else plane[::-1]
        for a, b in zip(turned_up, np.roll(turned_up, -1, axis=0), strict=True):
            edges[tuple(np.round(a, 3)), tuple(np.round(b, 3))] = (a, b)
    lift = np.array([0, 0, _THICKNESS_M])
    for (start, end), (a, b) in edges.items():
        if (end, start) not in edges:
            outward = np.cross(b - a, [0, 0, 1.0])
            builder.polygon(
                site.world(np.array([a, b, b + lift, a + lift])), site.direction(outward), Kind.BUILDING, rgb=board
            )


def _add_block(site: _Site, block: Block) -> None:
    overhang = float(site.rng.uniform(0.25, 0.6)) if block.roof != "flat" else 0.18
    if block.eave_m > 12:
        overhang = 0.2
    shape = block_shape(block, overhang)
    for wall in shape.walls:
        _add_wall(site, block, wall, _role(site.building, block, wall))
    block_style = replace(site.style, roof="gravel") if block.roof == "flat" else site.style
    _add_roof(replace(site, style=block_style), shape.roof_planes)


def _add_dormers(site: _Site, block: Block) -> None:
    """Small gabled windows on the slope towards the street or the garden."""
    rise = (block.y1 - block.y0) / 2 * np.tan(np.radians(block.pitch_deg))
    if block.roof not in ("gable", "half-hip") or not block.ridge_along_x or rise < 2.9 or site.rng.random() < 0.35:
        return
    count = int(site.rng.integers(1, 4))
    side = -1 if site.rng.random() < 0.6 else 1
    width, tall = site.rng.uniform(1.2, 1.6), site.rng.uniform(1.1, 1.35)
    for middle in block.x0 + (np.arange(count) + 0.5) / count * (block.x1 - block.x0):
        if min(middle - block.x0, block.x1 - middle) < 1.6:
            continue
        front = (block.y0 if side < 0 else block.y1) - side * 0.75
        foot = roof_height(block, np.array([middle, front])) + _THICKNESS_M
        slope = np.tan(np.radians(block.pitch_deg))
        depth = (tall + width / 2 * np.tan(np.radians(36.0))) / slope + 0.25
        inner = front - side * depth
        y0, y1 = sorted((front, inner))
        dormer = Block(middle - width / 2, middle + width / 2, y0, y1, foot + tall, "gable", 36.0, False)
        if dormer.eave_m + width / 2 * 0.73 + 0.2 > block.eave_m + rise:
            return
        shape = block_shape(dormer, 0.16, foot - 0.25)
        for wall in shape.walls:
            if wall.outward_3[1] * side >= 0:
                _add_wall(site, dormer, wall, "dormer" if wall.outward_3[1] else "blind")
        _add_roof(site, shape.roof_planes)


def _add_chimneys(site: _Site, block: Block) -> None:
    for _ in range(int(site.rng.integers(1, 3))):
        half = site.rng.uniform(0.24, 0.42)
        at = np.array([site.rng.uniform(0.2, 0.8), site.rng.uniform(0.35, 0.65)])
        x, y = np.array([block.x0, block.y0]) + at * [block.x1 - block.x0, block.y1 - block.y0]
        foot = roof_height(block, np.array([x, y])) - 0.7
        top = max(
            foot + 1.5, block.eave_m + 0.5 * (block.y1 - block.y0) * np.tan(np.radians(block.pitch_deg)) * 0.9 + 0.9
        )
        vertices, faces = box(x - half, x + half, y - half, y + half, foot, top)
        uv = boxed_uv(vertices, faces, 4.0, site.rng.random(2))
        site.shop.builder.add(site.world(vertices), faces, Kind.BUILDING, Texture.STONE, uv)
        for grow, z0, z1, rgb in ((0.09, top, top + 0.1, (150, 146, 140)), (-0.1, top + 0.1, top + 0.4, (120, 70, 56))):
            side = half + grow
            cap, cap_faces = box(x - side, x + side, y - side, y + side, z0, z1)
            site.shop.builder.add(site.world(cap), cap_faces, Kind.BUILDING, rgb=rgb)


def _add_steps(site: _Site, block: Block) -> None:
    door = site.building.door_x
    for number in range(2):
        vertices, faces = box(
            door - 0.8, door + 0.8, block.y0 - 0.7 + 0.32 * number, block.y0 + 0.02, -0.6, -0.17 + 0.12 * number
        )
        site.shop.builder.add(site.world(vertices), faces, Kind.BUILDING, rgb=(156, 151, 143))


def _add_cross(site: _Site, block: Block) -> None:
    """A gilded cross on the church's spire."""
    x, y = (block.x0 + block.x1) / 2, (block.y0 + block.y1) / 2
    top = block.eave_m + (block.y1 - block.y0) / 2 * np.tan(np.radians(block.pitch_deg))
    for half_x, half_y, z0, z1 in ((0.06, 0.06, top - 0.1, top + 1.8), (0.5, 0.05, top + 1.05, top + 1.2)):
        outline = rectangle(x - half_x, x + half_x, y - half_y, y + half_y)
        vertices, faces = prism(outline, z0, z1)
        site.shop.builder.add(site.world(vertices), faces, Kind.BUILDING, rgb=(186, 152, 70))


def add_building(shop: Workshop, building: Building, base_m: float, central: bool) -> None:
    """Models and paints one building.

    Args:
        shop: what the buildings share.
        building: its plan.
        base_m: height of its floor.
        central: whether it stands near the square, where houses have shops.
    """
    main = building.blocks[0]
    rng = stream(shop.seed, "village", "building", str(building.number))
    sign = str(rng.choice(_SIGNS))
    sign = sign if central and building.kind == "house" and rng.random() < 0.5 else ""
    style = draw_style(rng, building.kind, main.roof == "flat", sign, shop.season)
    snow = stream(shop.seed, "village", "roof snow", str(building.number))
    site = _Site(shop, building, base_m, style, rng, snow)
    for block in building.blocks:
        _add_block(site, block)
    if building.kind == "church":
        _add_cross(site, building.blocks[1])
    if building.kind == "house":
        _add_steps(site, main)
        if main.roof != "flat":
            _add_dormers(site, main)
            _add_chimneys(site, main)
