"""The flag --threads, which several commands share."""

from __future__ import annotations

from typing import Annotated

import tyro

Threads = Annotated[
    int | None,
    tyro.conf.arg(
        help="Cores to use at once, such as 1 beside other work; by default all that affinity, a container's quota and "
        "torchrun leave to this process."
    ),
]
