"""UDIM: a material whose picture is one of several tiles, by the whole part of its texture coordinates."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

_MARK = re.compile(r"<udim>|%\(udim\)d", re.IGNORECASE)
_NUMBER = re.compile(r"(?<!\d)1\d{3}(?=\.\w+$)")
_FIRST, _COLUMNS = 1001, 10


def udim_tiles(name: str, uv_f32: np.ndarray, is_there: Callable[[str], bool]) -> list[tuple[str, np.ndarray]]:
    """The pictures that faces show, and which faces (faces,) show each.

    A name is one of tiles if it has the mark `<UDIM>`, or the number 1001, while another tile's number that texture
    coordinates ask for is there, too; else it repeats beyond its borders, as pictures do.

    Args:
        name: of the picture as the file writes it.
        uv_f32: of the faces' corners, v upwards.
        is_there: whether there is a picture of a name.
    """
    tile_f2 = np.floor(uv_f32.mean(axis=1)).astype(np.int64)
    number_f = _FIRST + tile_f2[:, 0] + _COLUMNS * tile_f2[:, 1]
    numbers = [int(number) for number in np.unique(number_f)]
    if _MARK.search(name):
        return [(_MARK.sub(str(number), name), number_f == number) for number in numbers]
    match = _NUMBER.search(name)
    if match is None or int(match[0]) != _FIRST or tile_f2.min() < 0 or tile_f2[:, 0].max() >= _COLUMNS:
        return [(name, np.ones(len(number_f), bool))]
    names = {number: _NUMBER.sub(str(number), name) for number in numbers}
    if not any(is_there(names[number]) for number in numbers if number != _FIRST):
        return [(name, np.ones(len(number_f), bool))]
    return [(names[number], number_f == number) for number in numbers]
