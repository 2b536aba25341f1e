"""A sequence's poses do not depend on the unit of the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.localization.sequence.flights import flown, measured, refused, wrong
from transpose.localization import SequenceFilter, smooth
from transpose.solvers import PoseEstimate


def scaled(estimate: PoseEstimate, factor: float) -> PoseEstimate:
    if estimate.pose is None or estimate.covariance_66 is None:
        return estimate
    scale_6 = np.array([1, 1, 1, factor, factor, factor])
    covariance_66 = estimate.covariance_66 * np.outer(scale_6, scale_6)
    return replace(estimate, pose=estimate.pose.scaled(factor), covariance_66=covariance_66)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_filters_and_smoothers_know_no_metres(factor: float) -> None:
    seen = measured(flown(1, 30), 1)
    seen[7], seen[12] = refused(seen[7]), wrong(seen[12])
    filter_, other = SequenceFilter(), SequenceFilter()
    pairs = [(filter_.update(each), other.update(scaled(each, factor))) for each in seen]
    pairs += list(zip(smooth(seen), smooth([scaled(each, factor) for each in seen]), strict=True))
    for before, after in pairs:
        assert before.reason == after.reason and (before.pose is None) == (after.pose is None)
        if before.pose is not None:
            assert np.allclose(after.pose.T_wc, before.pose.scaled(factor).T_wc, rtol=1e-6, atol=1e-6 * factor)
            expected = scaled(before, factor).covariance_66
            assert np.allclose(after.covariance_66, expected, rtol=1e-4, atol=1e-9 * np.abs(expected).max())
