"""How late a recording's poses are against its images: what films and what measures poses seldom share a clock.

A point that two images show lies, in the second, on the line that its ray in the first and both poses give it. Poses of
other moments than those of the images give another line where the camera's turning or its way changes; with one delay,
points lie on their lines.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.projection import Projection
from transpose.randomness import stream
from transpose.scenes.setup.trajectories import Trajectory
from transpose.scenes.undistort import read_photo
from transpose.selection import evenly_chosen

log = logging.getLogger(__name__)
_LONGEST_S = 0.5  # of the delays that are looked for
_STEP_S = 0.001
_MOST_PAIRS, _FEWEST_PAIRS = 100, 10
_SOON_S = 0.4  # between the images of a pair: they show much of the same
_UNSURE_S = 0.005  # a delay that is not known better is not worth taking back
_WORST_RAD = np.radians(3.0)  # what lies farther off its line counts no more than that
_FEWEST_MATCHES, _MOST_MATCHES, _RATIO = 30, 200, 0.8
_EPIPOLAR_PX = 1.0
_RESAMPLED = 200
_NO_WAY_M = 1e-9  # between two cameras, across the ray


@dataclass(frozen=True)
class Delay:
    """How late poses are against images.

    Attributes:
        seconds: what an image shows at t, poses say at t + `seconds`.
        sigma_s: its standard deviation, by resampling the pairs.
        pairs: of images that told it.
        degrees, degrees_before: by how much points lie off their lines, the median over pairs of the mean, with the
            delay and without.
    """

    seconds: float
    sigma_s: float
    pairs: int
    degrees: float
    degrees_before: float

    def words(self) -> str:
        """As a person reads it."""
        known = f"{1000 * abs(self.seconds):.0f} ms {'late' if self.seconds > 0 else 'early'}"
        off = f"points of {self.pairs} pairs of images lie {self.degrees:.2f} deg off the lines that poses give them"
        return f"{known} (+- {1000 * self.sigma_s:.1f}); {off}, {self.degrees_before:.2f} as the poses are stamped"


@dataclass(frozen=True, eq=False)
class Sightings:
    """What two images show of the same points: when they were taken, and rays (m, 3) of unit length in each camera."""

    first_s: float
    second_s: float
    first_m3: np.ndarray
    second_m3: np.ndarray


def measured_delay(images: Sequence[tuple[float, Path]], lens: Projection, truth: Trajectory) -> Delay:
    """The delay of poses against images, within half a second either way.

    Args:
        images: when each was taken, and its file, rising in time; at most 100 pairs of them are looked at.
        lens: that took them.
        truth: the poses.

    Raises:
        TransposeError: images do not tell it: too few of them show the same, or the camera moves too evenly.
    """
    seconds_n = np.array([seconds for seconds, _ in images])
    first_p = np.flatnonzero(np.diff(seconds_n) <= _SOON_S) if len(images) else np.zeros(0, int)
    chosen = [int(first_p[i]) for i in evenly_chosen(len(first_p), _MOST_PAIRS)]
    log.info("matching %d pairs of images, to find how late poses are", len(chosen))
    matcher = _Matcher(lens)
    seen = [matcher.sightings(images[first], images[first + 1]) for first in chosen]
    return fitted_delay([each for each in seen if each is not None], truth)


def fitted_delay(seen: Sequence[Sightings], truth: Trajectory) -> Delay:
    """The delay with which points lie on their lines.

    Raises:
        TransposeError: as for `measured_delay`.
    """
    if len(seen) < _FEWEST_PAIRS:
        few = f"{len(seen)} pairs of images within {_SOON_S:g} s of each other show enough of the same"
        raise TransposeError(f"--delay auto: {few}, {_FEWEST_PAIRS} are needed. Give the delay in seconds")
    steps = round(_LONGEST_S / _STEP_S)
    delay_d = np.arange(-steps, steps + 1) * _STEP_S
    off_dp = np.stack([off_lines(each, truth, delay_d) for each in seen], 1)
    best = int(_means(off_dp, np.ones((1, len(seen)))).argmin())
    counts_rp = stream(0, "delay").multinomial(len(seen), np.full(len(seen), 1 / len(seen)), _RESAMPLED)
    found_r = delay_d[_means(off_dp, counts_rp).argmin(1)]
    sigma_s = float(np.hypot(found_r.std(), _STEP_S / 2))
    if sigma_s > _UNSURE_S or best in (0, len(delay_d) - 1):
        why = f"{len(seen)} pairs of images know it to {1000 * sigma_s:.0f} ms only"
        raise TransposeError(f"--delay auto: {why} (a camera that moves evenly, or other poses?). Give it in seconds")
    degrees, before = (float(np.degrees(np.nanmedian(off_p))) for off_p in (off_dp[best], off_dp[steps]))
    return Delay(float(delay_d[best]), sigma_s, len(seen), degrees, before)


def _means(off_dp: np.ndarray, counts_rp: np.ndarray) -> np.ndarray:
    """Means (r, d) over pairs that count so often; infinite where poses know less than half of the pairs."""
    known_dp = np.isfinite(off_dp)
    known_rd = counts_rp @ known_dp.T
    sum_rd = counts_rp @ np.where(known_dp, off_dp, 0.0).T
    return np.where(2 * known_rd >= counts_rp.sum(1, keepdims=True), sum_rd / np.maximum(known_rd, 1), np.inf)


def off_lines(seen: Sightings, truth: Trajectory, delay_d: np.ndarray) -> np.ndarray:
    """By how much the points of a pair lie off their epipolar lines, (d,) rad: the mean, each 3 degrees at most.

    Of poses from one place by how much they lie off the points themselves; NaN where the poses begin later or end
    before.
    """
    first, second = truth.rotations(seen.first_s + delay_d), truth.rotations(seen.second_s + delay_d)
    way_d3 = truth.positions(seen.first_s + delay_d) - truth.positions(seen.second_s + delay_d)
    turned_dm3 = np.einsum("dij,mj->dmi", (second.inv() * first).as_matrix(), seen.first_m3)
    t_d3 = second.inv().apply(way_d3)  # of the first camera, as the second sees it
    plane_dm3 = np.cross(t_d3[:, None], turned_dm3)
    length_dm = np.linalg.norm(plane_dm3, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sine_dm = np.abs(np.einsum("dmi,mi->dm", plane_dm3, seen.second_m3)) / length_dm
    apart_dm = np.linalg.norm(turned_dm3 - seen.second_m3, axis=2)
    off_dm = np.where(length_dm > _NO_WAY_M, np.arcsin(sine_dm.clip(0, 1)), apart_dm)
    known_d = (seen.first_s + delay_d >= truth.seconds_n[0]) & (seen.second_s + delay_d <= truth.seconds_n[-1])
    return np.where(known_d, np.minimum(off_dm, _WORST_RAD).mean(1), np.nan)


class _Matcher:
    """Matches keypoints of images of one lens."""

    def __init__(self, lens: Projection):
        self._lens = lens
        self._sift = cv2.SIFT.create(nfeatures=1500)
        self._known: dict[Path, tuple[np.ndarray, np.ndarray]] = {}

    def sightings(self, first: tuple[float, Path], second: tuple[float, Path]) -> Sightings | None:
        """Of two images, by time and file; None where they have too little in common."""
        # Each image is the second of a pair, and then the first of the next.
        self._known = {path: self._known.get(path) or self._rays(path) for _, path in (first, second)}
        (a_n3, a_nk), (b_n3, b_nk) = (self._known[path] for _, path in (first, second))
        if min(len(a_n3), len(b_n3)) < _FEWEST_MATCHES:
            return None
        two = cv2.BFMatcher().knnMatch(a_nk, b_nk, k=2)
        kept = [best for best, other in two if best.distance < _RATIO * other.distance]
        if len(kept) < _FEWEST_MATCHES:
            return None
        a_m3, b_m3 = a_n3[[each.queryIdx for each in kept]], b_n3[[each.trainIdx for each in kept]]
        cv2.setRNGSeed(0)
        a_m2, b_m2 = (rays_m3[:, :2] / rays_m3[:, 2:] for rays_m3 in (a_m3, b_m3))
        threshold = _EPIPOLAR_PX / self._lens.focal_px
        _, agrees = cv2.findEssentialMat(a_m2, b_m2, np.eye(3), cv2.USAC_MAGSAC, 0.999, threshold)
        agree_m = np.flatnonzero(agrees) if agrees is not None else np.zeros(0, int)
        if len(agree_m) < _FEWEST_MATCHES:
            return None
        agree_m = agree_m[evenly_chosen(len(agree_m), _MOST_MATCHES)]
        return Sightings(first[0], second[0], a_m3[agree_m], b_m3[agree_m])

    def _rays(self, image: Path) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints as directions (n, 3) of unit length, those ahead of the camera, and their descriptors."""
        pixels_hw3, _ = read_photo(image, self._lens)
        height, width = pixels_hw3.shape[:2]
        keypoints, descriptors = self._sift.detectAndCompute(cv2.cvtColor(pixels_hw3, cv2.COLOR_RGB2GRAY), None)
        if not keypoints:
            return np.zeros((0, 3)), np.zeros((0, 128), np.float32)
        px_n2 = np.array(cv2.KeyPoint.convert(keypoints), float) + 0.5  # OpenCV's pixel centres are at integers
        rays_n3 = self._lens.resized(width, height).directions_of_px(px_n2)
        ahead_n = np.isfinite(rays_n3).all(1) & (rays_n3[:, 2] > 0)
        rays_n3 = rays_n3[ahead_n]
        return rays_n3 / np.linalg.norm(rays_n3, axis=1, keepdims=True), descriptors[ahead_n]
