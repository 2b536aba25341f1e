"""Matches of two photos that agree with one epipolar geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.mapping.sfm.colmap import import_pycolmap
from transpose.models.keypoints import Keypoints
from transpose.models.matching import mutual_matches
from transpose.parallel import worker_count
from transpose.scenes.setup.unposed_photos import UnposedPhoto

MIN_MATCHES = 15  # that agree with one epipolar geometry, COLMAP's own threshold
_MIN_SIMILARITY = 0.82
_ERROR_PX = 4.0  # of a match, COLMAP's own


@dataclass(frozen=True, eq=False)
class VerifiedPair:
    """Two photos by number, their matches (m, 2), and COLMAP's geometry with those that agree."""

    first: int
    second: int
    matches_m2: np.ndarray
    geometry: Any

    @property
    def agreeing(self) -> int:
        """How many matches agree with one geometry."""
        return len(self.geometry.inlier_matches)


@dataclass(frozen=True, eq=False)
class MatchedPhotos:
    """Photos, the keypoints of each, and the pairs of photos that share some."""

    photos: Sequence[UnposedPhoto]
    keypoints: Sequence[Keypoints]
    pairs: Sequence[VerifiedPair]

    def most_agreeing(self) -> np.ndarray:
        """For each photo (p,), how many of its matches with the photo that it fits best agree."""
        most_p = np.zeros(len(self.photos), np.int64)
        for pair in self.pairs:
            for photo in (pair.first, pair.second):
                most_p[photo] = max(most_p[photo], pair.agreeing)
        return most_p


def verified_pairs(
    photos: Sequence[UnposedPhoto],
    keypoints: Sequence[Keypoints],
    cameras: Sequence[Any],
    pairs: Sequence[tuple[int, int]],
    seed: int,
    progress: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]],
) -> list[VerifiedPair]:
    """Matches pairs of photos, and finds the geometry that most matches of each agree with.

    Args:
        photos: with the numbers of their cameras.
        keypoints: of each photo.
        cameras: COLMAP's, by number.
        pairs: which photos are matched.
        seed: of the search.
        progress: wraps the pairs as they are worked through.

    Returns:
        Those with at least `MIN_MATCHES` matches at all, in the order of `pairs`.
    """
    options = import_pycolmap().TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    options.ransac.max_error = _ERROR_PX
    options.min_num_inliers = MIN_MATCHES
    px = [each.px_n2.double().numpy() for each in keypoints]

    def verify(first: int, second: int, matches_m2: np.ndarray) -> VerifiedPair:
        of = cameras[photos[first].camera], px[first], cameras[photos[second].camera], px[second]
        geometry = import_pycolmap().estimate_two_view_geometry(*of, matches_m2, options)
        return VerifiedPair(first, second, matches_m2, geometry)

    futures = []
    with ThreadPoolExecutor(worker_count()) as pool:  # it waits for what has begun, also when it is interrupted
        try:
            for first, second in progress(pairs):
                a_m, b_m = mutual_matches(
                    keypoints[first].descriptors_nc, keypoints[second].descriptors_nc, _MIN_SIMILARITY
                )
                if len(a_m) >= MIN_MATCHES:
                    matches_m2 = np.stack([a_m.numpy(), b_m.numpy()], 1).astype(np.uint32)
                    futures.append(pool.submit(verify, first, second, matches_m2))
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
