"""Features that others made of a photo, as keypoints of the photo as it is seen."""

from __future__ import annotations

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization.matching.from_files import seen_keypoints
from transpose.scenes.hloc.features import Features


def features(width: int, height: int) -> Features:
    rng = np.random.default_rng(0)
    return Features(
        rng.uniform((0, 0), (width, height), (9, 2)).astype(np.float32),
        rng.normal(size=(9, 16)).astype(np.float32),
        np.array([3, 1, np.nan, 5, 2, 9, 4, 0.5, 7], np.float32),
        (width, height),
    )


def test_the_strongest_come_first_and_lie_where_they_lay_in_the_photo() -> None:
    given = features(1600, 1200)
    seen = seen_keypoints(given, Camera.from_focal(300.0, 640, 480), "a.jpg")
    assert seen.number_n.tolist() == [5, 8, 3, 6, 0, 4, 1, 7, 2]
    np.testing.assert_allclose(seen.keypoints.px_n2.numpy(), 0.4 * given.keypoints_n2[seen.number_n], rtol=1e-5)
    np.testing.assert_allclose(seen.keypoints.descriptors_nc.norm(dim=1).numpy(), 1.0, rtol=1e-5)


def test_features_of_another_photo_are_refused() -> None:
    with pytest.raises(TransposeError, match=r"features of a.jpg are of a photo of 1600 x 900 pixels.*another shape"):
        seen_keypoints(features(1600, 900), Camera.from_focal(300.0, 640, 480), "a.jpg")
