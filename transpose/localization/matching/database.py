"""The database of a place: the keypoints of its images, what they look like, and which world points they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.global_descriptors import GlobalDescriptor, described_by
from transpose.localization.landmarks import packed_descriptors, unpacked_descriptors


@dataclass(frozen=True, eq=False)
class DatabaseImage:
    """An image of the database.

    Attributes:
        name: its file's path in the scene folder.
        size: width and height of the file.
        camera: of the image at the size in whose pixels its keypoints are.
        pose: in the world, lengths as learned.
    """

    name: str
    size: tuple[int, int]
    camera: Camera
    pose: Pose


@dataclass(frozen=True, eq=False)
class Database:
    """Images with their keypoints, one image's after the other, the best of each first.

    Attributes:
        features: the kind of local features (`transpose.models.local_features.FEATURES`).
        images: in order.
        first_v: number of the first keypoint of each image, and after the last the number of all, (images + 1,).
        px_n2: float32, pixels of the keypoints.
        points_n3: float32, what they show, relative to the run's origin.
        number_n: int32, which of its image's features each was in the file that they were read from, if they were.
        descriptors_nc: int8 (`packed_descriptors`).
        vectors_vd: float16, global descriptors of the images.
        describer: makes such a vector of a query's descriptors.
        covariances_n33: float32, of the points and of a photo's keypoint there, in world axes; None where no point was
            triangulated, and all count alike.
    """

    features: str
    images: Sequence[DatabaseImage]
    first_v: Tensor
    px_n2: Tensor
    points_n3: Tensor
    number_n: Tensor
    descriptors_nc: Tensor
    vectors_vd: Tensor
    describer: GlobalDescriptor
    covariances_n33: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, images_v: Tensor) -> Tensor:
        """Numbers (v, k) of the keypoints of some images; -1 after the last of those that have fewer than others."""
        first_v, count_v = self.first_v[images_v], self.first_v[images_v + 1] - self.first_v[images_v]
        within_k = torch.arange(int(count_v.max()) if len(count_v) else 0, device=first_v.device)
        return torch.where(within_k < count_v[:, None], first_v[:, None] + within_k, -1)

    def descriptors(self, rows: Tensor) -> Tensor:
        """Unit vectors (..., c) float32 of keypoints; zero where the number is -1."""
        found = unpacked_descriptors(self.descriptors_nc[rows.clamp_min(0)])
        return found * (rows >= 0)[..., None]

    def covariances(self, rows_m: Tensor) -> np.ndarray | None:
        """Of the points of keypoints (m, 3, 3), float64; None without any."""
        return None if self.covariances_n33 is None else self.covariances_n33[rows_m].double().cpu().numpy()

    def to(self, device: torch.device) -> Database:
        """The database with its tensors on a device."""
        moved = {name: value.to(device) for name, value in self._tensors().items()}
        return Database(self.features, self.images, describer=self.describer, **moved)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "features": self.features,
            "images": [
                {
                    "name": each.name,
                    "size": list(each.size),
                    "camera": asdict(each.camera),
                    "pose": each.pose.T_wc.tolist(),
                }
                for each in self.images
            ],
            "describer": self.describer.state(),
            **{name: value.cpu() for name, value in self._tensors().items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Database:
        """The inverse of `state`.

        Raises:
            TransposeError: it is damaged, or of another version.
        """
        try:
            images = [
                DatabaseImage(each["name"], tuple(each["size"]), Camera(**each["camera"]), Pose(np.array(each["pose"])))
                for each in state["images"]
            ]
            describer = described_by(state["describer"])
            tensors = {name: state[name] for name in _TENSORS}
            return cls(state["features"], images, describer=describer, **tensors, **_uncertain(state))
        except (KeyError, TypeError, ValueError) as error:
            raise TransposeError(f"the run's database is damaged ({error!r}); train it again") from None

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return tensors if self.covariances_n33 is None else {**tensors, _COVARIANCES: self.covariances_n33}


def _uncertain(state: dict[str, Any]) -> dict[str, Tensor]:
    """The covariances of a state; empty where it has none."""
    return {_COVARIANCES: state[_COVARIANCES]} if _COVARIANCES in state else {}


_COVARIANCES = "covariances_n33"
_TENSORS = ("first_v", "px_n2", "points_n3", "number_n", "descriptors_nc", "vectors_vd")


@dataclass(frozen=True, eq=False)
class ImagePoints:
    """What a database keeps of an image's keypoints, the best first.

    Attributes:
        px_k2: pixels.
        points_k3: what they show, relative to the run's origin.
        number_k: which of the image's features each is.
        descriptors_kc: unit vectors.
        covariances_k33: of the points; None for all images or for none. See `Database`.
    """

    px_k2: np.ndarray
    points_k3: np.ndarray
    number_k: np.ndarray
    descriptors_kc: Tensor
    covariances_k33: np.ndarray | None = None


def assembled(
    features: str,
    images: Sequence[DatabaseImage],
    shown: Sequence[ImagePoints],
    vectors_vd: Tensor,
    describer: GlobalDescriptor,
) -> Database:
    """A database of its images one by one.

    Args:
        features, images, vectors_vd, describer: see `Database`.
        shown: of each image.
    """
    covariances = [each.covariances_k33 for each in shown if each.covariances_k33 is not None]
    count_v = torch.tensor([len(each.px_k2) for each in shown])
    return Database(
        features,
        images,
        torch.cat([torch.zeros(1, dtype=torch.int64), count_v.cumsum(0)]),
        torch.from_numpy(np.concatenate([each.px_k2 for each in shown])).float(),
        torch.from_numpy(np.concatenate([each.points_k3 for each in shown])).float(),
        torch.from_numpy(np.concatenate([each.number_k for each in shown])).int(),
        packed_descriptors(torch.cat([each.descriptors_kc for each in shown])),
        vectors_vd.half(),
        describer,
        torch.from_numpy(np.concatenate(covariances)).float() if covariances else None,
    )
