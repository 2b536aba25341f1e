"""Distances that re-ranking asks for: of descriptors, of a matrix, or of similarities most of which are zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.errors import TransposeError

_GATHERED = 33_554_432  # numbers of descriptors that are gathered at once


class Distances(Protocol):
    """Distances between `items` images."""

    @property
    def items(self) -> int:
        """How many images there are."""
        ...

    def rows(self, which: slice) -> Tensor:
        """From some images to all (b, n)."""
        ...

    @property
    def related(self) -> sparse.csr_array | None:
        """1 at pairs (n, n) that may be neighbours, each image with itself among them; None: all may."""
        return None

    def pairs(self, i_m: Tensor, j_m: Tensor) -> Tensor:
        """Of pairs (m,)."""
        ...


@dataclass(frozen=True, eq=False)
class ByDescriptors(Distances):
    """Squared Euclidean, of which only those that are asked for exist."""

    descriptors_nd: Tensor
    squared_n: Tensor

    @classmethod
    def of(cls, descriptors_nd: Tensor) -> ByDescriptors:
        """Of one descriptor an image (n, d); raises `TransposeError` where a number is not finite."""
        if not descriptors_nd.isfinite().all():
            raise TransposeError("descriptors hold NaN or infinite numbers, and cannot be ranked")
        return cls(descriptors_nd, descriptors_nd.square().sum(1))

    @property
    def items(self) -> int:
        return len(self.descriptors_nd)

    def rows(self, which: slice) -> Tensor:
        product_bn = self.descriptors_nd[which] @ self.descriptors_nd.T
        return (self.squared_n[which, None] + self.squared_n).sub_(product_bn, alpha=2).clamp_min_(0)

    def pairs(self, i_m: Tensor, j_m: Tensor) -> Tensor:
        step = max(1, _GATHERED // self.descriptors_nd.shape[1])
        parts = [
            (self.descriptors_nd[i] - self.descriptors_nd[j]).square_().sum(1)
            for i, j in zip(i_m.split(step), j_m.split(step), strict=True)
        ]
        return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class GivenDistances(Distances):
    """Of a matrix."""

    distance_nn: Tensor

    @classmethod
    def checked(cls, distance_nn: Tensor) -> GivenDistances:
        """Raises `TransposeError` unless it is a square matrix of finite numbers, none of them negative."""
        if distance_nn.ndim != 2 or distance_nn.shape[0] != distance_nn.shape[1]:
            raise TransposeError(f"distances between all images make a square matrix, not {tuple(distance_nn.shape)}")
        if not (distance_nn.isfinite() & (distance_nn >= 0)).all():
            raise TransposeError("distances hold negative or infinite numbers or NaN, and cannot be ranked")
        return cls(distance_nn)

    @property
    def items(self) -> int:
        return len(self.distance_nn)

    def rows(self, which: slice) -> Tensor:
        return self.distance_nn[which]

    def pairs(self, i_m: Tensor, j_m: Tensor) -> Tensor:
        return self.distance_nn[i_m, j_m]


@dataclass(frozen=True, eq=False)
class OneLessSimilarity(Distances):
    """1 - similarity, of which only what is not zero is stored; what has none in common is as far apart as can be."""

    similarity: sparse.csr_array

    @classmethod
    def checked(cls, similarity: sparse.csr_array) -> OneLessSimilarity:
        """Raises `TransposeError` unless it is a square matrix of numbers from 0 to 1."""
        if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
            raise TransposeError(f"similarities of all images make a square matrix, not {similarity.shape}")
        if not ((similarity.data >= 0) & (similarity.data <= 1)).all():
            raise TransposeError("similarities hold numbers that are not in 0..1, and cannot be ranked")
        stored = sparse.csr_array(similarity, copy=True)
        stored.eliminate_zeros()
        return cls(stored)

    @property
    def items(self) -> int:
        return int(self.similarity.shape[0])

    @property
    def related(self) -> sparse.csr_array | None:
        related = sparse.csr_array(self.similarity + sparse.eye_array(self.items, format="csr"))
        related.data = np.ones(len(related.data), np.int32)
        return related

    def rows(self, which: slice) -> Tensor:
        return 1 - torch.from_numpy(self.similarity[which].toarray())

    def pairs(self, i_m: Tensor, j_m: Tensor) -> Tensor:
        return 1 - torch.from_numpy(np.asarray(self.similarity[np.array(i_m), np.array(j_m)]).ravel())
