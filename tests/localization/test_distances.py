"""Distances of descriptors, of matrices and of sparse similarities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from transpose.errors import TransposeError
from transpose.localization import distances
from transpose.localization.distances import ByDescriptors, Distances, GivenDistances, OneLessSimilarity

N = 9


def some() -> dict[str, tuple[Distances, np.ndarray]]:
    """Of each kind, with the matrix that it stands for."""
    rng = np.random.default_rng(0)
    vectors_nd = rng.normal(size=(N, 4))
    similar_nn = np.triu(rng.uniform(size=(N, N)) * (rng.random((N, N)) < 0.3), 1)
    similar_nn = similar_nn + similar_nn.T
    matrix_nn = np.abs(rng.normal(size=(N, N)))
    return {
        "descriptors": (
            ByDescriptors.of(torch.from_numpy(vectors_nd)),
            np.square(vectors_nd[:, None] - vectors_nd).sum(-1),
        ),
        "given": (GivenDistances.checked(torch.from_numpy(matrix_nn)), matrix_nn),
        "similarity": (OneLessSimilarity.checked(sparse.csr_array(similar_nn)), 1 - similar_nn),
    }


@pytest.mark.parametrize("kind", ["descriptors", "given", "similarity"])
def test_rows_and_pairs_are_those_of_the_matrix(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "_GATHERED", 12)  # three pairs at once
    given, matrix_nn = some()[kind]
    assert given.items == N
    np.testing.assert_allclose(given.rows(slice(2, 6)).numpy(), matrix_nn[2:6], atol=1e-12)
    i_m, j_m = torch.tensor([0, 3, 8, 2, 2, 5, 7]), torch.tensor([1, 3, 0, 6, 2, 8, 7])
    np.testing.assert_allclose(given.pairs(i_m, j_m).numpy(), matrix_nn[i_m, j_m], atol=1e-12)
    assert (given.rows(slice(0, N)) >= 0).all()


def test_only_what_has_something_in_common_is_related() -> None:
    given, matrix_nn = some()["similarity"]
    assert given.related is not None
    np.testing.assert_array_equal(given.related.toarray(), (matrix_nn < 1) | np.eye(N, dtype=bool))
    assert some()["descriptors"][0].related is None and some()["given"][0].related is None
    stored = sparse.csr_array((np.array([0.0, 0.5]), (np.array([0, 1]), np.array([1, 2]))), shape=(3, 3))
    related = OneLessSimilarity.checked(stored).related
    assert related is not None and related.toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert stored.nnz == 2  # what was given stays as it is


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_what_are_no_distances_is_refused(value: float) -> None:
    matrix = torch.ones(3, 3)
    matrix[1, 2] = value
    with pytest.raises(TransposeError, match="cannot be ranked"):
        GivenDistances.checked(matrix)
    with pytest.raises(TransposeError, match="cannot be ranked"):
        OneLessSimilarity.checked(sparse.csr_array(matrix.numpy()))
    if not np.isfinite(value):
        with pytest.raises(TransposeError, match="cannot be ranked"):
            ByDescriptors.of(matrix)
    assert GivenDistances.checked(torch.zeros(3, 3)).items == 3
    assert OneLessSimilarity.checked(sparse.csr_array(np.eye(3))).items == 3


def test_only_square_matrices_are_between_all() -> None:
    with pytest.raises(TransposeError, match="square"):
        GivenDistances.checked(torch.ones(3, 4))
    with pytest.raises(TransposeError, match="square"):
        GivenDistances.checked(torch.ones(3))
    with pytest.raises(TransposeError, match="square"):
        OneLessSimilarity.checked(sparse.csr_array(np.ones((2, 3))))
    with pytest.raises(TransposeError, match=r"not in 0\.\.1"):
        OneLessSimilarity.checked(sparse.csr_array(np.full((2, 2), 1.5)))
