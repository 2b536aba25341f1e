"""Do poses agree with images where no label says what an image shows? By the epipolar geometry of matched keypoints.

A point that two images show lies on the ray of each. Poses and intrinsics say where the one ray lies in the other
image, and which way along it is ahead. Where images do not agree with the poses as they are, they are tried as other
programs would have written them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import compose, invert, skew
from transpose.geometry.turning import turn
from transpose.inspection.image_pairs import ImagePair
from transpose.scenes.layout import Frame

_NEAR = 0.015  # of an image's longer side: poses with other axes are off by much more
_AGREE, _CLEARLY = 0.5, 0.2  # of the matches
_NO_PARALLAX = np.sin(np.radians(0.5))
_FOCAL_FACTORS = (0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 2.0)
_FOCAL_NOISE, _FOCAL_BETTER = 0.002, 0.6  # of the longer side; of the distance
_ODD = 0.2

_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
# Columns: the OpenCV axes of a camera (right, down, ahead) in a frame with x ahead, y left and z up.
_X_AHEAD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def _with_center(T_44: np.ndarray) -> np.ndarray:
    return compose(T_44[:3, :3], -T_44[:3, :3] @ T_44[:3, 3])


# What poses may be instead of camera-to-world with OpenCV axes, and how they are brought there. They are rigid, so that
# mirrored axes are refused elsewhere.
CONVENTIONS = {
    "are world-to-camera: invert them": invert,
    "have OpenGL axes (y up, looking along -z): multiply them by diag(1, -1, -1, 1) from the right": (
        lambda T: T @ _OPENGL
    ),
    "are world-to-camera with OpenGL axes: invert them, then multiply by diag(1, -1, -1, 1) from the right": (
        lambda T: invert(T) @ _OPENGL
    ),
    "have a world-to-camera rotation beside a camera centre: transpose the rotation": (
        lambda T: compose(T[:3, :3].T, T[:3, 3])
    ),
    "have the translation of world-to-camera: the last column is to be the camera's centre, -R t": _with_center,
    "have axes with x ahead, y left and z up (ROS): turn them to x right, y down, z ahead": lambda T: T @ _X_AHEAD,
    "are turned by half a turn about the viewing axis; were the images turned?": lambda T: T @ turn(2),
    "are turned by a quarter about the viewing axis; were the images turned?": lambda T: T @ turn(1),
    "are turned by a quarter about the viewing axis, clockwise; were the images turned?": lambda T: T @ turn(3),
}
_COMMON = tuple(CONVENTIONS)[:2]


@dataclass(frozen=True)
class PoseAgreement:
    """How poses agree with matched keypoints.

    Attributes:
        share: of a pair's matches, the median over pairs, that poses and intrinsics allow: near each other's epipolar
            line, ahead of both cameras.
        wrong: what poses or focal lengths are instead, or None.
        odd: numbers of frames that do not agree with any other, where the rest do.
        as_well: conventions under which images agree just as well, so that they cannot be told from the right one.
    """

    share: float
    wrong: str | None
    odd: tuple[int, ...]
    as_well: tuple[str, ...]


def pose_agreement(frames: Sequence[Frame], pairs: Sequence[ImagePair]) -> PoseAgreement:
    """Compares poses and intrinsics of frames with matches of at least one pair."""
    numbers = sorted({number for pair in pairs for number in (pair.first, pair.second)})
    given = {number: frames[number].pose.T_wc for number in numbers}
    cameras = {number: frames[number].camera for number in numbers}

    def shares(poses: dict[int, np.ndarray], factor: float = 1.0) -> np.ndarray:
        return np.array([_fits(pair, poses, cameras, factor)[0] for pair in pairs])

    def off(factor: float) -> float:
        return float(np.median([_fits(pair, given, cameras, factor)[1] for pair in pairs]))

    share_p = shares(given)
    share = float(np.median(share_p))
    others = {
        words: float(np.median(shares({number: change(T_wc) for number, T_wc in given.items()})))
        for words, change in CONVENTIONS.items()
    }
    focal = {factor: float(np.median(shares(given, factor))) for factor in _FOCAL_FACTORS}
    better = max(others, key=lambda words: others[words])
    factor = max(focal, key=lambda factor: focal[factor])
    if share < others[better] - _CLEARLY and others[better] > max(_AGREE, focal[factor] - _CLEARLY):
        return PoseAgreement(share, f"poses {better}", (), ())
    wrong: str | None = None
    if share < _AGREE:
        wrong = "poses do not agree with what images show, neither as they are nor inverted or with other axes"
        if focal[factor] > max(_AGREE, share + _CLEARLY):
            wrong = _focal_words(factor)
        return PoseAgreement(share, wrong, (), ())
    here = off(1.0)
    there = {factor: off(factor) for factor in _FOCAL_FACTORS}
    nearest = min(there, key=lambda factor: there[factor])
    if here > _FOCAL_NOISE and there[nearest] < _FOCAL_BETTER * here:
        wrong = _focal_words(nearest)
    as_well = tuple(words for words in _COMMON if others[words] > share - 0.05)
    return PoseAgreement(share, wrong, _odd(pairs, share_p), as_well)


def _focal_words(factor: float) -> str:
    percent = round(100 * abs(factor - 1))
    return (
        f"images agree better with a focal length about {percent} % {'longer' if factor > 1 else 'shorter'}; check it"
    )


def _odd(pairs: Sequence[ImagePair], share_p: np.ndarray) -> tuple[int, ...]:
    """Frames that agree with no other, where one that they were compared with agrees with a third."""
    compared: dict[int, dict[int, float]] = {}
    for pair, share in zip(pairs, share_p, strict=True):
        compared.setdefault(pair.first, {})[pair.second] = share
        compared.setdefault(pair.second, {})[pair.first] = share
    best = {number: max(shares.values()) for number, shares in compared.items()}
    return tuple(
        number
        for number, shares in sorted(compared.items())
        if best[number] < _ODD and any(best[other] > _AGREE for other in shares)
    )


def _fits(
    pair: ImagePair, T_wc: dict[int, np.ndarray], cameras: dict[int, Camera], factor: float
) -> tuple[float, float]:
    """The share of matches that two poses allow, and the median distance from the epipolar line, of the longer side."""
    first, second = cameras[pair.first], cameras[pair.second]
    a_m3, b_m3 = first.unproject(pair.first_px_m2), second.unproject(pair.second_px_m2)
    a_m3, b_m3 = (each / (factor, factor, 1.0) for each in (a_m3, b_m3))
    T_ba = invert(T_wc[pair.second]) @ T_wc[pair.first]
    focal_a, focal_b = (factor * each.fx / max(each.width, each.height) for each in (first, second))
    off_m = np.maximum(_line_distance(T_ba, a_m3, b_m3, focal_b), _line_distance(invert(T_ba), b_m3, a_m3, focal_a))
    return float(((off_m < _NEAR) & _ahead(T_ba, a_m3, b_m3)).mean()), float(np.nan_to_num(np.median(off_m), nan=1.0))


def _line_distance(T_ba: np.ndarray, a_m3: np.ndarray, b_m3: np.ndarray, focal: float) -> np.ndarray:
    """How far rays of b pass by the plane of a's ray and both centres, in b's image; by a's ray where centres agree."""
    turned_m3, t_3 = a_m3 @ T_ba[:3, :3].T, T_ba[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.linalg.norm(t_3) < 1e-9:
            there_m2 = np.where(turned_m3[:, 2:] > 0, turned_m3[:, :2] / turned_m3[:, 2:], np.inf)
            return focal * np.linalg.norm(there_m2 - b_m3[:, :2], axis=1)
        line_m3 = turned_m3 @ skew(t_3).T
        return focal * np.abs((line_m3 * b_m3).sum(1)) / np.linalg.norm(line_m3[:, :2], axis=1)


def _ahead(T_ba: np.ndarray, a_m3: np.ndarray, b_m3: np.ndarray) -> np.ndarray:
    """Whether rays meet ahead of both cameras, or are too nearly parallel to say."""
    a_m3, b_m3 = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (a_m3 @ T_ba[:3, :3].T, b_m3))
    t_3 = T_ba[:3, 3]
    cosine_m = (a_m3 * b_m3).sum(1)
    sine2_m = np.maximum(1 - cosine_m**2, 1e-12)
    along_a_m = (cosine_m * (b_m3 @ t_3) - a_m3 @ t_3) / sine2_m  # of s a + t = r b, least squares
    along_b_m = (b_m3 @ t_3 - cosine_m * (a_m3 @ t_3)) / sine2_m
    parallel_m = (sine2_m < _NO_PARALLAX**2) & (cosine_m > 0)
    return parallel_m | ((along_a_m > 0) & (along_b_m > 0))
