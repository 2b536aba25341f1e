"""Many small pictures on one texture, with gutters so that mip levels do not bleed."""

from __future__ import annotations

import cv2
import numpy as np

GUTTER_PX = 16


class Atlas:
    """Collects pieces, packs them on shelves and translates coordinates."""

    def __init__(self, width_px: int) -> None:
        self._width_px = width_px
        self._pieces: list[np.ndarray] = []
        self._corners_n2 = np.zeros((0, 2))
        self._height_px = 0

    def add(self, image_hw3: np.ndarray) -> int:
        """Takes a picture and returns the number of the piece."""
        self._pieces.append(image_hw3)
        return len(self._pieces) - 1

    def pack(self, multiple_px: int = 512) -> np.ndarray:
        """The texture; the gutters repeat the borders of the pieces, the height is rounded up to a multiple."""
        sizes = np.array([piece.shape[:2] for piece in self._pieces]) + 2 * GUTTER_PX
        self._width_px = max(self._width_px, int(sizes[:, 1].max()))
        self._corners_n2 = np.zeros((len(sizes), 2))
        column = row = shelf = 0
        # Tall pieces first: a shelf's height is set by its first piece.
        for index in np.argsort(-sizes[:, 0], kind="stable"):
            height, width = (int(side) for side in sizes[index])
            if column + width > self._width_px:
                column, row, shelf = 0, row + shelf, 0
            self._corners_n2[index] = column, row
            column, shelf = column + width, max(shelf, height)
        self._height_px = -(-(row + shelf) // multiple_px) * multiple_px
        texture = np.full((self._height_px, self._width_px, 3), 128, np.uint8)
        for piece, (left, top) in zip(self._pieces, self._corners_n2.astype(int), strict=True):
            border = cv2.copyMakeBorder(piece, GUTTER_PX, GUTTER_PX, GUTTER_PX, GUTTER_PX, cv2.BORDER_REPLICATE)
            texture[top : top + border.shape[0], left : left + border.shape[1]] = border
        return texture

    def texture_uv(self, px_f32: np.ndarray, piece_f: np.ndarray) -> np.ndarray:
        """Texture coordinates in [0, 1] of pixels (column, row) of pieces."""
        corner = self._corners_n2[piece_f] + GUTTER_PX
        return (px_f32 + corner[:, None, :]) / [self._width_px, self._height_px]
