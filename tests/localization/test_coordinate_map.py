"""What a network's coordinates, depth, normals and classes are read as."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from transpose.geometry import Camera
from transpose.geometry.poses import exp_so3
from transpose.localization import coordinate_map
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.task_maps import TaskMaps
from transpose.losses.uncertainty import Kind, PredictedUncertainty, Uncertainty

# Twelve pixels of the last column and four of the last row of cells lie outside.
CAMERA = Camera(60, 44, 50.0, 52.0, 31.0, 20.0, k1=0.02)
ROWS, COLUMNS = 6, 8


def some_map(kind: Kind = "diagonal", factor: bool = False) -> CoordinateMap:
    rng = np.random.default_rng(0)
    uncertainty = PredictedUncertainty(Uncertainty(kind, "laplace"), temperature=2.0)
    raw_hwk = rng.normal(-2, 1, (ROWS, COLUMNS, uncertainty.of.channels))
    factors = rng.uniform(1, 5, (ROWS, COLUMNS)) if factor else None
    return CoordinateMap(rng.normal(size=(ROWS, COLUMNS, 3)), raw_hwk, uncertainty, CAMERA, factors)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("factor", [False, True])
def test_covariances_are_those_of_each_cell(kind: Kind, factor: bool) -> None:
    predicted, R_33 = some_map(kind, factor), exp_so3(np.array([0.4, -1.0, 0.3]))
    covariances = predicted.covariances(R_33)
    assert covariances.shape == (ROWS, COLUMNS, 3, 3)
    for y, x in ((0, 0), (2, 5), (5, 7)):
        ray_13 = torch.from_numpy(CAMERA.unproject(np.array([[8.0 * x + 4, 8.0 * y + 4]])))
        raw_1k = torch.from_numpy(predicted.raw_hwk[y, x])[None]
        wanted_33 = predicted.uncertainty.covariance(raw_1k, ray_13, torch.from_numpy(R_33)[None])[0].numpy()
        times = 1.0 if predicted.variance_factor_hw is None else predicted.variance_factor_hw[y, x]
        np.testing.assert_allclose(covariances[y, x], times * wanted_33)
    if kind != "full":  # whose trace depends on the world's axes
        mean_hw = np.trace(covariances, axis1=2, axis2=3) / 3
        np.testing.assert_allclose(predicted.sigma_hw(), np.sqrt(mean_hw))
    ball = predicted.covariances(None)
    if kind == "diagonal":
        np.testing.assert_allclose(ball, predicted.sigma_hw()[..., None, None] ** 2 * np.eye(3), atol=1e-12)
    assert predicted.has_uncertainty


def test_without_uncertainty_nothing_is_known_of_errors() -> None:
    bare = some_map("none")
    assert not bare.has_uncertainty
    assert bare.sigma_hw().shape == (ROWS, COLUMNS) and np.isinf(bare.sigma_hw()).all()


@pytest.mark.parametrize("kind", ["none", "diagonal"])
@pytest.mark.parametrize("most", [1000, 10])
def test_cells_inside_the_image_correspond_the_surest_first(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, most: int
) -> None:
    monkeypatch.setattr(coordinate_map, "_MAX_CORRESPONDENCES", most)
    predicted = some_map(kind)
    points_n3, px_n2, keep_n = predicted.correspondences()
    inside = [8 * y + x for y in range(5) for x in range(7)]  # centres at 60 and 44 lie on the border, outside
    assert set(keep_n) <= set(inside) and len(set(keep_n)) == len(keep_n)
    np.testing.assert_array_equal(points_n3, predicted.points_hw3.reshape(-1, 3)[keep_n])
    np.testing.assert_array_equal(px_n2, np.stack([8 * (keep_n % 8) + 4, 8 * (keep_n // 8) + 4], 1))
    if most > len(inside):
        assert set(keep_n) == set(inside)
    elif kind == "none":
        assert list(keep_n) == inside[::4]  # evenly, no more than ten
    else:
        sigma_n = predicted.sigma_hw().ravel()
        assert list(keep_n) == sorted(inside, key=lambda cell: sigma_n[cell])[:10]


def test_depth_normals_and_classes_are_read_cell_by_cell() -> None:
    stream = torch.Generator().manual_seed(0)
    outputs = {
        name: torch.randn(channels, 6, 8, generator=stream)
        for name, channels in (("depth", 2), ("normal", 4), ("semantics", 5))
    }
    maps = TaskMaps.of(outputs, CAMERA)
    assert maps.depth is not None and maps.normal is not None and maps.semantics is not None
    y, x = 3, 6
    # What is learned is the log of depth over focal length.
    wanted = math.sqrt(50 * 52) * math.exp(float(outputs["depth"][0, y, x]))
    assert maps.depth.depth_hw[y, x] == pytest.approx(wanted)
    assert 0.001 < maps.depth.expected_hw[y, x] < math.exp(1.1)
    raw_3 = outputs["normal"][:3, y, x].double().numpy()
    np.testing.assert_allclose(maps.normal.normals_hw3[y, x], raw_3 / np.linalg.norm(raw_3))
    surer = {**outputs, "normal": outputs["normal"] + torch.tensor([0.0, 0, 0, 3])[:, None, None]}
    assert (TaskMaps.of(surer, CAMERA).normal.expected_hw < maps.normal.expected_hw).all()  # type: ignore[union-attr]
    np.testing.assert_allclose(maps.semantics.probabilities_hwc.sum(-1), 1)
    np.testing.assert_array_equal(maps.semantics.classes_hw, outputs["semantics"].argmax(0).numpy())
    np.testing.assert_allclose(maps.cell_px()[y, x], (52, 28))
    twice = maps.scaled(2.0)
    assert twice.depth is not None and twice.normal is maps.normal
    np.testing.assert_allclose(twice.depth.depth_hw, 2 * maps.depth.depth_hw)
    np.testing.assert_array_equal(twice.depth.expected_hw, maps.depth.expected_hw)
    nothing = TaskMaps.of({}, CAMERA)
    assert replace(nothing, camera=CAMERA) == nothing or nothing.depth is None
    assert (nothing.depth, nothing.normal, nothing.semantics, nothing.scaled(3.0).depth) == (None, None, None, None)
