"""Choosing a few of many, so that they stand for all of them."""

from __future__ import annotations


def evenly_chosen(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to `count` - 1, evenly spread, the first and the last among them.

    Args:
        count: how many there are; 0 gives none.
        most: how many are wanted; at least 1.
    """
    wanted = min(count, most)
    if wanted < 2:
        return list(range(wanted))
    # Half up, exactly: floats round halves one way here and another way there.
    return [(2 * i * (count - 1) + wanted - 1) // (2 * (wanted - 1)) for i in range(wanted)]
