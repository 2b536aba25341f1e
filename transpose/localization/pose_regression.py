"""Localization by pose regression: a network states the pose of an image outright.

It knows nothing of cameras: an image taken with another focal length than the training images looks as if it were taken
from nearer or farther, and is located there. No geometry checks what comes out; how far draws of the network's dropout
agree, and how large errors were on frames kept out of training, tell what it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.averages import mean_pose
from transpose.geometry.poses import Pose, compose, invert, log_se3
from transpose.localization.localizer import Localizer
from transpose.localization.query import Query
from transpose.losses.pose import log_quaternions, rotations_of
from transpose.models.atloc import AtLoc, AtLocConfig
from transpose.models.precision import autocast, fast_dtype
from transpose.runs import Checkpoint
from transpose.scenes.resizing import cut_square
from transpose.solvers import PoseEstimate

_LITTLE = 0.5  # of the spread of the place's cameras: a position less sure than this is refused
_DRAWS = 64


@dataclass(frozen=True, eq=False)
class PoseStandard:
    """The poses of a training, about which a network's outputs (n, 6) are: positions and logarithms of quaternions.

    Attributes:
        mean_3, std_3: of the positions, float64, world.
        R_33: mean rotation, camera to world.
    """

    mean_3: np.ndarray
    std_3: np.ndarray
    R_33: np.ndarray

    @classmethod
    def of(cls, T_n44: np.ndarray) -> PoseStandard:
        """Of training poses; along an axis in which none moves, lengths stay as they are along the others."""
        std_3 = T_n44[:, :3, 3].std(0)
        largest = std_3.max() if std_3.max() > 0 else 1.0
        rotation_33 = mean_pose(T_n44, np.ones(len(T_n44))).R_wc
        return cls(T_n44[:, :3, 3].mean(0), np.where(std_3 > 1e-3 * largest, std_3, largest), rotation_33)

    @classmethod
    def from_config(cls, config: AtLocConfig, origin_3: np.ndarray) -> PoseStandard:
        """As the network keeps it."""
        return cls(np.array(config.mean) + origin_3, np.array(config.std), np.array(config.rotation))

    def outputs(self, T_n44: np.ndarray) -> np.ndarray:
        """What a network should say (n, 6) of poses, camera-to-world."""
        position_n3 = (T_n44[:, :3, 3] - self.mean_3) / self.std_3
        return np.concatenate([position_n3, log_quaternions(self.R_33.T @ T_n44[:, :3, :3])], 1)

    def poses(self, out_n6: np.ndarray) -> np.ndarray:
        """The inverse of `outputs`: (n, 4, 4)."""
        return compose(self.R_33 @ rotations_of(out_n6[:, 3:]), self.mean_3 + self.std_3 * out_n6[:, :3])


class PoseRegressionLocalizer(Localizer):
    """Tells where an image was taken, from the network of a run's checkpoint.

    Args:
        checkpoint: on disk or in memory.
        device: where the network runs.
        precision: "auto", "float32" or "bfloat16".

    Raises:
        TransposeError: the checkpoint has no network of this kind, or weights that do not fit it.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | torch.device = "cpu", precision: str = "auto") -> None:
        self.checkpoint, self.camera = checkpoint, checkpoint.camera.camera
        self._device = torch.device(device)
        self._dtype = fast_dtype(self._device, precision)
        self._network = atloc_of(checkpoint).to(self._device).eval()
        self._standard = PoseStandard.from_config(self._network.config, checkpoint.origin_3)

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """See `Localizer`; the draws of the dropout, which tell its covariance, depend on `seed`.

        `score` is 1 where all draws agree, and 1/2 where they differ as much as errors were large in training. Refused
        where it is lower than of frames kept out of training, and where the position is hardly surer than that of any
        camera of the place: the network then says little more than their mean.
        """
        estimate = self._stated(query.image_hw3, seed)
        calibration = self.checkpoint.calibration
        assert estimate.covariance_66 is not None
        covariance_66 = calibration.scale(estimate.by) * estimate.covariance_66
        least = calibration.min_score
        if least is not None and (estimate.score < least or self._knows_little(covariance_66)):
            estimate = replace(estimate, pose=None, reason="low_score", covariance_66=None, by="")
        else:
            estimate = replace(estimate, covariance_66=covariance_66)
        return replace(estimate, camera=query.camera, focal_sigma=query.focal_sigma)

    @torch.inference_mode()
    def _stated(self, image_hw3: np.ndarray, seed: int) -> PoseEstimate:
        """The pose that the network states; neither calibrated nor refused."""
        square_hw3 = cut_square(image_hw3, self._network.config.side)
        image_1hw = torch.from_numpy(square_hw3).to(self._device).permute(2, 0, 1)[None].float()
        with autocast(self._device, self._dtype):
            features_1c = self._network.features(image_1hw)
        features_1c = features_1c.float()
        stated_16 = self._network.regressed(features_1c).cpu().double().numpy()
        drawn_m6 = self._network.sampled(features_1c, _DRAWS, seed).cpu().double().numpy()
        pose = Pose(self._standard.poses(stated_16)[0])
        xi_m6 = log_se3(invert(pose.T_wc) @ self._standard.poses(drawn_m6))
        learned_66, drawn_66 = self._learned_covariance(pose), xi_m6.T @ xi_m6 / _DRAWS
        apart = float(np.trace(np.linalg.solve(learned_66, drawn_66))) / 6
        score, covariance_66 = 1 / (1 + apart), learned_66 + drawn_66
        return PoseEstimate(pose, "ok", np.zeros(0, bool), score, covariance_66=covariance_66, by="regression")

    def _knows_little(self, covariance_66: np.ndarray) -> bool:
        return bool(np.sqrt(np.trace(covariance_66[3:, 3:])) >= _LITTLE * np.linalg.norm(self._standard.std_3))

    def _learned_covariance(self, pose: Pose) -> np.ndarray:
        """Over xi, as the loss's scales tell it: errors of a component are Laplace's, of standard deviation sqrt(2) m.

        m is a third of the mean 1-norm of the three components' errors, whose logarithm is what the loss learned.
        """
        mean_2 = np.exp(self._network.log_scales_4[:2].cpu().double().numpy()) / 3
        along_world_33 = np.diag(2 * (mean_2[0] * self._standard.std_3) ** 2)
        out_66 = np.zeros((6, 6))
        out_66[:3, :3] = 2 * (2 * mean_2[1]) ** 2 * np.eye(3)  # the rotation vector is twice the logarithm
        out_66[3:, 3:] = pose.R_wc.T @ along_world_33 @ pose.R_wc
        return out_66


def atloc_of(checkpoint: Checkpoint) -> AtLoc:
    """The network that a checkpoint describes.

    Raises:
        TransposeError: it has none of this kind, or weights that do not fit it.
    """
    stored = checkpoint.network
    if stored is None or stored.name != "atloc":
        raise TransposeError(f"a run of kind {checkpoint.kind!r} needs a network 'atloc'; train it again")
    try:
        network = AtLoc(AtLocConfig(**stored.config))
        network.load_state_dict(stored.weights)
    except (TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise TransposeError(f"the model's weights do not fit its configuration ({why})") from None
    return network
