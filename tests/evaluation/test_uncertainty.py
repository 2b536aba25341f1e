from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from transpose.evaluation.metrics import FrameResult, summarize
from transpose.evaluation.uncertainty import (
    CalibrationReport,
    PoseCalibration,
    coverage,
    gaussian_nll,
    isotropic,
    sparsification,
)
from transpose.geometry import Pose
from transpose.geometry.poses import exp_se3
from transpose.randomness import stream
from transpose.scenes.truth_error import TruthError
from transpose.solvers import PoseEstimate


def drawn_errors(n: int = 20_000, too_small: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian errors, most along one axis and from cell to cell of very different size, and covariances."""
    rng = stream(0, "calibration report")
    A_n33 = rng.standard_normal((n, 3, 3)) * rng.uniform(0.05, 2, (n, 1, 1)) * [1, 1, 4]
    errors_n3 = (A_n33 @ rng.standard_normal((n, 3, 1)))[..., 0]
    return errors_n3, A_n33 @ np.swapaxes(A_n33, 1, 2) / too_small


def test_calibrated_errors() -> None:
    report = CalibrationReport.of(*drawn_errors())
    assert report.cells == 20_000
    assert report.squared_mean == pytest.approx(3, rel=0.03)
    assert report.squared_median == pytest.approx(2.366, rel=0.03)
    assert (report.coverage_50, report.coverage_90, report.coverage_95) == pytest.approx((0.5, 0.9, 0.95), abs=0.015)
    assert report.temperature == pytest.approx(1, rel=0.03)
    assert report.temperature_robust == pytest.approx(1, rel=0.03)
    assert report.nll < report.nll_isotropic - 0.5
    assert 0 < report.ause < 0.4 * report.ause_random


def test_over_confident_errors() -> None:
    honest, report = CalibrationReport.of(*drawn_errors()), CalibrationReport.of(*drawn_errors(too_small=9.0))
    assert report.squared_mean == pytest.approx(9 * honest.squared_mean)
    assert report.temperature == pytest.approx(9 * honest.temperature)
    assert report.temperature_robust == pytest.approx(9 * honest.temperature_robust)
    assert report.coverage_90 < 0.45
    assert report.nll > honest.nll
    # A common factor leaves the order of the cells as it was.
    assert report.ause == pytest.approx(honest.ause)
    errors_n3, covariance_n33 = drawn_errors(too_small=9.0)
    mended = CalibrationReport.of(errors_n3, report.temperature * covariance_n33)
    assert mended.coverage_90 == pytest.approx(0.9, abs=1e-3)
    assert mended.nll < report.nll


def test_a_wrong_shape_is_worse_than_a_sphere() -> None:
    errors_n3, covariance_n33 = drawn_errors()
    wrong_n33 = np.roll(covariance_n33, 1, axis=0)
    turned_n33 = (
        wrong_n33 * (np.einsum("nii->n", covariance_n33) / np.einsum("nii->n", wrong_n33))[:, None, None]
    )  # of the right size, along other axes
    report = CalibrationReport.of(errors_n3, turned_n33)
    assert report.nll > report.nll_isotropic


def test_of_all_spheres_the_nearest_fits_best() -> None:
    rng = stream(1, "sphere")
    A_33 = rng.standard_normal((3, 3)) * [1, 1, 5]
    errors_n3 = rng.standard_normal((50_000, 3)) @ A_33.T
    covariance_n33 = np.broadcast_to(A_33 @ A_33.T, (50_000, 3, 3))
    sphere_n33 = isotropic(covariance_n33)
    best = gaussian_nll(errors_n3, sphere_n33).mean()
    assert all(gaussian_nll(errors_n3, f * sphere_n33).mean() > best for f in (0.8, 1.25))


def test_the_likelihood_is_that_of_the_library() -> None:
    from scipy.stats import multivariate_normal

    errors_n3, covariance_n33 = drawn_errors(5)
    expected = [-multivariate_normal.logpdf(e, cov=C) for e, C in zip(errors_n3, covariance_n33, strict=True)]
    assert gaussian_nll(errors_n3, covariance_n33) == pytest.approx(expected)


def test_what_is_said_of_laplace_errors() -> None:
    rng = stream(2, "laplace")
    squared_n = rng.gamma(3, 1, 200_000) ** 2 / 4  # |d| / sigma is gamma distributed, the covariance 4 sigma^2
    assert coverage(squared_n, 3) == pytest.approx((0.59, 0.88, 0.92), abs=0.006)
    assert np.median(squared_n) / 2.366 == pytest.approx(0.76, abs=0.01)


def test_unknown_labels_and_none_at_all() -> None:
    errors_n3, covariance_n33 = drawn_errors(500)
    gaps_n3 = np.concatenate([errors_n3, np.full((100, 3), np.nan)])
    # Covariances of cells without a label are not read.
    covariances_n33 = np.concatenate([covariance_n33, np.zeros((100, 3, 3))])
    assert CalibrationReport.of(gaps_n3, covariances_n33) == CalibrationReport.of(errors_n3, covariance_n33)
    for nothing in (CalibrationReport.of(gaps_n3[500:], covariances_n33[500:]), PoseCalibration.of([])):
        text = json.dumps(nothing.as_json(), allow_nan=False)
        counts = {"cells", "poses", "nees_median_expected"}
        assert all(value is None for name, value in json.loads(text).items() if name not in counts)
    with pytest.raises(ValueError, match="infinite"):
        CalibrationReport.of(np.full((2, 3), np.inf), covariance_n33[:2])
    with pytest.raises(ValueError, match="need errors"):
        CalibrationReport.of(errors_n3, covariance_n33[:5])
    with pytest.raises(ValueError, match="positive definite"):
        CalibrationReport.of(errors_n3, 0 * covariance_n33)


def test_reports_are_plain_json() -> None:
    report = CalibrationReport.of(*drawn_errors(100))
    facts = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert facts == dataclasses.asdict(report)
    assert all(type(value) in (int, float) for value in report.as_json().values())
    assert PoseCalibration.of([math.inf, math.inf, 1.0]).as_json()["nees_median"] is None


def slow_sparsification(error_n: np.ndarray, order_n: np.ndarray) -> list[float]:
    """Mean error of those that stay, for every number of cells taken away."""
    return [float(np.mean(error_n[order_n[: len(order_n) - removed]])) for removed in range(len(order_n))]


def test_sparsification_agrees_with_its_slow_twin() -> None:
    rng = stream(3, "sparse")
    error_n, uncertainty_n = rng.exponential(1, 57), rng.random(57)
    ours = sparsification(error_n, uncertainty_n, points=1000)
    by_predicted = np.array(slow_sparsification(error_n, np.argsort(uncertainty_n))) / error_n.mean()
    by_error = np.array(slow_sparsification(error_n, np.argsort(error_n))) / error_n.mean()
    assert ours.removed_k == pytest.approx(np.arange(57) / 57)
    assert ours.left_k == pytest.approx(by_predicted)
    assert ours.oracle_k == pytest.approx(by_error)
    assert ours.ause == pytest.approx((by_predicted - by_error).mean())
    few = sparsification(error_n, uncertainty_n, points=5)
    assert (len(few.removed_k), few.removed_k[0], few.ause) == (5, 0.0, ours.ause)


def test_sparsification_at_its_ends() -> None:
    rng = stream(4, "sparse")
    error_n = rng.exponential(1, 5000)
    best, worst = sparsification(error_n, 3 * error_n**2), sparsification(error_n, -error_n)
    assert best.ause == pytest.approx(0, abs=1e-12)
    assert worst.ause > worst.ause_random > 0.4
    ignorant = sparsification(error_n, rng.random(5000))
    assert ignorant.ause == pytest.approx(ignorant.ause_random, abs=0.05)
    # The same uncertainty everywhere is no order, in whatever order cells come.
    level = sparsification(np.sort(error_n), np.full(5000, 0.3))
    assert level.ause == pytest.approx(level.ause_random)
    assert level.left_k == pytest.approx(1)
    assert sparsification(np.zeros(4), np.arange(4)).ause == 0
    for wrong in ((error_n, error_n[:5]), (error_n[:0], error_n[:0]), (error_n, np.nan * error_n)):
        with pytest.raises(ValueError, match="uncertainties"):
            sparsification(*wrong)


def test_pose_calibration() -> None:
    rng = stream(5, "poses")
    nees_n = (rng.standard_normal((20_000, 6)) ** 2).sum(1)
    report = PoseCalibration.of(np.concatenate([nees_n, [np.nan]]))
    assert report.poses == 20_000
    assert report.nees_median == pytest.approx(report.nees_median_expected, rel=0.02)
    assert report.nees_median_expected == pytest.approx(5.348, abs=1e-3)
    assert (report.coverage_50, report.coverage_90, report.coverage_95) == pytest.approx((0.5, 0.9, 0.95), abs=0.01)
    over_confident = PoseCalibration.of(4 * nees_n)
    assert over_confident.nees_median == pytest.approx(4 * 5.348, rel=0.02)
    assert over_confident.coverage_90 < 0.35


def test_the_table_of_results_reports_it() -> None:
    rng = stream(6, "results")
    results = []
    for i in range(300):
        xi_6 = rng.standard_normal(6) * [0.01, 0.02, 0.03, 0.1, 0.2, 0.3]
        truth = Pose(exp_se3(rng.standard_normal(6)))
        found = Pose(truth.T_wc @ np.linalg.inv(exp_se3(xi_6)))
        covariance_66 = np.diag(np.square([0.01, 0.02, 0.03, 0.1, 0.2, 0.3]))
        estimate = PoseEstimate(found, "ok", np.ones(9, bool), covariance_66=covariance_66)
        results.append(FrameResult(str(i), truth, estimate, 0.1))
    table = summarize(results)["calibration"]
    assert table["poses"] == 300
    assert table["nees_median"] == pytest.approx(5.348, rel=0.15)
    assert [table[f"coverage_{p}"] for p in (50, 90, 95)] == pytest.approx([0.5, 0.9, 0.95], abs=0.07)


def test_what_the_truth_is_off_by_is_part_of_the_error() -> None:
    """Estimates and true poses err both: NEES is exact where both covariances count, and too large where one does."""
    rng, off = stream(7, "truth"), TruthError(0.3, 2.0)
    results = []
    for i in range(600):
        really = Pose(exp_se3(rng.standard_normal(6)))
        sizes_6 = np.sqrt(np.diag(off.covariance_66))
        stated = Pose(really.T_wc @ exp_se3(rng.standard_normal(6) * sizes_6))
        found = Pose(really.T_wc @ exp_se3(rng.standard_normal(6) * 0.01))
        estimate = PoseEstimate(found, "ok", np.ones(9, bool), covariance_66=np.diag([1e-4] * 6))
        results.append(FrameResult(str(i), stated, estimate, 0.1, truth_error=off))
    distances = [np.linalg.norm(r.truth.center - r.estimate.pose.center) for r in results if r.estimate.pose]
    assert np.sqrt(np.mean(np.square(distances))) == pytest.approx(0.3, rel=0.05)  # over all axes together
    table = summarize(results)["calibration"]
    assert table["nees_median"] == pytest.approx(5.348, rel=0.1)
    assert table["coverage_90"] == pytest.approx(0.9, abs=0.04)
    assert table["truth_error"] == {"metres": 0.3, "degrees": 2.0}
    alone = summarize([replace(result, truth_error=None) for result in results])["calibration"]
    assert alone["nees_median"] > 100 and "truth_error" not in alone
