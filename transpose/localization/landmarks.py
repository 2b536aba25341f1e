"""Landmarks: distinct points of a place with the descriptors by which a photo's keypoints are recognized as them.

The coordinate head answers for every cell, to a few centimetres; a landmark is a corner that many views agreed on, and
is found in a photo to a pixel. Where enough of them are matched, the pose comes from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform
from transpose.models.keypoints import Keypoints
from transpose.models.matching import mutual_matches

MIN_SIMILARITY = 0.7
_DESCRIPTOR_LEVELS = 254.0  # of a unit vector's components, of which next to none exceed a half
_TOWARD_LEVELS = 127.0
_SURROUNDINGS = 8  # landmarks that tell from where a point that is none can be seen
_MOST_NEIGHBOURS = 256
# Of how alike two descriptors are, in proportion to which pairs are right: of 80 photos and renders of RedKitchen and
# of the village, blurred, dark and half hidden ones among them, a power of 8 to 25 fits, and the sharpest finds most.
_LIKELIHOOD_POWER = 25


@dataclass(frozen=True)
class LandmarkMap:
    """`points_n3` float32 relative to the run's origin, metres; `descriptors_nc` float32 unit vectors.

    `toward_n3` float32: the mean of the unit vectors from each to the cameras that saw it, short where these were all
    around; None where nobody knows.
    """

    points_n3: Tensor
    descriptors_nc: Tensor
    toward_n3: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points_n3)

    def strongest(self, most: int) -> LandmarkMap:
        """The first so many: maps begin with the points that most views agreed on."""
        toward_n3 = None if self.toward_n3 is None else self.toward_n3[:most]
        return LandmarkMap(self.points_n3[:most], self.descriptors_nc[:most], toward_n3)

    def toward_m3(self, which_m: np.ndarray) -> np.ndarray | None:
        """Of some (m,) of them the directions (m, 3) float64 to the cameras that saw them; None: nobody knows."""
        return None if self.toward_n3 is None else self.toward_n3.cpu().double().numpy()[which_m]

    def toward_near(self, points_m3: np.ndarray) -> np.ndarray | None:
        """The mean direction (m, 3) to the cameras that saw what is nearest to points, relative to the run's origin."""
        if self.toward_n3 is None or len(self) == 0:
            return None
        _, near_mk = self._tree.query(points_m3, k=np.arange(1, min(_SURROUNDINGS, len(self)) + 1))
        return np.asarray(self.toward_n3.cpu().double().numpy()[near_mk].mean(1))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points_n3.cpu().double().numpy())

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: descriptors and directions in a byte a number."""
        kept = {"points": self.points_n3.cpu(), "descriptors": packed_descriptors(self.descriptors_nc).cpu()}
        if self.toward_n3 is not None:
            kept["toward"] = (self.toward_n3 * _TOWARD_LEVELS).round().to(torch.int8).cpu()
        return kept

    @classmethod
    def from_state(cls, state: dict[str, Tensor], device: torch.device) -> LandmarkMap:
        """The map that `state` was taken of, but for rounding.

        Raises:
            TransposeError: it does not fit together, as of a damaged or foreign model.
        """
        count = len(state["descriptors"])
        if any(state[name].shape != (count, 3) for name in ("points", "toward") if name in state):
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
            raise TransposeError(f"the model's landmarks do not fit together ({shapes}); train it again")
        toward_n3 = state["toward"].to(device).float() / _TOWARD_LEVELS if "toward" in state else None
        return cls(state["points"].to(device), unpacked_descriptors(state["descriptors"].to(device)), toward_n3)


def packed_descriptors(descriptors_nc: Tensor) -> Tensor:
    """Unit vectors (..., c) with a byte a channel, int8."""
    return (descriptors_nc * _DESCRIPTOR_LEVELS).round().clamp(-127, 127).to(torch.int8)


def unpacked_descriptors(packed_nc: Tensor) -> Tensor:
    """The unit vectors (..., c) float32 of which `packed_descriptors` was taken, but for rounding."""
    return F.normalize(packed_nc.float(), dim=-1)


@dataclass(frozen=True)
class Matches:
    """Which keypoints are taken for which landmarks, indices (m,), and how alike they look, cosines (m,)."""

    keypoint_m: np.ndarray
    landmark_m: np.ndarray
    similarity_m: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoint_m)

    @property
    def likelihood_m(self) -> np.ndarray:
        """How likely each is right by how alike its two look, up to a factor; 1 where they are equal."""
        return np.asarray(self.similarity_m.clip(MIN_SIMILARITY) ** _LIKELIHOOD_POWER, np.float64)

    @property
    def strength(self) -> float:
        """How much speaks for it, before any pose, that an image shows the place: the sum of the likelihoods."""
        return float(self.likelihood_m.sum())


def match_everywhere(keypoints: Keypoints, landmarks: LandmarkMap) -> Matches:
    """Pairs that are each other's most similar, wherever in the place; needs no pose."""
    keypoint_m, landmark_m = mutual_matches(keypoints.descriptors_nc, landmarks.descriptors_nc, MIN_SIMILARITY)
    similarity_m = (keypoints.descriptors_nc[keypoint_m] * landmarks.descriptors_nc[landmark_m]).sum(1)
    return Matches(keypoint_m.cpu().numpy(), landmark_m.cpu().numpy(), similarity_m.cpu().numpy())


