"""Poses from three points each, many at once, in NumPy (Grunert's solution; Haralick et al., IJCV 1994)."""

from __future__ import annotations

import numpy as np

_REAL = 1e-6


def p3p(rays_b33: np.ndarray, points_b33: np.ndarray) -> np.ndarray:
    """World-to-camera transforms (m, 4, 4) of samples of three rays and three points, up to four of each sample.

    Args:
        rays_b33: directions in the camera's frame, a ray a row, of any length.
        points_b33: in the world, in the same order.
    """
    rays_b33 = rays_b33 / np.linalg.norm(rays_b33, axis=2, keepdims=True)
    with np.errstate(all="ignore"):
        v_bk, u_bk, scale_bk = _ratios(rays_b33, points_b33)
    good_bk = np.isfinite(scale_bk) & (v_bk > 0) & (u_bk > 0)
    sample_m, _ = np.nonzero(good_bk)
    distance_m3 = (scale_bk[..., None] * np.stack([np.ones_like(u_bk), u_bk, v_bk], -1))[good_bk]
    seen_m33 = distance_m3[..., None] * rays_b33[sample_m]
    return _aligned(points_b33[sample_m], seen_m33)


def _ratios(rays_b33: np.ndarray, points_b33: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of the third and the second point over that of the first, and that distance; NaN: no solution."""
    side2 = [((points_b33[:, i] - points_b33[:, j]) ** 2).sum(1) for i, j in ((1, 2), (0, 2), (0, 1))]
    cos_a, cos_b, cos_c = ((rays_b33[:, i] * rays_b33[:, j]).sum(1) for i, j in ((1, 2), (0, 2), (0, 1)))
    a, c = side2[0] / side2[1], side2[2] / side2[1]
    d = a - c
    quartic_b5 = np.stack(
        [
            (d - 1) ** 2 - 4 * c * cos_a**2,
            4 * (d * (1 - d) * cos_b - (1 - a - c) * cos_a * cos_c + 2 * c * cos_a**2 * cos_b),
            2
            * (
                d**2
                - 1
                + 2 * d**2 * cos_b**2
                + 2 * (1 - c) * cos_a**2
                - 4 * (a + c) * cos_a * cos_b * cos_c
                + 2 * (1 - a) * cos_c**2
            ),
            4 * (-d * (1 + d) * cos_b + 2 * a * cos_c**2 * cos_b - (1 - a - c) * cos_a * cos_c),
            (1 + d) ** 2 - 4 * a * cos_c**2,
        ],
        1,
    )
    v_bk = _real_roots(quartic_b5)
    cos_a, cos_b, cos_c, d = (each[:, None] for each in (cos_a, cos_b, cos_c, d))
    u_bk = ((d - 1) * v_bk**2 - 2 * d * cos_b * v_bk + 1 + d) / (2 * (cos_c - v_bk * cos_a))
    scale_bk = np.sqrt(side2[1][:, None] / (1 + v_bk**2 - 2 * v_bk * cos_b))
    return v_bk, u_bk, scale_bk


def _real_roots(quartic_b5: np.ndarray) -> np.ndarray:
    """Real roots (b, 4) of polynomials, the highest power first; NaN in place of those that are not real."""
    monic_b4 = quartic_b5[:, 1:] / quartic_b5[:, :1]
    usable_b = np.isfinite(monic_b4).all(1)
    companion_b44 = np.zeros((len(monic_b4), 4, 4))
    companion_b44[:, 1:, :3] = np.eye(3)
    companion_b44[usable_b, 0] = -monic_b4[usable_b]
    roots_b4 = np.linalg.eigvals(companion_b44)
    real_b4 = (np.abs(roots_b4.imag) <= _REAL * np.maximum(1, np.abs(roots_b4))) & usable_b[:, None]
    return np.where(real_b4, roots_b4.real, np.nan)


def _aligned(points_m33: np.ndarray, seen_m33: np.ndarray) -> np.ndarray:
    """The motions (m, 4, 4) of triangles onto congruent ones."""
    R_m33 = _axes(seen_m33) @ _axes(points_m33).transpose(0, 2, 1)
    T_m44 = np.zeros((len(R_m33), 4, 4))
    T_m44[:, :3, :3], T_m44[:, 3, 3] = R_m33, 1
    T_m44[:, :3, 3] = seen_m33[:, 0] - np.einsum("mij,mj->mi", R_m33, points_m33[:, 0])
    return T_m44[np.isfinite(T_m44).all((1, 2))]


def _axes(triangles_m33: np.ndarray) -> np.ndarray:
    """Orthonormal axes (m, 3, 3), as columns, of triangles."""
    with np.errstate(all="ignore"):
        first = triangles_m33[:, 1] - triangles_m33[:, 0]
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        third = np.cross(first, triangles_m33[:, 2] - triangles_m33[:, 0])
        third /= np.linalg.norm(third, axis=1, keepdims=True)
    return np.stack([first, np.cross(third, first), third], 2)
