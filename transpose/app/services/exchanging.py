"""Localizing a section with hloc's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transpose.app.console import progress, tell

if TYPE_CHECKING:
    from transpose.localization.matching.exchange import GivenFiles


def exchange(run: Path, section: Path, out: Path, given: GivenFiles, device: str) -> tuple[int, int]:
    """Localizes, writes hloc's files to `out`, and returns how many photos have a pose, and how many there are.

    Args:
        run: the run folder, of the preset matching.
        section: its folder.
        out: a folder.
        given: hloc's files.
        device: as PyTorch names it.

    Raises:
        TransposeError: the run is of another method, or see `localize_with_files`.
        MissingPackageError: h5py is not installed.
    """
    from transpose import runs
    from transpose.errors import TransposeError, first_few
    from transpose.localization.matching.exchange import localize_with_files, write_exchange
    from transpose.localization.matching.localizer import MatchingLocalizer
    from transpose.models.precision import checked_device
    from transpose.scenes.hloc.h5_files import require_h5py
    from transpose.scenes.layout import open_section

    require_h5py()
    checkpoint = runs.load_model(run)
    if checkpoint.kind != "matching":
        raise TransposeError(f"{run} is a run of kind {checkpoint.kind!r}; hloc's files go with --preset matching")
    localizer = MatchingLocalizer(checkpoint, checked_device(device))
    photos = {f"{section.name}/rgb/{each.paths['rgb'].name}": each for each in open_section(section).frames}
    exchanged = localize_with_files(localizer, photos, given, lambda names: progress(names, "localizing", len(names)))
    write_exchange(out, localizer, exchanged)
    if refused := [f"{each.name} ({each.estimate.reason})" for each in exchanged if each.estimate.pose is None]:
        tell(f"without a pose, as they lie in their files: {first_few(refused)}")
    return sum(each.estimate.pose is not None for each in exchanged), len(exchanged)
