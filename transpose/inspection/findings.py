"""What a check of a section comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: where, what, and what to do."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class SectionCheck:
    """What a check found, and what it looked at.

    Attributes:
        findings: all that is wrong.
        compared: how poses were compared with images, in words; empty where they were not.
        unseen: what could not be looked at, and why; empty where everything was.
    """

    findings: tuple[Finding, ...]
    compared: str = ""
    unseen: str = ""
