"""Localization by retrieval: an image was taken where the images of a database that look like it were taken.

The floor of what localization can be. No pose comes out that is not one of the database's, or between some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.averages import robust_mean_pose
from transpose.geometry.poses import Pose, invert, log_se3
from transpose.localization.global_descriptors import GlobalDescriptor, described_by, nearest
from transpose.localization.localizer import Localizer
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.rerank import nearest_reranked
from transpose.localization.seeing import see
from transpose.models.local_features import FEATURES, LocalFeatures
from transpose.models.precision import fast_dtype
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate

RetrievedPose = Literal["nearest", "interpolated"]
_SOFTNESS = 0.1  # by so much less similar, an image weighs e times less


@dataclass(frozen=True)
class RetrievalOptions:
    """How a pose is made of what is retrieved.

    Attributes:
        pose: "nearest": that of the most similar image; "interpolated": the robust mean of those of the `top` most
            similar, by their similarity.
        keypoints: of an image, the strongest, that describe it.
        top: images that say how far the pose may be off, and of which it is interpolated.
        rerank: whether the most similar are put in another order by their mutual neighbours.
    """

    pose: RetrievedPose = "interpolated"
    keypoints: int = 1000
    top: int = 10
    rerank: bool = False

    def __post_init__(self) -> None:
        if self.pose not in ("nearest", "interpolated"):
            raise ValueError(f"pose is nearest or interpolated, not {self.pose}")
        if min(self.keypoints, self.top) < 1:
            raise ValueError(f"keypoints and top must be 1 or more, not {self.keypoints}, {self.top}")


@dataclass(frozen=True, eq=False)
class PoseDatabase:
    """Images by what they look like as a whole, and where they were taken.

    Attributes:
        describer: makes the vector of an image of its local descriptors.
        vectors_nd: float32 unit vectors of the images.
        T_n44: float64, camera-to-world, lengths as learned.
        options: how poses are made of them.
    """

    describer: GlobalDescriptor
    vectors_nd: Tensor
    T_n44: np.ndarray
    options: RetrievalOptions

    def __len__(self) -> int:
        return len(self.T_n44)

    def without(self, images: Sequence[int]) -> PoseDatabase:
        """The database without some of its images."""
        kept = np.setdiff1d(np.arange(len(self)), images)
        return replace(self, vectors_nd=self.vectors_nd[torch.from_numpy(kept)], T_n44=self.T_n44[kept])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "describer": self.describer.state(),
            "vectors": self.vectors_nd.half().cpu(),
            "poses": torch.from_numpy(self.T_n44),
            "options": vars(self.options).copy(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], device: torch.device) -> PoseDatabase:
        """The inverse of `state`.

        Raises:
            TransposeError: it is damaged, or of another version.
        """
        try:
            vectors_nd, T_n44 = state["vectors"].to(device).float(), state["poses"].double().cpu().numpy()
            if len(vectors_nd) != len(T_n44) or len(T_n44) == 0 or T_n44.shape[1:] != (4, 4):
                raise ValueError(f"{len(vectors_nd)} images and poses {T_n44.shape}")
            describer, options = described_by(state["describer"]), RetrievalOptions(**state["options"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TransposeError(f"the run's database is damaged ({error!r}); train it again") from None
        return cls(describer, torch.nn.functional.normalize(vectors_nd, dim=1), T_n44, options)


class RetrievalLocalizer(Localizer):
    """Tells where an image was taken, from the database of a run's checkpoint.

    The camera of the image only decides at which scale it is looked at.

    Args:
        checkpoint: on disk or in memory.
        device: where networks run.
        precision: "auto", "float32" or "bfloat16".
        options: of localization; how large an image may be seen.

    Raises:
        TransposeError: the checkpoint has no database, or a damaged one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        options: LocalizationOptions | None = None,
    ) -> None:
        if checkpoint.database is None:
            raise TransposeError(f"a run of kind {checkpoint.kind!r} has no database to retrieve from; train it again")
        self.checkpoint, self.camera = checkpoint, checkpoint.camera.camera
        self._device, self._seeing = torch.device(device), options or LocalizationOptions()
        self.database = PoseDatabase.from_state(checkpoint.database, self._device)
        self._features: LocalFeatures = FEATURES["xfeat"].build(self._device, fast_dtype(self._device, precision))

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """See `Localizer`; nothing is drawn, so `seed` changes nothing. `score` is the largest cosine."""
        estimate = retrieved_pose(self.described(query), self.database)
        calibration = self.checkpoint.calibration
        if estimate.pose is not None and estimate.score < (calibration.min_score or 0.0):
            estimate = replace(estimate, pose=None, reason="low_score", covariance_66=None, by="")
        if estimate.covariance_66 is not None:
            estimate = replace(estimate, covariance_66=calibration.scale(estimate.by) * estimate.covariance_66)
        return replace(estimate, camera=query.camera, focal_sigma=query.focal_sigma)

    def described(self, query: Query) -> Tensor:
        """The vector of a query's image at the learned scale."""
        seen = see(query, self.camera, self.checkpoint.height, self._seeing)
        keypoints = self._features.keypoints(seen.image_hw3, self.database.options.keypoints)
        return self.database.describer.describe(keypoints.descriptors_nc)


def retrieved_pose(vector_d: Tensor, database: PoseDatabase) -> PoseEstimate:
    """The pose of an image by its vector; neither calibrated nor refused but where the image shows nothing.

    Its covariance is the spread of the poses of the most similar images about it, and as much as images of the database
    are apart: nothing tells where between them the image was taken.
    """
    none_n = np.zeros(0, bool)
    if len(database) == 0:  # of one image, which is left out to measure how good the others are
        return PoseEstimate(None, "low_score", none_n)
    if not vector_d.any():
        return PoseEstimate(None, "too_few_points", none_n)
    index_k, similarity_k = _most_similar(vector_d, database)
    T_k44 = database.T_n44[index_k]
    weight_k = np.exp((similarity_k - similarity_k.max()) / _SOFTNESS)
    mean, share_k = robust_mean_pose(T_k44, weight_k)
    pose = mean if database.options.pose == "interpolated" else Pose(T_k44[0])
    xi_k6 = log_se3(invert(pose.T_wc) @ T_k44)
    covariance_66 = np.einsum("k,ki,kj->ij", share_k, xi_k6, xi_k6) + np.diag(spacing(database.T_n44))
    score = float(max(0.0, similarity_k.max()))
    return PoseEstimate(pose, "ok", none_n, score, covariance_66=covariance_66, by="retrieval")


def spacing(T_n44: np.ndarray) -> np.ndarray:
    """Variances (6,), alike along all axes, of the step from an image of a database to the nearest other one."""
    from scipy.spatial import cKDTree

    if len(T_n44) < 2:
        return np.ones(6)
    _, nearest_n2 = cKDTree(T_n44[:, :3, 3]).query(T_n44[:, :3, 3], k=2)
    xi_n6 = log_se3(invert(T_n44) @ T_n44[nearest_n2[:, 1]])
    squared_n2 = np.square(xi_n6).reshape(-1, 2, 3).sum(2) / 3
    return np.repeat(np.median(squared_n2, axis=0).clip(1e-12), 3)


def _most_similar(vector_d: Tensor, database: PoseDatabase) -> tuple[np.ndarray, np.ndarray]:
    """The `top` images (k,) and their cosines (k,), the nearest first."""
    find = nearest_reranked if database.options.rerank else nearest
    index_k, similarity_k = find(vector_d, database.vectors_nd, database.options.top)
    return index_k.cpu().numpy(), similarity_k.cpu().double().numpy()
