from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transpose.geometry.cameras import cell_points
from transpose.losses.correlation import error_correlation
from transpose.randomness import stream, torch_stream
from transpose.solvers.differentiable.fields import CorrelatedField


def field_maps(length_px: float, fraction: float, b: int = 24, k: int = 3) -> np.ndarray:
    """Maps (b, 48, 64, k) of unit variance, of which a fraction is a correlated field and the rest is alone."""
    px_n2 = torch.from_numpy(cell_points(512, 384).reshape(-1, 2))
    fields_mn = CorrelatedField.at(px_n2, length_px).sample(b * k, torch_stream(0, "maps")).numpy()
    fields_bhwk = fields_mn.reshape(b, k, 48, 64).transpose(0, 2, 3, 1)
    alone_bhwk = stream(0, "alone").standard_normal(fields_bhwk.shape)
    return math.sqrt(fraction) * fields_bhwk + math.sqrt(1 - fraction) * alone_bhwk


@pytest.mark.parametrize("length_px", [16.0, 40.0])
def test_it_finds_the_length_of_a_field(length_px: float) -> None:
    found = error_correlation(field_maps(length_px, 1.0))
    assert found.length_px == pytest.approx(length_px, rel=0.12)
    assert found.fall_px == pytest.approx(length_px, rel=0.1)
    assert found.square_px == pytest.approx(math.sqrt(2 * math.pi) * length_px, rel=0.12)
    near_d = found.distance_px_d < 2 * length_px
    expected_d = np.exp(-0.5 * (found.distance_px_d / length_px) ** 2)
    assert found.correlation_d[near_d] == pytest.approx(expected_d[near_d], abs=0.08)


def test_scale_gaps_and_a_few_outliers_do_not_matter() -> None:
    maps = field_maps(32.0, 1.0)
    reference = error_correlation(maps)
    rng = stream(0, "gaps")
    damaged = 7.0 * maps
    damaged[rng.random(damaged.shape[:3]) < 0.3] = np.nan
    damaged[rng.random(damaged.shape[:3]) < 0.005] = 1e4
    found = error_correlation(damaged)
    assert found.length_px == pytest.approx(reference.length_px, rel=0.1)
    assert error_correlation(7.0 * maps).correlation_d == pytest.approx(reference.correlation_d)
    assert error_correlation(maps, stride_px=4).length_px == pytest.approx(reference.length_px / 2)


def test_independent_errors_count_each() -> None:
    found = error_correlation(field_maps(16.0, 0.0))
    assert found.square_px == pytest.approx(8.0)
    assert found.fall_px < 8.0


def test_the_area_sees_what_neighbours_share_only_in_part() -> None:
    """Its area is what decides how certain a pose can be: the fraction that is correlated, times that field's."""
    found = error_correlation(field_maps(32.0, 0.5))
    assert found.fall_px < 10
    assert found.area_px2 == pytest.approx(0.5 * 2 * math.pi * 32**2 + 0.5 * 64, rel=0.2)


def test_the_area_gives_the_effective_number_of_cells() -> None:
    """The variance of a mean over a map, of which the cells' number alone would promise far too little."""
    maps = field_maps(16.0, 0.5, b=150)
    cells = maps.shape[1] * maps.shape[2]
    found = error_correlation(maps[:24])
    variance = float(maps.mean((1, 2)).var())
    assert variance > 5 / cells
    assert variance == pytest.approx(found.area_px2 / 8**2 / cells, rel=0.2)


def test_errors_shared_by_squares_give_back_the_square() -> None:
    squares = stream(0, "squares").standard_normal((60, 6, 8, 3))
    maps = np.kron(squares, np.ones((1, 8, 8, 1)))
    assert error_correlation(maps).square_px == pytest.approx(64, rel=0.1)


def test_an_error_of_the_whole_image_counts_once() -> None:
    found = error_correlation(np.ones((2, 20, 30, 3)))
    assert found.correlation_d == pytest.approx(1)
    assert found.fall_px == math.inf
    assert found.square_px == pytest.approx(math.sqrt(math.pi) * 10 * 8, rel=0.06)


def slow_correlation(errors_hwk: np.ndarray) -> dict[int, float]:
    """Ring by ring over all pairs of cells of one map."""
    sums: dict[int, list[float]] = {}
    known = [(y, x) for y, x in np.ndindex(errors_hwk.shape[:2]) if np.isfinite(errors_hwk[y, x]).all()]
    for a in known:
        for b in known:
            sums.setdefault(round(math.dist(a, b)), []).append(float(errors_hwk[a] @ errors_hwk[b]))
    return {ring: float(np.mean(values) / np.mean(sums[0])) for ring, values in sums.items()}


def test_it_agrees_with_all_pairs() -> None:
    maps = field_maps(16.0, 0.7)[0, :9, :12]
    maps[stream(1, "gaps").random((9, 12)) < 0.2] = np.nan
    found, expected = error_correlation(maps[None], most_medians=100), slow_correlation(maps)
    assert found.distance_px_d.tolist() == [0, 8, 16, 24, 32]
    assert found.correlation_d == pytest.approx([expected[ring] for ring in range(5)])


def test_maps_that_say_nothing() -> None:
    with pytest.raises(ValueError, match="no cell"):
        error_correlation(np.full((1, 4, 4, 3), np.nan))
    with pytest.raises(ValueError, match="no cell"):
        error_correlation(np.zeros((0, 4, 4, 3)))
    with pytest.raises(ValueError, match="zero"):
        error_correlation(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match="need maps"):
        error_correlation(np.zeros((4, 4, 3)))
    one = error_correlation(np.ones((1, 1, 1, 3)))
    assert (one.area_px2, one.fall_px) == (64.0, math.inf)
