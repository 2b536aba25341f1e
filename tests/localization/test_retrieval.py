"""Poses by retrieval: of the most similar image, or between several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.poses import exp_se3, pose_error
from transpose.localization.global_descriptors import Vocabulary
from transpose.localization.retrieval import PoseDatabase, RetrievalOptions, retrieved_pose, spacing
from transpose.randomness import stream, torch_stream
from transpose.solvers import PoseEstimate

CPU = torch.device("cpu")


def on_a_line(count: int, options: RetrievalOptions | None = None) -> PoseDatabase:
    """Images a metre apart; each looks like its neighbours, the less the farther they are."""
    xi_n6 = np.zeros((count, 6))
    xi_n6[:, 3] = np.arange(count)
    vectors_nd = looks(torch.arange(count, dtype=torch.float64))
    vocabulary = Vocabulary.learned(F.normalize(torch.randn(50, 8, generator=torch_stream(0, "words")), dim=1), 4)
    return PoseDatabase(vocabulary, vectors_nd, exp_se3(xi_n6), options or RetrievalOptions(top=5))


def looks(at_n: Tensor) -> Tensor:
    channels = torch.arange(64.0, dtype=torch.float64)
    return F.normalize(torch.exp(-0.5 * ((channels - 4 - 2 * at_n[:, None]) / 3) ** 2), dim=1).float()


def at(estimate: PoseEstimate) -> float:
    assert estimate.pose is not None
    return float(estimate.pose.center[0])


def test_an_image_of_the_database_is_where_it_was_taken() -> None:
    database = on_a_line(20, RetrievalOptions("nearest"))
    for image in range(20):
        found = retrieved_pose(database.vectors_nd[image], database)
        assert found.pose is not None and pose_error(found.pose, found.pose)[1] == 0
        np.testing.assert_array_equal(found.pose.T_wc, database.T_n44[image])
        assert (found.by, found.reason) == ("retrieval", "ok") and found.score == pytest.approx(1, abs=1e-5)


def test_between_two_images_a_pose_is_interpolated() -> None:
    vector_d = looks(torch.tensor([9.5]))[0]
    assert at(retrieved_pose(vector_d, on_a_line(20))) == pytest.approx(9.5, abs=0.1)
    assert at(retrieved_pose(vector_d, on_a_line(20, RetrievalOptions("nearest")))) in (9, 10)


def test_an_image_far_off_that_looks_alike_has_no_say() -> None:
    database = on_a_line(20)
    T_n44 = database.T_n44.copy()
    T_n44[10] = exp_se3(np.array([0.0, 2.0, 0.0, 500.0, 0.0, 0.0]))
    found = retrieved_pose(looks(torch.tensor([9.2]))[0], replace(database, T_n44=T_n44))
    assert at(found) == pytest.approx(9.2, abs=0.7)
    assert found.covariance_66 is not None and np.sqrt(found.covariance_66[3, 3]) < 5


def test_the_covariance_is_as_wide_as_neighbours_lie() -> None:
    found = retrieved_pose(looks(torch.tensor([9.5]))[0], on_a_line(20))
    assert found.covariance_66 is not None
    assert np.linalg.eigvalsh(found.covariance_66).min() > 0
    assert 0.5 < np.sqrt(found.covariance_66[3, 3]) < 3
    wider = replace(on_a_line(20), T_n44=on_a_line(20).T_n44 * np.array([[1, 1, 1, 10.0]] * 3 + [[0, 0, 0, 1]]))
    ten = retrieved_pose(looks(torch.tensor([9.5]))[0], wider)
    assert ten.covariance_66 is not None
    np.testing.assert_allclose(ten.covariance_66[3:, 3:], 100 * found.covariance_66[3:, 3:], rtol=1e-6)


def test_of_one_image_only_its_own_pose_is_known() -> None:
    database = on_a_line(5).without([0, 1, 3, 4])
    found = retrieved_pose(looks(torch.tensor([0.0]))[0], database)
    assert at(found) == 2 and found.covariance_66 is not None
    assert np.linalg.eigvalsh(found.covariance_66).min() > 0


@pytest.mark.parametrize("rerank", [False, True])
def test_re_ranking_keeps_what_is_clear(rerank: bool) -> None:
    database = on_a_line(20, RetrievalOptions("nearest", rerank=rerank))
    assert at(retrieved_pose(looks(torch.tensor([7.1]))[0], database)) == 7


def test_an_image_that_shows_nothing_has_no_pose() -> None:
    database = on_a_line(5)
    found = retrieved_pose(torch.zeros(64), database)
    assert (found.pose, found.reason, found.covariance_66) == (None, "too_few_points", None)


def test_of_no_image_nothing_is_known() -> None:
    found = retrieved_pose(looks(torch.tensor([0.0]))[0], on_a_line(1).without([0]))
    assert (found.pose, found.reason) == (None, "low_score")


def test_spacing_is_the_step_to_the_nearest() -> None:
    variances_6 = spacing(on_a_line(10).T_n44)
    np.testing.assert_allclose(variances_6, [1e-12] * 3 + [1 / 3] * 3)
    turned_n44 = exp_se3(stream(0, "turns").normal(size=(40, 6)))
    assert (spacing(turned_n44)[:3] > 0.1).all()


def test_a_state_answers_as_before_and_a_damaged_one_is_refused() -> None:
    database, vector_d = on_a_line(20), looks(torch.tensor([9.5]))[0]
    again = PoseDatabase.from_state(database.state(), CPU)
    one, other = retrieved_pose(vector_d, database), retrieved_pose(vector_d, again)
    assert one.pose is not None and other.pose is not None
    np.testing.assert_allclose(other.pose.T_wc, one.pose.T_wc, atol=1e-2)  # vectors are kept in half precision
    for damage in ({"poses": database.state()["poses"][:3]}, {"vectors": None}, {"options": {"top": 0}}):
        with pytest.raises(TransposeError, match="damaged"):
            PoseDatabase.from_state(database.state() | damage, CPU)


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ({"top": 0}, {"keypoints": 0}, {"pose": "median"}):
        with pytest.raises(ValueError, match=r"must be 1 or more|nearest or interpolated"):
            RetrievalOptions(**wrong)
