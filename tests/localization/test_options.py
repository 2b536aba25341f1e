"""Options that make no sense are refused, each by itself; those at the border are taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transpose.localization import LocalizationOptions
from transpose.localization.systematic import SystematicErrors

DEFAULT = LocalizationOptions()


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("landmark_error_px", 0.0, 0.1),
        ("coordinate_error_px", 0.0, 0.1),
        ("search_radius_px", 0.0, 0.1),
        ("correlation_px", 0.0, 0.1),
        ("min_depth_error_m", 0.0, 0.1),
        ("max_enlargement", 0.0, 0.1),
        ("same_scale", 0.99, 1.0),
        ("risk", 0.0, 0.001),
        ("risk", 1.0, 0.999),
        ("least_share", 0.0, 0.001),
        ("least_share", 1.01, 1.0),
        ("max_keypoints", 0, 1),
        ("enough_landmarks", 0, 1),
        ("min_landmarks", 0, 1),
        ("min_score", -0.01, 0.0),
        ("min_recognized", -0.01, 0.0),
    ],
)
def test_each_option_has_its_bound(name: str, wrong: float, right: float) -> None:
    with pytest.raises(ValueError, match=r"must be|probability"):
        replace(DEFAULT, **{name: wrong})
    assert getattr(replace(DEFAULT, **{name: right}), name) == right


def test_untested_landmarks_must_be_twice_as_many_and_nothing_else_changes() -> None:
    assert DEFAULT.doubting_landmarks() == replace(DEFAULT, min_landmarks=2 * DEFAULT.min_landmarks)


@pytest.mark.parametrize("name", ["focal", "center", "map", "modelled", "uncalibrated_center"])
def test_errors_are_not_negative(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        SystematicErrors(**{name: -0.001})
    assert getattr(SystematicErrors(**{name: 0.0}), name) == 0


def test_searches_for_less_find_less_and_never_search_for_more() -> None:
    options = LocalizationOptions()
    assert options.searching_for(options.least_share / 2).least_share == options.least_share / 2
    assert options.searching_for(1.0) == options
    assert options.searching_for(options.least_share / 2).most_draws > options.most_draws
