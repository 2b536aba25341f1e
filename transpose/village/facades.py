"""Pictures of walls: plaster, brick, stone, timber frames, windows, doors, stains and ivy."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from transpose.village.noise import NoiseBank
from transpose.village.openings import paint_openings
from transpose.village.paint import blend, courses, from_tone, rect, shade, soft_spots
from transpose.village.styles import Style
from transpose.village.wall_picture import WallPicture, WallPlan


def _surface(picture: WallPicture, material: str, rgb: np.ndarray, rows: int) -> np.ndarray:
    """Some rows of a wall's material alone."""
    rng, shape, scale = picture.rng, (rows, picture.image.shape[1]), picture.scale
    rough = 0.5 + 0.05 * picture.noise("grain", rows) + 0.09 * picture.noise("stains", rows)
    if material in ("brick", "stone"):
        size = (0.24, 0.085) if material == "brick" else (rng.uniform(0.4, 0.7), rng.uniform(0.2, 0.34))
        gain, joint = courses(rng, shape, (size[0] * scale, size[1] * scale), 0.12 if material == "brick" else 0.17)
        image = from_tone(rough * gain, rgb * 0.62, np.minimum(255, rgb * 1.3))
        mortar = 0.6 * rgb + 0.4 * np.array([196, 190, 180]) if rng.random() < 0.6 else rgb * 0.6
        blend(image, mortar, joint * 0.55)
        return image
    if material == "wood":
        gain, joint = courses(rng, shape[::-1], (4.0 * scale, rng.uniform(0.12, 0.2) * scale), 0.1, 0.3)
        image = from_tone(rough * gain.T, rgb * 0.6, np.minimum(255, rgb * 1.35))
        blend(image, rgb * 0.45, joint.T * 0.7)
        return image
    image = from_tone(rough, rgb * 0.8, np.minimum(255, rgb * 1.16))
    patches = soft_spots(shape, rng.uniform(0, shape[::-1], (5, 2)), rng.uniform(3, 16, 5), rng.uniform(0, 0.4, 5), 2.0)
    blend(image, rgb * rng.uniform(0.8, 1.1), patches)
    return image


def _timber(picture: WallPicture, style: Style, z0: float, z1: float) -> None:
    """Beams of a timber frame between two heights: posts, rails, some braces."""
    rng, scale = picture.rng, picture.scale
    posts = np.linspace(0, picture.width_m, max(3, round(picture.width_m / rng.uniform(1.0, 1.5))))
    thick = max(2, round(0.17 * scale))

    def beam(a: tuple[float, float], b: tuple[float, float]) -> None:
        ends = [(round(x * scale), round(picture.row(z))) for x, z in (a, b)]
        color = tuple(int(part) for part in np.clip(style.timber_rgb + rng.normal(0, 7), 0, 255))
        cv2.line(picture.image, ends[0], ends[1], color, thick, cv2.LINE_AA)

    for left, right in pairwise(posts):
        beam((left, z0), (left, z1))
        if rng.random() < 0.35:
            beam(*(((left, z0), (right, z1)) if rng.random() < 0.5 else ((left, z1), (right, z0))))
        if rng.random() < 0.6:
            middle = rng.uniform(0.35, 0.65) * (z1 - z0) + z0
            beam((left, middle), (right, middle))
    beam((picture.width_m, z0), (picture.width_m, z1))
    for z in (z0, z1):
        beam((0, z), (picture.width_m, z))


