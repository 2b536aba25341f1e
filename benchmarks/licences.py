"""The licences of all that this package needs, also of what that needs in turn, as the installed packages say them.

    python benchmarks/licences.py [--package transpose-loc] > docs/licences.md

Nothing is fetched. Run it where all extras are installed; what is not installed is named, without a licence. Packages
of one operating system or processor are those of the machine that it runs on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

_LONGEST = 60
_CLASSIFIER = "License :: "


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default="transpose-loc")
    package = parser.parse_args().package
    print("# Licences of dependencies\n")
    print("Made by `python benchmarks/licences.py > docs/licences.md` from what installed packages say of themselves.")
    print("`by` is the package that asks for it first; `extra` the one of this package's that brings it.\n")
    print("| package | version | licence | by | extra |\n|---|---|---|---|---|")
    for name, (by, extra) in sorted(needed(package).items()):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            print(f"| {name} | not installed | | {by} | {extra} |")
            continue
        print(f"| {name} | {found.version} | {licence(found)} | {by} | {extra} |")


def needed(package: str) -> dict[str, tuple[str, str]]:
    """All packages that one needs: which asks for each first, and by which extra of the first one, if by any."""
    found: dict[str, tuple[str, str]] = {}
    waiting: deque[tuple[str, frozenset[str], str]] = deque([(package, frozenset(), "")])
    extras = distribution(package).metadata.get_all("Provides-Extra") or []
    waiting += [(package, frozenset([extra]), extra) for extra in extras]
    while waiting:
        name, asked, extra = waiting.popleft()
        try:
            said = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, said):
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if key in found or key == package or not _applies(requirement, asked):
                continue
            found[key] = name, extra
            waiting.append((requirement.name, frozenset(requirement.extras), extra))
    return found


def _applies(requirement: Requirement, asked: frozenset[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in (asked or {""}))


def licence(found: Distribution) -> str:
    """As its metadata say it: an SPDX expression, else a short text, else its classifiers."""
    metadata = found.metadata
    text = metadata.get("License-Expression") or metadata.get("License") or ""
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith(_CLASSIFIER)]
    named = ", ".join(dict.fromkeys(each.rpartition(" :: ")[2] for each in classifiers))
    if not text.strip() or len(text) > _LONGEST or "\n" in text.strip():
        text = named or (text.strip().splitlines() or ["says none"])[0][:_LONGEST]
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
