"""Checks of intrinsic matrices where they come in: what others write as K, and what to do about it."""

from __future__ import annotations

import math

from torch import Tensor

from transpose.geometry.cameras import MOST_SKEW

_ROUNDING = 1e-9


def check_intrinsics(K: Tensor, b: int, skew: bool = False) -> None:
    """Refuses what is no matrix fx s cx / 0 fy cy / 0 0 1 in pixels, by what it seems to be instead.

    Args:
        K: one (3, 3), or (b, 3, 3).
        b: how many images there are.
        skew: whether s may be other than 0.

    Raises:
        ValueError: with the remedy.
    """
    if K.shape not in ((3, 3), (b, 3, 3), (1, 3, 3)):
        raise ValueError(f"K must be (3, 3) or ({b}, 3, 3), or a Camera, got {tuple(K.shape)}{_remedy_of_shape(K, b)}")
    for K_33 in K.detach().reshape(-1, 9).unique(dim=0).tolist() if K.ndim == 3 else [K.detach().flatten().tolist()]:
        fault = _fault(K_33, skew)
        if fault:
            raise ValueError(f"K must be fx 0 cx / 0 fy cy / 0 0 1; {fault}; got {[K_33[:3], K_33[3:6], K_33[6:]]}")


def _remedy_of_shape(K: Tensor, b: int) -> str:
    if K.shape[-2:] == (3, 4):
        return "; pass the left part K[:, :3] of a projection matrix whose last column is zero"
    if K.shape[-2:] == (4, 4):
        return "; pass the upper left part K[:3, :3]"
    if K.numel() in (9, 9 * b):
        return "; reshape it to 3 rows of 3"
    return ""


def _fault(K_9: list[float], skew: bool) -> str:
    """What is wrong with a matrix, given by its rows, and the remedy; empty where nothing is."""
    if not all(map(math.isfinite, K_9)):
        return "this one is not finite"
    fx, s, cx, m10, fy, cy, m20, m21, corner = K_9
    rounding = _ROUNDING * max(map(abs, K_9))
    if max(abs(m10), abs(m20), abs(m21)) > rounding:
        if max(abs(cx), abs(cy)) <= rounding < max(abs(m20), abs(m21)):
            return "this one is transposed, as MATLAB and column-major exports have it: pass K.T"
        return "this one has numbers other than 0 below its diagonal"
    if abs(corner - 1) > _ROUNDING:
        return f"this one ends in {corner:g}" + (": divide the matrix by it" if corner else "")
    if min(fx, fy) < 0:
        return (
            "a negative focal length stands for image or camera axes that point elsewhere: turn pixels to x right and "
            "y down and the camera to look along +z, and pass positive focal lengths"
        )
    if min(fx, fy) == 0:
        return "focal lengths must be positive"
    if not skew and abs(s) > MOST_SKEW * fx:
        return (
            f"this one has a skew of {s:g} px: set it to 0 if calibration left it, or subtract skew * (v - cy) / fy "
            "from the pixels' u first"
        )
    return ""