def _weather(picture: WallPicture, style: Style) -> None:
    """Darkness under the eaves, splashes and moss at the foot, runs of water, ivy."""
    rng, plan, scale = picture.rng, picture.plan, picture.scale
    rows, columns = picture.image.shape[:2]
    roofline = np.full((rows, columns), 255, np.uint8)
    outline = plan.outline_k2 * [scale, -scale] + [0, rows]
    cv2.fillPoly(roofline, [np.round(outline).astype(np.int32)], 0)
    upper = cv2.copyMakeBorder(roofline, rows, 0, 0, 0, cv2.BORDER_CONSTANT, value=255)
    near = cv2.blur(
        cv2.blur(upper, (1, max(3, int(0.9 * scale)))), (max(3, int(0.5 * scale)), max(3, int(0.6 * scale)))
    )
    height = plan.foot_m + (rows - 0.5 - np.arange(rows)[:, None]) / scale
    foot = np.exp(-np.maximum(height, 0) / 0.45)
    stains = picture.noise("stains")
    runs = cv2.blur(picture.noise("spots"), (1, max(3, int(1.6 * scale))))
    gain = 1 - 0.42 * near[rows:].astype(np.float32) / 255 - foot * np.clip(0.26 + 0.14 * stains, 0, 0.5)
    shade(
        picture.image, np.clip(gain + 0.13 * style.age * np.minimum(runs, 0.1) + 0.035 * style.age * stains, 0.3, 1.2)
    )
    if rng.random() < style.ivy and plan.role not in ("dormer", "garage"):
        middle, spread = rng.uniform(0, picture.width_m), rng.uniform(0.7, 2.0)
        across = (np.arange(columns)[None, :] / scale - middle) / spread
        reach = rng.uniform(1.5, 5.0) * np.exp(-(across**2)) + 0.35 * stains + 0.25 * picture.noise("spots")
        leaf = (reach > np.maximum(height, 0) + 0.35).astype(np.float32)
        leaves = from_tone(0.5 + 0.3 * picture.noise("spots") + 0.2 * picture.noise("grain"), *style.ivy_rgb)
        blend(picture.image, leaves, leaf)


def _clad(picture: WallPicture, style: Style) -> None:
    plan = picture.plan
    height = picture.image.shape[0]
    picture.image[:] = _surface(picture, style.material, style.wall_rgb, height)
    if style.upper_material and plan.role not in ("dormer", "garage") and plan.eave_m > 3.0:
        cut = max(1, round(picture.row(style.upper_from_m if plan.storeys > 1 else plan.eave_m - 0.4)))
        if style.upper_material == "timber":
            _timber(picture, style, plan.foot_m + (height - cut) / picture.scale, plan.eave_m - 0.1)
        else:
            cut = min(cut, height)
            picture.image[:cut] = _surface(picture, style.upper_material, style.upper_rgb, cut)
            rect(picture.image, 0, cut, picture.image.shape[1], cut + 2, style.upper_rgb * 0.5)
    if style.plinth_m > 0 and plan.role != "dormer":
        top = int(np.clip(round(picture.row(style.plinth_m)), 0, height - 1))
        picture.image[top:] = _surface(picture, "stone", style.plinth_rgb, height - top)
    if style.quoins and plan.role != "dormer":
        for number, z in enumerate(np.arange(0.0, plan.eave_m - 0.2, 0.32)):
            wide = 0.5 if number % 2 else 0.3
            color = np.clip(style.trim_rgb * picture.rng.uniform(0.85, 1.03), 0, 255)
            picture.rect(0, wide, z, z + 0.29, color)
            picture.rect(picture.width_m - wide, picture.width_m, z, z + 0.29, color)


def paint_facade(
    plan: WallPlan, style: Style, px_per_m: float, bank: NoiseBank, rng: np.random.Generator
) -> np.ndarray:
    """The picture of a wall, uint8 (h, w, 3); its last row is the wall's lower edge, its first the highest point."""
    picture = WallPicture(plan, px_per_m, bank, rng)
    _clad(picture, style)
    paint_openings(picture, style)
    _weather(picture, style)
    if plan.role in ("side", "back", "front") and rng.random() < 0.5:
        pipe = rng.choice([0.12, picture.width_m - 0.2])
        picture.rect(pipe, pipe + 0.1, plan.foot_m, plan.eave_m, style.trim_rgb * 0.55)
    return picture.image
