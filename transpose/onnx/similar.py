"""The most similar descriptors, by a small graph of its own beside the network's.

NumPy's linear algebra has threads of its own, which keep their cores busy for a while after each product and take them
from onnxruntime's; so the one large product of an image is left to onnxruntime as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GROUP = 32  # rows of which the graph tells the largest similarity; which of them it is, is looked up
_SLAB = 64 * GROUP  # rows at once: all similarities of a large place would cost more by memory than by arithmetic


class MostSimilar:
    """Which rows are most similar to others, as `matching.most_similar_by_numpy` tells.

    Args:
        session: of onnxruntime, of the graph that `exporting.similarity` writes.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, query_nc: np.ndarray, among_lc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the most similar row to each query (n,), and the similarity (n,)."""
        largest = [self._largest(query_nc, among_lc[at : at + _SLAB]) for at in range(0, len(among_lc), _SLAB)]
        group_n = np.concatenate(largest, 1).argmax(1)
        index_ng = (GROUP * group_n[:, None] + np.arange(GROUP)).clip(max=len(among_lc) - 1)
        similarity_ng = np.einsum("nc,ngc->ng", query_nc, among_lc[index_ng])
        every_n, within_n = np.arange(len(query_nc)), similarity_ng.argmax(1)
        return index_ng[every_n, within_n], similarity_ng[every_n, within_n]

    def _largest(self, query_nc: np.ndarray, slab_sc: np.ndarray) -> np.ndarray:
        """The largest similarity (n, groups) in each group of rows; what fills up the last one repeats its last row."""
        lacking = -len(slab_sc) % GROUP
        if lacking:
            slab_sc = np.concatenate([slab_sc, np.repeat(slab_sc[-1:], lacking, 0)])
        largest: np.ndarray = self._session.run(None, {"query_nc": query_nc, "among_sc": slab_sc})[0]
        return largest
