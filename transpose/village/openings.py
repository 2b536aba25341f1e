"""Windows, doors, gates and signs in the pictures of walls."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.paint import rect
from transpose.village.styles import Style
from transpose.village.wall_picture import WallPicture

_STOREY_M = 2.75
_BLOOMS = np.array([(196, 60, 70), (222, 120, 160), (232, 226, 214), (226, 170, 60)], np.uint8)


def _glass(picture: WallPicture, x0: float, x1: float, z0: float, z1: float) -> None:
    """Dark panes with a reflection of the sky and perhaps a curtain."""
    rng, image = picture.rng, picture.image
    top, bottom = max(0, round(picture.row(z1))), min(image.shape[0], round(picture.row(z0)))
    left, right = max(0, round(x0 * picture.scale)), min(image.shape[1], round(x1 * picture.scale))
    if bottom <= top or right <= left:
        return
    y, x = np.mgrid[0 : bottom - top, 0 : right - left]
    fall = y / max(1, bottom - top) + rng.uniform(-0.5, 0.5) * x / max(1, right - left)
    sky = np.clip(rng.uniform(0.15, 0.9) - fall * rng.uniform(0.4, 1.1), 0, 1)[..., None]
    image[top:bottom, left:right] = np.array([44, 50, 56]) * (1 - sky) + np.array([136, 150, 160]) * sky
    if rng.random() < 0.4:
        curtain = np.array([206, 202, 192]) * rng.uniform(0.6, 0.95)
        share = rng.uniform(0.15, 0.35) * (x1 - x0)
        for a, b in ((x0, x0 + share), (x1 - share, x1)):
            picture.rect(a, b, z0, z1, curtain)
    elif rng.random() < 0.25:
        picture.rect(
            x0, x1, z1 - rng.uniform(0.2, 0.8) * (z1 - z0), z1, np.array([178, 172, 158]) * rng.uniform(0.7, 1.1)
        )


def _flowers(picture: WallPicture, x0: float, x1: float, z: float) -> None:
    rng = picture.bloom_rng
    picture.rect(x0, x1, z - 0.2, z, (96, 66, 46))
    for _ in range(int((x1 - x0) * 16)):
        x, high = rng.uniform(x0, x1), z + rng.uniform(-0.1, 0.22)
        color = _BLOOMS[rng.integers(0, len(_BLOOMS))] if rng.random() < 0.5 else np.array([72, 104, 50])
        picture.rect(x, x + 0.07, high, high + 0.07, color)


def _window(picture: WallPicture, style: Style, middle: float, z0: float, width: float, height: float) -> None:
    x0, x1, z1 = middle - width / 2, middle + width / 2, z0 + height
    frame, bar = 0.11, 0.055
    picture.rect(x0 - frame, x1 + frame, z0 - 0.06, z1 + frame, style.trim_rgb)
    picture.rect(x0 - frame - 0.05, x1 + frame + 0.05, z0 - 0.14, z0 - 0.05, style.trim_rgb * 0.86)
    picture.rect(x0 - frame, x1 + frame, z0 - 0.19, z0 - 0.14, style.wall_rgb * 0.62)
    picture.rect(x0, x1, z0, z1, style.frame_rgb)
    columns, rows = style.panes
    wide, high = (width - bar) / columns, (height - bar) / rows
    for i in range(columns):
        for j in range(rows):
            left, low = x0 + bar + i * wide, z0 + bar + j * high
            _glass(picture, left, left + wide - bar, low, low + high - bar)
    # The reveal throws a soft shadow on the upper part of the window.
    picture.rect(x0, x1, z1 - 0.06, z1, style.frame_rgb * 0.5)
    if style.shutter_rgb is not None and picture.plan.role != "dormer":
        half = width / 2
        for left in (x0 - frame - half, x1 + frame):
            picture.rect(left, left + half, z0 - 0.03, z1 + 0.03, style.shutter_rgb)
            for z in np.arange(z0 + 0.1, z1 - 0.05, 0.12):
                picture.rect(left + 0.06, left + half - 0.06, z, z + 0.04, style.shutter_rgb * 0.72)
    if picture.rng.random() < style.flower_boxes:
        _flowers(picture, x0 - 0.1, x1 + 0.1, z0)


def _door(picture: WallPicture, style: Style, middle: float) -> None:
    """The entrance: frame, panels, a lamp, the number and perhaps the sign of a shop."""
    rng, half = picture.rng, picture.rng.uniform(0.5, 0.65)
    picture.rect(middle - half - 0.14, middle + half + 0.14, 0.0, 2.34, style.trim_rgb)
    picture.rect(middle - half, middle + half, 0.0, 2.18, style.door_rgb)
    for z0, z1 in ((0.2, 0.9), (1.05, 1.5)):
        for side in (-1, 1):
            a, b = sorted((middle + side * 0.07, middle + side * (half - 0.1)))
            picture.rect(a, b, z0, z1, style.door_rgb * 0.74)
    _glass(picture, middle - half + 0.12, middle + half - 0.12, 1.62, 2.06)
    picture.rect(middle + half + 0.2, middle + half + 0.38, 1.7, 1.85, (52, 74, 130))
    picture.rect(middle - half - 0.36, middle - half - 0.22, 1.95, 2.2, (236, 222, 170))
    picture.rect(middle - half - 0.2, middle + half + 0.2, -0.2, 0.0, (150, 146, 138))
    if style.sign:
        width = 0.26 * len(style.sign) + 0.5
        left = np.clip(middle - width / 2, 0.2, max(0.2, picture.width_m - width - 0.2))
        board = np.clip(255 - style.door_rgb * rng.uniform(0.4, 0.7), 60, 235)
        picture.rect(left, left + width, 2.42, 3.0, style.door_rgb * 0.6)
        picture.rect(left + 0.05, left + width - 0.05, 2.47, 2.95, board)
        origin = (round((left + 0.18) * picture.scale), round(picture.row(2.56)))
        ink = tuple(float(part) for part in style.door_rgb * 0.4)
        cv2.putText(
            picture.image, style.sign, origin, cv2.FONT_HERSHEY_DUPLEX, 0.0145 * picture.scale, ink, 1, cv2.LINE_AA
        )


def _gate(picture: WallPicture, rgb: np.ndarray, middle: float, width: float, height: float) -> None:
    """A garage or barn gate of boards."""
    x0, x1 = middle - width / 2, middle + width / 2
    picture.rect(x0 - 0.12, x1 + 0.12, 0, height + 0.12, rgb * 0.5)
    picture.rect(x0, x1, 0, height, rgb)
    step = picture.rng.uniform(0.2, 0.5)
    upright = picture.rng.random() < 0.5
    for at in np.arange(step, width if upright else height, step):
        if upright:
            picture.rect(x0 + at, x0 + at + 0.04, 0, height, rgb * 0.7)
        else:
            picture.rect(x0, x1, at, at + 0.05, rgb * 0.7)


def _is_hidden(picture: WallPicture, middle: float, z0: float, width: float) -> bool:
    left, right = middle - width, middle + width
    return any(left < b and right > a and z0 < top + 0.3 for a, b, top in picture.plan.hidden)


def _pointed_windows(picture: WallPicture, style: Style, count: int, z0: float, width: float, height: float) -> None:
    """Pointed windows of a church with a stone surround."""
    for middle in (np.arange(count) + 0.5) / count * picture.width_m:
        if _is_hidden(picture, middle, z0, width / 2):
            continue
        for grow, rgb in ((0.16, style.trim_rgb), (0.0, np.array([58, 62, 78.0]))):
            half, top = width / 2 + grow, z0 + height
            outline = [(middle - half, z0 - grow), (middle - half, top), (middle - half * 0.6, top + half)]
            outline += [(middle, top + 1.5 * half), (middle + half * 0.6, top + half)]
            outline += [(middle + half, top), (middle + half, z0 - grow)]
            px = np.array([[x * picture.scale, picture.row(z)] for x, z in outline])
            cv2.fillPoly(
                picture.image, [np.round(px).astype(np.int32)], tuple(float(part) for part in rgb), cv2.LINE_AA
            )
        for _ in range(12):
            x, z = middle + picture.rng.uniform(-0.35, 0.35) * width, z0 + picture.rng.uniform(0.1, 0.95) * height
            color = np.array([(150, 90, 70), (90, 110, 150), (150, 140, 90)][picture.rng.integers(0, 3)])
            picture.rect(x, x + 0.16, z, z + 0.2, color)


def _clock(picture: WallPicture, z: float) -> None:
    centre = (round(picture.width_m / 2 * picture.scale), round(picture.row(z)))
    for radius, rgb in ((0.95, (70, 62, 52)), (0.85, (226, 220, 202))):
        cv2.circle(picture.image, centre, round(radius * picture.scale), rgb, -1, cv2.LINE_AA)
    for angle in np.arange(12) * np.pi / 6:
        for radius in (0.7, 0.74):
            x = centre[0] + radius * picture.scale * np.sin(angle)
            y = centre[1] - radius * picture.scale * np.cos(angle)
            rect(picture.image, x - 1, y - 1, x + 1, y + 1, (60, 54, 46))
    for angle, length in ((picture.rng.uniform(0, 6.3), 0.45), (picture.rng.uniform(0, 6.3), 0.7)):
        end = (centre[0] + length * picture.scale * np.sin(angle), centre[1] - length * picture.scale * np.cos(angle))
        cv2.line(picture.image, centre, (round(end[0]), round(end[1])), (50, 44, 40), 2, cv2.LINE_AA)


def _house_windows(picture: WallPicture, style: Style) -> None:
    rng, plan = picture.rng, picture.plan
    step = style.window_step_m * (1.0 if plan.role == "front" else rng.uniform(1.0, 1.4))
    count = max(1, int((picture.width_m - 0.6) / step))
    middles = (np.arange(count) + 0.5) / count * picture.width_m
    for storey in range(plan.storeys):
        sill = 0.95 + _STOREY_M * storey
        for middle in middles + rng.normal(0, 0.04, count):
            width, height = np.array(style.window_m) * (1.0 if rng.random() < 0.85 else rng.uniform(0.55, 0.8))
            near_door = storey == 0 and plan.door_m is not None and abs(middle - plan.door_m) < 1.1 + width / 2
            if (
                near_door
                or _is_hidden(picture, middle, sill, width)
                or rng.random() < (0.06 if plan.role == "front" else 0.22)
            ):
                continue
            if sill + height < plan.eave_m - 0.15 and width / 2 + 0.1 < middle < picture.width_m - width / 2 - 0.1:
                _window(picture, style, middle, sill, width, height)
    peak = picture.height_m + plan.foot_m
    if peak - plan.eave_m > 2.2:
        width, height = 0.75 * style.window_m[0], min(1.0, 0.4 * (peak - plan.eave_m))
        for shift in (0.0,) if rng.random() < 0.6 else (-0.6, 0.6):
            _window(picture, style, picture.width_m / 2 + shift, plan.eave_m + 0.2, width, height)


def paint_openings(picture: WallPicture, style: Style) -> None:
    """Paints whatever opens a wall of this role."""
    plan = picture.plan
    if plan.role == "dormer":
        _window(picture, style, picture.width_m / 2, plan.eave_m - 1.0, picture.width_m * 0.6, 0.9)
    elif plan.role == "garage":
        _gate(picture, style.door_rgb, picture.width_m / 2, min(2.6, picture.width_m - 0.7), 2.1)
    elif plan.role == "barn":
        if picture.width_m > 5.0:
            _gate(picture, style.door_rgb * 0.8, picture.width_m * picture.rng.uniform(0.35, 0.65), 3.4, 3.4)
            for x in np.arange(0.8, picture.width_m - 1.0, picture.rng.uniform(2.2, 3.4)):
                picture.rect(x, x + 0.7, plan.eave_m - 0.75, plan.eave_m - 0.35, (52, 52, 54))
    elif plan.role == "church":
        _pointed_windows(picture, style, max(1, int(picture.width_m / 3.4)), 1.9, 0.95, 2.4)
        if plan.door_m is not None:
            _gate(picture, style.door_rgb, plan.door_m, 1.7, 2.6)
    elif plan.role == "tower":
        _pointed_windows(picture, style, 1, plan.eave_m - 3.0, 0.9, 1.4)
        _clock(picture, plan.eave_m - 4.6)
        for z in (3.0, 6.5):
            picture.rect(picture.width_m / 2 - 0.18, picture.width_m / 2 + 0.18, z, z + 1.1, (50, 52, 56))
    else:
        _house_windows(picture, style)
        if plan.door_m is not None:
            _door(picture, style, plan.door_m)
