"""Tracks: keypoints of several views that are matched with one another, directly or through others."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor


def tracks_of(pairs_m2: Tensor, keypoints: int) -> tuple[Tensor, Tensor]:
    """Connected components of matches.

    Args:
        pairs_m2: matches, numbers of keypoints.
        keypoints: how many there are in all.

    Returns:
        Keypoints (o,) that are matched at all, grouped by track, and the track (o,) of each, numbered without gaps.
    """
    a_m, b_m = pairs_m2.numpy().T
    graph = coo_matrix((np.ones(len(a_m), np.int8), (a_m, b_m)), shape=(keypoints, keypoints))
    _, label_n = connected_components(graph, directed=False)
    matched = np.unique(pairs_m2.numpy())
    _, track_o = np.unique(label_n[matched], return_inverse=True)
    order_o = np.argsort(track_o, kind="stable")
    return torch.from_numpy(matched[order_o]), torch.from_numpy(track_o[order_o])
