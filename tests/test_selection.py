"""A few indices of many: in order, without repetition, from end to end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transpose.selection import evenly_chosen


@given(st.integers(0, 300), st.integers(1, 60))
def test_evenly_chosen(count: int, most: int) -> None:
    chosen = evenly_chosen(count, most)
    assert len(chosen) == min(count, most)
    assert chosen == sorted(set(chosen)) and all(0 <= i < count for i in chosen)
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert np.ptp(np.diff(chosen)) <= 1
