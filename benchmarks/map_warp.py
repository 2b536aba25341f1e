"""A map that is bent: a smooth field of displacements, as drift of a scanner or of a bundle adjustment leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

_WAVES = 48
_SAMPLE = 4000


@dataclass(frozen=True, eq=False)
class Warp:
    """Displacements that are sums of plane waves, less what a similarity transform of the map would do.

    Waves are an eighth to twice as long as the map, and the longer the higher, by the square root of their length.

    Attributes:
        center_3: of the map.
        wave_k3: wave vectors, radians a metre.
        phase_k: radians.
        height_k3: metres.
        similarity_7: shift, turn and growth that are taken away.
    """

    center_3: np.ndarray
    wave_k3: np.ndarray
    phase_k: np.ndarray
    height_k3: np.ndarray
    similarity_7: np.ndarray

    @classmethod
    def drawn(cls, points_n3: np.ndarray, sigma_m: float, rng: np.random.Generator) -> Warp:
        """One that moves the points of a map by a standard deviation of `sigma_m` along each axis."""
        points_n3 = points_n3[rng.permutation(len(points_n3))[:_SAMPLE]]
        low_3, high_3 = np.quantile(points_n3, [0.05, 0.95], axis=0)
        extent = float(np.linalg.norm(high_3 - low_3))
        length_k = np.exp(rng.uniform(np.log(extent / 8), np.log(2 * extent), _WAVES))
        direction_k3 = rng.normal(size=(_WAVES, 3))
        direction_k3 /= np.linalg.norm(direction_k3, axis=1, keepdims=True)
        height_k3 = rng.normal(size=(_WAVES, 3)) * np.sqrt(length_k / extent)[:, None]
        wave_k3, phase_k = 2 * np.pi * direction_k3 / length_k[:, None], rng.uniform(0, 2 * np.pi, _WAVES)
        plain = cls(points_n3.mean(0), wave_k3, phase_k, height_k3, np.zeros(7))
        moved_n3 = plain(points_n3)
        design = plain._similarity(points_n3).reshape(-1, 7)
        similarity_7 = np.linalg.lstsq(design, moved_n3.ravel(), rcond=None)[0]
        left = moved_n3.ravel() - design @ similarity_7
        scale = sigma_m / float(np.sqrt((left**2).mean()))
        return cls(plain.center_3, wave_k3, phase_k, scale * height_k3, scale * similarity_7)

    def __call__(self, points_n3: np.ndarray) -> np.ndarray:
        """By how much points of the map are moved (n, 3), metres."""
        waves_n3 = np.cos(points_n3 @ self.wave_k3.T + self.phase_k) @ self.height_k3
        return np.asarray(waves_n3 - self._similarity(points_n3) @ self.similarity_7)

    def of_tensor(self, points_n3: torch.Tensor) -> torch.Tensor:
        """Points where the warp has them."""
        local_n3 = points_n3.double().numpy()
        return torch.from_numpy(local_n3 + self(local_n3)).to(points_n3.dtype)

    def _similarity(self, points_n3: np.ndarray) -> np.ndarray:
        """Derivatives (n, 3, 7) of points by shift, turn and growth about the map's center."""
        x_n, y_n, z_n = (points_n3 - self.center_3).T
        zero_n, one_n = np.zeros_like(x_n), np.ones_like(x_n)
        rows = (
            (one_n, zero_n, zero_n, zero_n, z_n, -y_n, x_n),
            (zero_n, one_n, zero_n, -z_n, zero_n, x_n, y_n),
            (zero_n, zero_n, one_n, y_n, -x_n, zero_n, z_n),
        )
        return np.stack([np.stack(row, 1) for row in rows], 1)
