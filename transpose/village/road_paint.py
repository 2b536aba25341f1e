"""Roads, pavements, the square and the river's bridges in the ground's picture."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.maps import HALF_M, rectangle, turned, walk
from transpose.village.materials import Material
from transpose.village.paint import soft_spots
from transpose.village.sheet import Sheet
from transpose.village.site_layout import Road, SiteLayout

_PAVEMENT_M = 1.25
_CORE_M = 66.0
"""Within this distance of the centre the larger roads have pavements and kerbs."""

_SURFACE = {"main": Material.ASPHALT, "street": Material.ASPHALT, "lane": Material.OLD_ASPHALT}


def _core(road: Road, layout: SiteLayout) -> np.ndarray:
    """The part of a road that has pavements."""
    return road.line_n2[np.linalg.norm(road.line_n2 - layout.centre_2, axis=1) < _CORE_M]


def _has_pavement(road: Road) -> bool:
    return road.kind in ("main", "street")


def _beside(line_n2: np.ndarray, offset_m: float) -> np.ndarray:
    """The line moved to its left."""
    along = np.gradient(line_n2, axis=0)
    return line_n2 + offset_m * turned(along / np.linalg.norm(along, axis=1, keepdims=True), np.pi / 2)


def _patches(sheet: Sheet, road: Road, rng: np.random.Generator) -> None:
    """Repairs: rectangles and trenches of a younger or an older surface, joints, wheel tracks."""
    frame, relief = sheet.frame, sheet.relief
    for side in (-1, 1):
        for wheel in (0.22, 0.62):
            frame.line(
                relief, _beside(road.line_n2, side * wheel * road.width_m / 2), 0.42, 128 + int(rng.integers(4, 16))
            )
    points, directions = walk(road.line_n2, 4.0)
    for point, direction in zip(points, directions, strict=True):
        normal = turned(direction, np.pi / 2)
        if rng.random() < 0.5:
            length, width = rng.uniform(0.6, 4.5), rng.uniform(0.5, road.width_m * 0.45)
            centre = point + normal * rng.uniform(-0.5, 0.5) * (road.width_m - width)
            yaw = float(np.arctan2(direction[1], direction[0])) + rng.normal(0, 0.04)
            corners = turned(rectangle(-length / 2, length / 2, -width / 2, width / 2), yaw) + centre
            frame.fill(relief, corners, int(128 + rng.choice([-1, -1, 1]) * rng.uniform(18, 70)), smooth=True)
            frame.line(relief, corners, 0.06, int(rng.integers(40, 90)), smooth=True, closed=True)
        if rng.random() < 0.16:
            ends = point + normal * np.array([[-0.5], [0.5]]) * road.width_m + direction * rng.normal(0, 0.5)
            frame.line(relief, ends, rng.uniform(0.3, 0.9), int(rng.integers(60, 110)))


def paint_roads(sheet: Sheet, layout: SiteLayout, natural: bool) -> None:
    """Materials of the roads: verges and tracks if `natural`, else what has sharp borders."""
    frame = sheet.frame
    for number, road in enumerate(layout.roads):
        rng = sheet.rng("road", str(number), str(natural))
        if natural:
            frame.line(sheet.material, road.line_n2, road.width_m + 1.5, Material.VERGE)
            if road.kind == "track":
                frame.line(sheet.material, road.line_n2, road.width_m, Material.DIRT)
                for side in (-1, 1):
                    wheel = _beside(road.line_n2, side * 0.72)
                    frame.line(sheet.material, wheel, 0.75, Material.GRAVEL)
                frame.line(sheet.material, road.line_n2, 0.5, Material.VERGE)
        elif road.kind != "track":
            if _has_pavement(road):
                frame.line(sheet.material, _core(road, layout), road.width_m + 2 * _PAVEMENT_M, Material.PAVING)
            frame.line(sheet.relief, road.line_n2, road.width_m, 128)
            frame.line(sheet.material, road.line_n2, road.width_m, _SURFACE[road.kind])
            _patches(sheet, road, rng)


def paint_square(sheet: Sheet, layout: SiteLayout) -> None:
    """Cobbles in rings around the fountain with radial bands."""
    rng, frame = sheet.rng("square"), sheet.frame
    window = frame.window(layout.square_k2, 0.5)
    mask = frame.mask(layout.square_k2, window)
    east, north = frame.metres()
    centre = fountain_place(layout)
    x, y = east[:, window[1]] - centre[0], north[window[0]] - centre[1]
    radius, angle = np.hypot(x, y), np.arctan2(y, x) + np.pi
    ring = (radius / 0.22).astype(int)
    stones = np.maximum(6, (2 * np.pi * ring * 0.22 / 0.26).astype(int))
    column = (angle / (2 * np.pi) * stones + (ring % 2) * 0.5).astype(int) % stones
    tone = 30 * rng.standard_normal((ring.max() + 1, 700)).clip(-2, 2)[ring, column % 700]
    joint = (radius % 0.22 < 0.05) | ((angle / (2 * np.pi) * stones + (ring % 2) * 0.5) % 1 < 0.2)
    tone -= 55 * joint
    tone += np.where((ring // 9) % 2 == 0, 22, -10)
    tone += 26 * ((angle / (2 * np.pi) * 12) % 1 < 0.12)
    sheet.material[window][mask] = Material.COBBLES
    sheet.relief[window][mask] = np.clip(128 + tone, 0, 255).astype(np.uint8)[mask]
    edge = np.concatenate([layout.square_k2, layout.square_k2[:1]])
    sheet.later(lambda: frame.line(sheet.image, edge, 0.3, (176, 170, 158), smooth=True))


def fountain_place(layout: SiteLayout) -> np.ndarray:
    """The fountain stands beside the crossing of the two through roads, on the square."""
    return layout.centre_2 + (layout.square_k2[3] - layout.centre_2) * 0.5


def _kerbs(sheet: Sheet, layout: SiteLayout, road: Road, rng: np.random.Generator) -> None:
    """Kerb stones and pavement slabs, where there is pavement behind (not at junctions and on the square)."""
    frame, core = sheet.frame, _core(road, layout)
    for side in (-1, 1):
        points, directions = walk(_beside(core, side * (road.width_m / 2 + 0.08)), 1.0)
        behind = points + 0.6 * side * turned(directions, np.pi / 2)
        paved = frame.sample(sheet.material, behind) == Material.PAVING
        for point, direction in zip(points[paved], directions[paved], strict=True):
            level = int(rng.integers(150, 196))
            frame.line(
                sheet.image, np.stack([point, point + 0.93 * direction]), 0.16, (level, level, level - 8), smooth=True
            )
        slabs, ahead = walk(_beside(core, side * (road.width_m / 2 + _PAVEMENT_M / 2)), 0.6)
        paved = frame.sample(sheet.material, slabs) == Material.PAVING
        for point, direction in zip(slabs[paved], ahead[paved], strict=True):
            across = turned(direction, np.pi / 2) * _PAVEMENT_M / 2
            frame.line(sheet.image, np.stack([point - across, point + across]), 0.04, (112, 107, 100), smooth=True)


def _off_square(points_n2: np.ndarray, layout: SiteLayout) -> np.ndarray:
    contour = layout.square_k2.astype(np.float32)
    return np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), False) < 0 for x, y in points_n2], bool)


def _markings(sheet: Sheet, layout: SiteLayout, road: Road, rng: np.random.Generator) -> None:
    """A dashed middle line, worn in places, zebra crossings before the square, a stop line."""
    frame, worn = sheet.frame, (206, 205, 198)
    points, directions = walk(road.line_n2, 4.2)
    for point, direction in zip(points, directions, strict=True):
        if rng.random() < 0.9 and _off_square(point[None], layout)[0]:
            end = point + direction * rng.uniform(1.5, 2.2)
            level = rng.integers(-50, 10)
            frame.line(sheet.image, np.stack([point, end]), 0.13, [part + int(level) for part in worn], smooth=True)
    points, directions = walk(road.line_n2, 1.0)
    outside = _off_square(points, layout)
    for index in np.flatnonzero(outside[1:] != outside[:-1]):
        place = index + 4 if outside[index + 1] else index - 3
        direction = directions[np.clip(place, 0, len(points) - 1)]
        across = turned(direction, np.pi / 2)
        for step in np.arange(-road.width_m / 2 + 0.4, road.width_m / 2 - 0.2, 0.85):
            middle = points[np.clip(place, 0, len(points) - 1)] + across * step
            stripe = np.stack([middle - direction * 1.3, middle + direction * 1.3])
            frame.line(sheet.image, stripe, 0.42, (212, 210, 200), smooth=True)


def _cracks(sheet: Sheet, layout: SiteLayout, road: Road, rng: np.random.Generator) -> None:
    """Cracks, some of them sealed with bitumen."""
    frame, points = sheet.frame, walk(road.line_n2, 1.0)[0]
    points = points[_off_square(points, layout)]
    for _ in range(int(len(points) * 0.55)):
        heading, steps = rng.uniform(0, 2 * np.pi), int(rng.integers(4, 16))
        turn = heading + np.cumsum(rng.normal(0, 0.5, steps))
        start = points[rng.integers(0, len(points))] + rng.uniform(-0.42, 0.42, 2) * road.width_m
        line = start + np.cumsum(0.3 * np.stack([np.cos(turn), np.sin(turn)], 1), 0)
        if np.linalg.norm(points[:, None] - line[None], axis=2).min(0).max() < road.width_m / 2 - 0.2:
            sealed = rng.random() < 0.3
            level = int(rng.integers(58, 74) if sealed else rng.integers(66, 92))
            frame.line(sheet.image, line, 0.08 if sealed else 0.05, (level, level, level + 1), smooth=True)


def _covers(sheet: Sheet, layout: SiteLayout, road: Road, rng: np.random.Generator) -> None:
    """Manholes and gullies."""
    frame = sheet.frame
    points, directions = walk(road.line_n2, 11.0)
    for point, direction in zip(points, directions, strict=True):
        centre = point + rng.uniform(-0.3, 0.3) * road.width_m * turned(direction, np.pi / 2)
        if rng.random() < 0.7:
            for radius, rgb in (
                (0.4, (146, 144, 138)),
                (0.32, (76, 72, 68)),
                (0.22, (98, 92, 86)),
                (0.16, (70, 66, 64)),
            ):
                frame.disc(sheet.image, centre, radius, rgb)
        gully = point + direction * rng.uniform(2, 8) + turned(direction, np.pi / 2) * (road.width_m / 2 - 0.3)
        if not _off_square(gully[None], layout)[0]:
            continue
        along = np.stack([gully, gully + direction * 0.45])
        frame.line(sheet.image, along, 0.35, (54, 54, 54))
        frame.line(sheet.image, along, 0.08, (120, 118, 114))


def _stains(sheet: Sheet, layout: SiteLayout, season: str) -> None:
    """Oil, damp and puddles: dark soft spots, on tracks filled with water that mirrors the sky."""
    rng, frame = sheet.rng("stains"), sheet.frame
    for road in layout.roads:
        track = road.kind == "track"
        for point in walk(road.line_n2, 5.0 if track else 7.0)[0]:
            centre = point + rng.uniform(-0.38, 0.38, 2) * road.width_m
            radius = rng.uniform(0.25, 0.7) * (1.6 if season != "summer" else 1.0)
            if rng.random() > 0.6 or np.abs(centre).max() > HALF_M - 4:
                continue
            window = frame.window(centre[None], 3.0)
            shape = sheet.material[window].shape
            local = frame.px(centre) - [window[1].start, window[0].start]
            around = local + rng.normal(0, radius * frame.px_per_m * 0.7, (4, 2))
            radii = radius * frame.px_per_m * rng.uniform(0.4, 1.0, 4)
            alpha = soft_spots(shape, around, radii, np.full(4, 1.0 if track else 0.3), 0.12 * frame.px_per_m)[
                ..., None
            ]
            color = (142, 144, 142) if track else (58, 56, 54)
            part = sheet.image[window]
            part[:] = part * (1 - 0.85 * alpha) + np.array(color) * 0.85 * alpha


def paint_road_details(sheet: Sheet, layout: SiteLayout, season: str) -> None:
    """Everything on the roads that is drawn in its own colour."""
    for number, road in enumerate(layout.roads):
        rng = sheet.rng("road details", str(number))
        if road.kind == "track":
            continue
        _cracks(sheet, layout, road, rng)
        _covers(sheet, layout, road, rng)
        if _has_pavement(road):
            _kerbs(sheet, layout, road, rng)
        if road.kind == "main":
            _markings(sheet, layout, road, rng)
    _stains(sheet, layout, season)