def match_near(keypoints: Keypoints, landmarks: LandmarkMap, pose: Pose, camera: Camera, radius_px: float) -> Matches:
    """As `match_everywhere`, among the landmarks that `pose`, relative to the map's origin, puts near a keypoint."""
    px_l2 = camera.project(transform(pose.T_cw, landmarks.points_n3.double().cpu().numpy()))
    with np.errstate(invalid="ignore"):
        inside_l = ((px_l2 > -radius_px) & (px_l2 < np.array([camera.width, camera.height]) + radius_px)).all(1)
    seen_v = np.flatnonzero(inside_l)
    if len(keypoints) == 0 or len(seen_v) == 0:
        return Matches(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    # Landmarks lie closer than one a pixel only where they look different.
    count = min(_MOST_NEIGHBOURS, len(seen_v), math.ceil(math.pi * radius_px**2))
    px_n2 = keypoints.px_n2.double().cpu().numpy()
    _, near_nk = cKDTree(px_l2[seen_v]).query(px_n2, k=np.arange(1, count + 1), distance_upper_bound=radius_px)
    # Columns of the farthest neighbours that no keypoint has cost as much as those of the nearest.
    near_nk = near_nk[:, : max(1, int((near_nk < len(seen_v)).sum(1).max()))]
    device = keypoints.px_n2.device
    none_nk = torch.from_numpy(near_nk == len(seen_v)).to(device)
    landmark_nk = torch.from_numpy(seen_v[np.minimum(near_nk, len(seen_v) - 1)]).to(device)
    similarity_nk = torch.einsum("nkc,nc->nk", landmarks.descriptors_nc[landmark_nk], keypoints.descriptors_nc)
    similarity_nk = similarity_nk.masked_fill(none_nk, -1.0)
    best_n, which_n = similarity_nk.max(1)
    landmark_n = landmark_nk.gather(1, which_n[:, None])[:, 0]
    best_l = torch.full((len(landmarks),), -1.0, device=device)
    best_l.scatter_reduce_(0, landmark_nk.reshape(-1), similarity_nk.reshape(-1), "amax")
    kept_m = ((best_n >= best_l[landmark_n]) & (best_n > MIN_SIMILARITY)).nonzero()[:, 0]
    return Matches(kept_m.cpu().numpy(), landmark_n[kept_m].cpu().numpy(), best_n[kept_m].cpu().numpy())
