"""What commands with `--refine` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transpose.solvers import PoseEstimate


def check_refinement(refine: bool, world: Path | None) -> None:
    """Refuses a world that nothing would be done with.

    Raises:
        TransposeError: `world` is given without `refine`.
    """
    from transpose.errors import TransposeError

    if world is not None and not refine:
        raise TransposeError("--world is the world for --refine; without it it has no use")


def kept_sentence(estimates: Sequence[PoseEstimate]) -> str:
    """That some poses were not refined, and what that means; empty where all were."""
    from transpose.localization.refine_solution import BY

    posed = [estimate for estimate in estimates if estimate.pose is not None]
    kept = sum(estimate.by != BY for estimate in posed)
    if not kept:
        return ""
    where = " Is it a world of this place?" if kept == len(posed) else ""
    return (
        f"{kept} of {len(posed)} poses are left as the run found them: the world shows too little of what these photos "
        f"do.{where}"
    )
