"""What a network says of an image: a world point for each cell, and how far off it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera, cell_points
from transpose.losses.uncertainty import StatedUncertainty
from transpose.models.networks import build_network, load_network_state
from transpose.models.precision import autocast

_MAX_CORRESPONDENCES = 5000


@dataclass(frozen=True)
class CoordinateMap:
    """World points of the cells, and their covariances.

    Attributes:
        points_hw3: float64, metres.
        raw_hwk: the network's outputs on its error, float64.
        stated: what they mean.
        camera: of the image that the network saw.
    """

    points_hw3: np.ndarray
    raw_hwk: np.ndarray
    stated: StatedUncertainty
    camera: Camera

    @property
    def has_uncertainty(self) -> bool:
        """Whether the network says anything of its error."""
        return self.raw_hwk.shape[2] > 0

    def cell_px(self) -> np.ndarray:
        """Continuous pixels (rows, columns, 2) of the cells, in the image that the network saw."""
        return cell_points(self.camera.width, self.camera.height)

    def sigma_hw(self) -> np.ndarray:
        """Standard deviation along an axis, root mean square over the axes, metres; infinite where nothing is said."""
        rows, columns = self.raw_hwk.shape[:2]
        if not self.has_uncertainty:
            return np.full((rows, columns), np.inf)
        trace_n = self._covariances(None).diagonal(dim1=1, dim2=2).mean(1)
        return trace_n.sqrt().numpy().reshape(rows, columns)

    def covariances(self, R_wc_33: np.ndarray | None) -> np.ndarray:
        """Of the points, world axes, (rows, columns, 3, 3), metres squared.

        Args:
            R_wc_33: camera to world, by which errors stated along viewing rays become errors in the world. None: their
                mean over the axes, alike in all directions.
        """
        return self._covariances(R_wc_33).numpy().reshape(*self.raw_hwk.shape[:2], 3, 3)

    def correspondences(self, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World points (n, 3), their pixels (n, 2) in the image of `camera`, and which cells they are (n,).

        Those inside the image, and of too many the surest. `camera` is that of the image as it was given; what the
        network saw may have been smaller.
        """
        px_n2 = self.cell_px().reshape(-1, 2)
        inside_n = np.flatnonzero((px_n2 < (self.camera.width, self.camera.height)).all(1))
        if self.has_uncertainty:
            sigma_n = self.sigma_hw().reshape(-1)[inside_n]
            keep_n = inside_n[np.argsort(sigma_n, kind="stable")[:_MAX_CORRESPONDENCES]]
        else:
            keep_n = inside_n[:: -(-len(inside_n) // _MAX_CORRESPONDENCES)]
        scale_2 = camera.width / self.camera.width, camera.height / self.camera.height
        return self.points_hw3.reshape(-1, 3)[keep_n], px_n2[keep_n] * scale_2, keep_n

    def _covariances(self, R_wc_33: np.ndarray | None) -> Tensor:
        raw_nk = torch.from_numpy(self.raw_hwk).flatten(0, 1)
        rays_n3 = torch.from_numpy(self.camera.unproject(self.cell_px().reshape(-1, 2)))
        if R_wc_33 is None and self.stated.of.kind == "diagonal":
            return self.stated.isotropic_covariance(raw_nk)
        R_33 = torch.eye(3, dtype=torch.float64) if R_wc_33 is None else torch.from_numpy(R_wc_33)
        return self.stated.covariance(raw_nk, rays_n3, R_33.expand(len(raw_nk), 3, 3))


class CoordinateNetwork:
    """A run's network, as its checkpoint describes it.

    Args:
        checkpoint: of `runs.load_model`.
        device: where it runs.
        dtype: of the hidden layers.
    """

    def __init__(self, checkpoint: dict[str, Any], device: torch.device, dtype: torch.dtype) -> None:
        self.module = build_network(checkpoint["network"], checkpoint["network_config"])
        try:
            load_network_state(self.module, checkpoint["weights"])
        except RuntimeError as error:
            raise TransposeError(f"the model's weights do not fit its configuration ({error})") from None
        self.module.to(device).eval()
        self.origin_3 = np.array(checkpoint["origin"])
        self.height: int | None = checkpoint.get("height")
        self.stated = StatedUncertainty.from_state(checkpoint["uncertainty"], checkpoint.get("temperature", 1.0))
        self._device, self._dtype = device, dtype

    @torch.no_grad()
    def coordinates(self, features_bchw: Tensor, camera: Camera) -> CoordinateMap:
        """The map of the features of one image."""
        with autocast(self._device, self._dtype):
            out_khw = self.module.head(features_bchw)[0]
        out_hwk = out_khw.permute(1, 2, 0).double().cpu().numpy()
        return CoordinateMap(out_hwk[..., :3] + self.origin_3, out_hwk[..., 3:], self.stated, camera)
