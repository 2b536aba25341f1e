"""`transpose info`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from transpose.inspection.findings import SectionCheck
    from transpose.scenes.layout import Section


@dataclass(frozen=True)
class Info:
    """Tell what a scene holds, what its sections cover, and whether everything in it agrees."""

    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    sections: tuple[str, ...] = ()
    """Only these sections."""
    out: Path | None = None
    """Where info.json, contact.png, map.png and coverage.png go; SCENE/info by default."""
    coverage: str | None = None
    """A section whose coverage is measured: how much of the place, from how many directions."""
    against: str | None = None
    """With --coverage: a section whose views should be supported by it; they are listed, the worst first."""
    check: bool = False
    """Verify every file, and that depth, poses and images agree; exit code 1 where they do not. What could not be
    compared is said."""

    def run(self) -> None:
        """Prints the table and writes the pictures."""
        from transpose.app.console import progress, say, tell
        from transpose.app.outputs import check_folder
        from transpose.errors import TransposeError
        from transpose.inspection.scene_info import facts_table, section_facts
        from transpose.ownership import refuse_layers
        from transpose.pages.scene_pictures import draw_contact_sheet, draw_map
        from transpose.scenes.facts import scene_up
        from transpose.storage import write_json

        if self.against and not self.coverage:
            raise TransposeError("--against needs --coverage, the section that should support its views")
        if self.check:
            self._check()
            return
        sections = self._opened()
        up_3 = scene_up(self.scene)
        out = self.out or self.scene / "info"
        check_folder(out)
        refuse_layers(out)
        facts = {section.name: section_facts(section) for section in progress(sections, "reading")}
        say(facts_table(facts))
        if assumed := [name for name, each in facts.items() if "camera_assumed" in each]:
            tell(
                f"note: nobody named the focal length of {', '.join(assumed)} (render --focal): that of a photo without"
                " EXIF is estimated from the photo"
            )
        content: dict[str, Any] = {"sections": facts}
        if self.coverage:
            content["coverage"] = self._coverage(sections, out)
        draw_contact_sheet(sections, out / "contact.png")
        draw_map(sections, up_3, out / "map.png")
        write_json(out / "info.json", content)
        say(str(out))

    def _opened(self) -> list[Section]:
        """All sections; where two are asked for by name, a broken third one is told and left out."""
        from transpose.app.console import tell
        from transpose.errors import TransposeError
        from transpose.scenes.layout import open_section

        sections, asked = [], (self.coverage, self.against)
        for name in self._names():
            try:
                sections.append(open_section(self.scene / name))
            except TransposeError as error:
                if self.coverage is None or name in asked:
                    raise
                tell(f"note: {name} is left out: {error}")
        return sections

    def _check(self) -> None:
        """Checks each section, also those after one that is broken."""
        from transpose.app.console import progress, say, tell
        from transpose.errors import TransposeError
        from transpose.inspection.findings import Finding
        from transpose.inspection.scene_check import check_section
        from transpose.scenes.layout import open_section

        findings: list[Finding] = []
        for name in self._names():
            try:
                section = open_section(self.scene / name)
            except TransposeError as error:
                say(f"{name}: cannot be opened")
                findings.append(Finding(name, str(error)))
                continue
            found = check_section(section, partial(progress, what=f"checking {name}"))
            say(f"{name}: {_summary(found)}")
            findings += found.findings
        for finding in findings:
            tell(str(finding))
        if findings:
            raise TransposeError(f"{len(findings)} things in {self.scene} are wrong, listed above")

    def _names(self) -> tuple[str, ...] | list[str]:
        from transpose.errors import TransposeError
        from transpose.scenes.layout import section_names

        if not self.scene.is_dir():
            raise TransposeError(f"{self.scene} is not a scene folder")
        names = self.sections or section_names(self.scene)
        if not names:
            raise TransposeError(f"{self.scene} has no sections; set one up (transpose setup) or render one")
        return names

    def _coverage(self, sections: list[Section], out: Path) -> dict[str, Any]:
        from transpose.app.console import say
        from transpose.errors import TransposeError
        from transpose.inspection.coverage import cover, support
        from transpose.pages.scene_pictures import draw_coverage
        from transpose.scenes.facts import scene_up

        opened = {section.name: section for section in sections}
        for name in (self.coverage, self.against):
            if name is not None and name not in opened:
                raise TransposeError(f"{self.scene} has no section {name}; it has {', '.join(opened)}")
        found = cover(opened[self.coverage or ""].frames)
        if found is None:
            raise TransposeError(f"{self.scene / (self.coverage or '')} has no depth or init to measure coverage with")
        metric = opened[self.coverage or ""].facts.metric
        facts = {"section": self.coverage, **found.as_json(metric)}
        many = ", ".join(f"{100 * facts[f'from_{n}_directions']:.0f} % from {n}" for n in (2, 4, 8))
        say(
            f"{self.coverage} covers {facts['cells']} places of {found.cell_m:.3g} {'m' if metric else 'units'}: "
            f"{100 * facts['in_2_frames']:.0f} % in 2 or more frames; of 64 directions, {many} or more"
        )
        lost, title = [], ""
        if self.against:
            views = support(found, opened[self.against].frames)
            for view in views[:10]:
                say(f"  {view.stem}: {100 * view.share:.0f} % of what it shows is supported")
            facts |= {"against": self.against, "views": [vars(view) for view in views]}
            weak = {view.stem for view in views if view.share < 0.5}
            lost = [frame.pose for frame in opened[self.against].frames if frame.stem in weak]
            title = f"{len(lost)} of {len(views)} views of {self.against} are less than half supported"
            say(title)
        poses = lost or [frame.pose for frame in opened[self.coverage or ""].frames]
        draw_coverage(found, poses, scene_up(self.scene), title if lost else "", out / "coverage.png", metric)
        return facts


def _summary(found: SectionCheck) -> str:
    """One line: that everything agrees is said only where it was looked at."""
    by = f" (by {found.compared})" if found.compared else ""
    if found.findings:
        return f"{len(found.findings)} findings{by}"
    if not found.compared:
        return f"files are right; {found.unseen}"
    return f"everything agrees{by}" + (f"; but {found.unseen}" if found.unseen else "")
