"""`transpose doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from transpose.app.console import say
from transpose.errors import TransposeError


@dataclass(frozen=True)
class Doctor:
    """Check what is installed, and that the parts that matter work."""

    def run(self) -> None:
        """Prints one line a check; fails if a part is broken that everything needs."""
        from transpose.app.checkup import examine

        findings = examine()
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            say(f"{finding.mark:4}  {finding.what:{width}}  {finding.detail}")
        broken = [finding.what for finding in findings if finding.mark == "FAIL"]
        if broken:
            raise TransposeError(f"broken: {', '.join(broken)}; the lines above say what to do")
        say("everything that is needed works")
