"""Making views beside each other: who sets the process's thread counts sets them back."""

from contextlib import ExitStack

import cv2
import torch

from transpose.training.views import one_thread_each


def counts() -> tuple[int, int]:
    return torch.get_num_threads(), cv2.getNumThreads()


def test_thread_counts_come_back_when_the_last_one_leaves() -> None:
    before = counts()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        first, second = ExitStack(), ExitStack()
        first.enter_context(one_thread_each())
        second.enter_context(one_thread_each())
        first.close()  # the first to come is not the last to go
        assert counts() == (1, 1)
        second.close()
        assert counts() == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
