"""Who is trained on, validated on and tested on in CrossLoc's benchmark, as its own scripts draw it.

One generator, seeded once, serves all groups in turn, so a release that is whole is split as the published figures
have it. A record in the source is followed instead; ours has the same format, so theirs can follow it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.storage import read_text, replacing_file

# Percent; the last part gets what the others leave.
LHS_PERCENT = {"train": 90, "val": 10}
DRONE_PERCENT = {"train": 40, "val": 10, "test": 50}
CHUNKS = (0.25, 0.5, 0.75)
# Groups in the order in which they are drawn, with their published sizes: one that is not there is still drawn.
PUBLISHED = {
    "epfl": {"lhs": 15_000, "drone": 3158, "oop_drone": 1360},
    "comballaz": {"lhs": 30_000, "drone": 2114, "oop_drone": 565, "winter_drone": 665},
}
# What the published records call the data sets.
_RELEASED_AS = {"epfl": "urbanscape", "comballaz": "naturescape"}
_SEED = 2021
_HEADING = re.compile(r"Subset section \*\*\*(\w+)\*\*\*")
Split = dict[str, list[str]]


def drawn(dataset: str, stems_of: Mapping[str, Sequence[str]]) -> dict[str, Split]:
    """For each group (`lhs`, `drone`, ...) the stems of its parts, sorted."""
    rng = np.random.RandomState(_SEED)
    splits = {}
    for group, published in PUBLISHED[dataset].items():
        stems = sorted(stems_of.get(group, ()))
        order = rng.permutation(len(stems) or published)
        if not stems:
            continue
        shares = LHS_PERCENT if group == "lhs" else DRONE_PERCENT
        sizes = [len(stems) * percent // 100 for percent in shares.values()][:-1]
        parts = np.split(order, np.cumsum(sizes))
        splits[group] = {part: [stems[i] for i in sorted(chosen)] for part, chosen in zip(shares, parts, strict=True)}
    return splits


def chunk(stems: Sequence[str], share: float) -> list[str]:
    """A fraction of a section's stems; a smaller one is part of a larger one."""
    order = np.random.RandomState(_SEED).permutation(len(stems))
    names = sorted(stems)
    return sorted(names[i] for i in order[: int(np.ceil(share * len(stems)))])


def recorded(folders: Iterable[Path], dataset: str, group: str, stems: Sequence[str]) -> Split | None:
    """The split that a record in a folder asks for; None where there is none.

    Raises:
        TransposeError: it is no record, or does not place each stem once.
    """
    names = [f"{name}_{group}_split.txt" for name in (dataset, _RELEASED_AS[dataset])]
    path = next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    if path is None:
        return None
    split: Split = {part: [] for part in (LHS_PERCENT if group == "lhs" else DRONE_PERCENT)}
    part = None
    for number, line in enumerate(read_text(path, "replace").splitlines(), 1):
        if heading := _HEADING.match(line):
            part = heading[1]
        elif line.strip():
            if part not in split:
                raise TransposeError(
                    f"{path}, line {number}: names stand below `Subset section ***{'***` or `***'.join(split)}***`"
                )
            split[part].append(line.strip())
    placed = [stem for each in split.values() for stem in each]
    if len(set(placed)) < len(placed):
        raise TransposeError(f"{path} names {Counter(placed).most_common(1)[0][0]} twice")
    if lost := sorted(set(stems) - set(placed)):
        raise TransposeError(f"{path} does not say where {lost[0]} belongs ({len(lost)} of {len(stems)} are missing)")
    if extra := sorted(set(placed) - set(stems)):
        raise TransposeError(f"{path} names {extra[0]}, which the source does not have ({len(extra)} such names)")
    return split


def record(out: Path, dataset: str, group: str, split: Split) -> None:
    """Writes `DATASET_GROUP_split.txt`."""
    with replacing_file(out / f"{dataset}_{group}_split.txt") as temporary:
        temporary.write_text(
            "".join(
                f"Subset section ***{part}***\n" + "".join(f"{stem}\n" for stem in stems)
                for part, stems in split.items()
            ),
            encoding="utf-8",
        )
