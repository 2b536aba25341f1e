"""Colours by which cameras and amounts are told apart."""

from __future__ import annotations

import numpy as np

# Okabe and Ito's palette, which the colour-blind can tell apart; blue and orange stand for truth and estimate.
SECTION_COLORS = ((0, 114, 178), (0, 158, 115), (204, 121, 167), (86, 180, 233), (240, 228, 66), (90, 90, 90))
TRUTH, ESTIMATE, ERROR, REFUSED = (0, 114, 178), (230, 159, 0), (213, 94, 0), (120, 120, 120)
# Anchors of a ramp from dark blue over green to yellow, of rising lightness.
_RAMP_R3 = np.array([(40, 30, 90), (48, 100, 142), (31, 158, 137), (122, 209, 81), (253, 231, 37)], np.float64)


def ramp(values_n: np.ndarray, high: float) -> np.ndarray:
    """Colours (n, 3) uint8 of amounts from 0 to `high`; what is above has the last colour."""
    place_n = np.clip(np.asarray(values_n, np.float64) / max(high, 1e-12), 0, 1) * (len(_RAMP_R3) - 1)
    rgb = [np.interp(place_n, np.arange(len(_RAMP_R3)), _RAMP_R3[:, c]) for c in range(3)]
    return np.stack(rgb, -1).round().astype(np.uint8)
