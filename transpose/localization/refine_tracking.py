"""Where the surroundings of points of a render lie in a photo, to a fraction of a pixel.

Between a photo and a render at nearly its pose lies a small, smooth motion, so that patches can be laid over one
another, from coarse to fine. Matched keypoints of both would be less exact: they are drawn to the middles of pixels and
to the blocks in which a network looks for them, and a small motion between the two comes out too small.
"""

from __future__ import annotations

import cv2
import numpy as np

_WINDOW_PX = 21
_LEVELS = 4  # of halved images; with the window, motions of a tenth of the image are found on 160,000 pixels
_CONTRAST_PX = 8.0  # sigma of the neighbourhood within which brightness and contrast are made equal
_LEAST_CONTRAST = 3.0  # grey levels: below it is noise
_STEPS, _LAST_STEP_PX = 20, 0.01
_THERE_AND_BACK_PX = 0.7


def even_contrast(image_hw3: np.ndarray) -> np.ndarray:
    """An RGB image as grey levels (height, width) uint8 of one brightness and contrast everywhere.

    Light and exposure of a photo are not those of a render.
    """
    grey_hw = cv2.cvtColor(image_hw3, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey_hw -= cv2.GaussianBlur(grey_hw, (0, 0), _CONTRAST_PX)
    sigma_hw = np.sqrt(cv2.GaussianBlur(grey_hw * grey_hw, (0, 0), _CONTRAST_PX)) + _LEAST_CONTRAST
    even_hw: np.ndarray = np.clip(127 + 40 * grey_hw / sigma_hw, 0, 255).astype(np.uint8)
    return even_hw


def tracked(render_hw: np.ndarray, photo_hw: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    """Pixels (n, 2) of a photo that show what a render shows at `px_n2`; NaN where that is not found.

    By the method of Lucas and Kanade (IJCAI 1981) on pyramids (Bouguet, 2000), there and back.

    Args:
        render_hw, photo_hw: of one size, as `even_contrast` gives them.
        px_n2: continuous pixels of the render.
    """
    if len(px_n2) == 0:
        return np.zeros((0, 2))
    there_n2, found_n = _flow(render_hw, photo_hw, px_n2, px_n2)
    back_n2, again_n = _flow(photo_hw, render_hw, there_n2, px_n2)
    found_n &= again_n & (np.linalg.norm(back_n2 - px_n2, axis=1) < _THERE_AND_BACK_PX)
    return np.where(found_n[:, None], there_n2, np.nan)


def _flow(
    from_hw: np.ndarray, to_hw: np.ndarray, px_n2: np.ndarray, start_px_n2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # OpenCV counts pixel centres at integers.
    points_n12, start_n12 = (
        np.ascontiguousarray(each_n2 - 0.5, np.float32).reshape(-1, 1, 2) for each_n2 in (px_n2, start_px_n2)
    )
    end_n12, found_n1, _ = cv2.calcOpticalFlowPyrLK(
        from_hw,
        to_hw,
        points_n12,
        start_n12,
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _STEPS, _LAST_STEP_PX),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-3,
    )
    return end_n12[:, 0].astype(np.float64) + 0.5, found_n1[:, 0].astype(bool)
