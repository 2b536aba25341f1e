"""How far a depth sensor is off, held against the points that the photos beside it triangulate.

Consumer depth sensors stretch what they see, near and far, left and right, by a per cent or more; poses and photos
agree with one another far better. A world fused from such depth lies where no pose puts it, and every pose that rests
on the world inherits that (RedKitchen: 0.8 % a metre, and 1.9 % from the middle of the image to 45 degrees aside).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.poses import transform
from transpose.mapping.reconstruction import reconstruct
from transpose.mapping.triangulation import TriangulationOptions
from transpose.mapping.views import MappedView
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.xfeat import XFeatEncoder
from transpose.scenes.layout import Frame

_FRAMES, _KEYPOINTS = 60, 3000
_GATES = TriangulationOptions(max_error_px=2.0, min_angle_deg=4.0, min_views=3)
_FEWEST = 1000  # points of half of the photos, seen where they have depth; fewer say too little
_BETTER = 0.9  # times the error in the median that is left in the other half
_GROSS = 0.1  # relative: beyond, photo and sensor see different things
_LARGEST = 0.05  # relative error of a sensor that is believed
_STEPS = 30
_CAUCHY = 1.5  # of the residuals' sigma
_MIDDLE_M = 2.0


@dataclass(frozen=True)
class DepthError:
    """The relative error of measured depth, e = constant + per_metre (z - 2 m) + right x + down y.

    `x`, `y` are the tangents of the pixel's ray; z is what is measured, and z / (1 + e) what is there.
    """

    constant: float
    per_metre: float
    right: float
    down: float

    def __str__(self) -> str:
        return (
            f"depth is {100 * self.constant:+.2f} % off at 2 m, {100 * self.per_metre:+.2f} % more a metre, and from "
            f"the middle to 45 degrees aside {100 * self.right:+.2f} % to the right and {100 * self.down:+.2f} % down"
        )

    def at(self, depth: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """The error (...,) of depths (...,), metres, on rays of tangents (..., 2), and never more than 5 %."""
        error = self.constant + self.per_metre * (depth - _MIDDLE_M) + xy @ np.array([self.right, self.down])
        return np.clip(error, -_LARGEST, _LARGEST)

    def corrected(self, depth_hw: np.ndarray, camera: Camera) -> np.ndarray:
        """A depth image without the error, float32; what is unknown stays so."""
        corrected_hw: np.ndarray = (depth_hw / (1 + self.at(depth_hw, _tangents(camera)))).astype(np.float32)
        return corrected_hw


@lru_cache(maxsize=2)  # a section's frames share a camera, and each is corrected twice
def _tangents(camera: Camera) -> np.ndarray:
    """Of the rays (height, width, 2) of an image's pixels."""
    return camera.unproject(pixel_centers(camera.width, camera.height))[..., :2]


def depth_error_of(
    frames: Sequence[Frame], progress: Callable[[Sequence[Frame]], Iterable[Frame]] = iter
) -> DepthError | None:
    """The error of the sensor that took some frames with depth; None where they do not tell.

    Args:
        frames: with depth and poses; of many, 60 are looked at.
        progress: wraps them as their keypoints are found.
    """
    chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int))]
    network = XFeatEncoder()
    views = [MappedView(_keypoints(network, frame), frame.camera, frame.pose) for frame in progress(chosen)]
    with torch.inference_mode():
        map_ = reconstruct(views, _GATES)
    samples = []
    for number, frame in enumerate(chosen):
        keypoint_k, point_k = map_.shown_in(number)
        px_k2 = views[number].keypoints.px_n2.double().numpy()[keypoint_k]
        column_k, row_k = np.floor(px_k2).astype(np.int64).T
        measured_k = frame.depth()[row_k, column_k].astype(np.float64)
        true_k = transform(frame.pose.T_cw, map_.world_p3[point_k])[:, 2]
        samples.append((measured_k, true_k, frame.camera.unproject(px_k2)[:, :2]))
    return error_of_samples(samples)


Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of a frame: measured (k,) and true (k,) depths, metres along z, and tangents (k, 2) of their rays."""


def error_of_samples(samples: Sequence[Sample]) -> DepthError | None:
    """The error that explains all frames' depths, where what half of them tell helps the other half; else None.

    Poses that do not fit the photos bend the triangulated points as much as a sensor bends its depth, but not alike in
    all frames.
    """
    halves = [_joined(samples[first::2]) for first in (0, 1)]
    for told, other in (halves, halves[::-1]):
        error = fitted_error(*told)
        if error is None or not _helps(error, other):
            return None
    return fitted_error(*_joined(samples))


def _joined(samples: Sequence[Sample]) -> Sample:
    empty = (np.zeros(0), np.zeros(0), np.zeros((0, 2)))
    measured, true, xy = (np.concatenate(parts) for parts in zip(empty, *samples, strict=True))
    return measured, true, xy


def _helps(error: DepthError, sample: Sample) -> bool:
    """Whether it makes the depths of a sample better by a tenth, in the median."""
    measured_n, true_n, xy_n2 = (each[_comparable(*sample[:2])] for each in sample)
    before_n = np.abs(measured_n / true_n - 1)
    after_n = np.abs(measured_n / (1 + error.at(measured_n, xy_n2)) / true_n - 1)
    return len(before_n) > 0 and bool(np.median(after_n) < _BETTER * np.median(before_n))


def _comparable(measured_n: np.ndarray, true_n: np.ndarray) -> np.ndarray:
    """Which depths (n,) are known and see the same thing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        comparable_n: np.ndarray = (measured_n > 0) & (true_n > 0) & (np.abs(measured_n / true_n - 1) < _GROSS)
    return comparable_n


def fitted_error(measured_n: np.ndarray, true_n: np.ndarray, xy_n2: np.ndarray) -> DepthError | None:
    """The error that explains measured depths best; None of fewer than 1000 that are near the true ones.

    Robust least squares with Cauchy's weights (Huber, Robust Statistics, 1981), reweighted. The depth that the error
    depends on is the mean of both, so that noise of one alone does not pass for a slope.

    Args:
        measured_n, true_n: metres along z; NaN or 0 where nothing was measured.
        xy_n2: tangents of the rays.
    """
    kept_n = _comparable(measured_n, true_n)
    error_m, xy_m2 = measured_n[kept_n] / true_n[kept_n] - 1, xy_n2[kept_n]
    if len(error_m) < _FEWEST:
        return None
    mean_m = (measured_n[kept_n] + true_n[kept_n]) / 2
    A_m4 = np.column_stack([np.ones(len(error_m)), mean_m - _MIDDLE_M, xy_m2])
    weight_m = np.ones(len(error_m))
    terms_4 = np.zeros(4)
    for _ in range(_STEPS):
        terms_4 = np.linalg.lstsq(A_m4 * weight_m[:, None], error_m * weight_m, rcond=None)[0]
        off_m = error_m - A_m4 @ terms_4
        sigma = max(1.4826 * float(np.median(np.abs(off_m))), 1e-9)
        weight_m = 1 / np.sqrt(1 + np.square(off_m / (_CAUCHY * sigma)))
    return DepthError(*terms_4.tolist())


@torch.inference_mode()
def _keypoints(network: XFeatEncoder, frame: Frame) -> Keypoints:
    image_hw3 = frame.image()
    maps = network.maps(torch.from_numpy(np.ascontiguousarray(image_hw3)).permute(2, 0, 1)[None].float())
    return keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), _KEYPOINTS)
