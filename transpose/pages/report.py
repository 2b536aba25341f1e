"""The report page: one HTML file that tells what a localizer can do, readable without a network.

The template is `report.html`, its style `report.css`; plotly.js and all images are written into the page.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from transpose.evaluation.metrics import FrameResult, estimated_poses
from transpose.evaluation.training_facts import TrainingFacts, section_kind, training_facts
from transpose.localization import Localizer, load
from transpose.pages import figures, plots
from transpose.pages import report_tables as tables
from transpose.pages.confidence_figures import confidence_figures, confidence_table
from transpose.pages.gallery import jpeg_uri, make_gallery
from transpose.pages.gallery_html import gallery_html
from transpose.pages.headline import headline, marked_bound
from transpose.pages.photo_list import photo_list
from transpose.pages.task_pictures import task_pictures
from transpose.pages.training_words import training_list, training_sentence, training_warnings
from transpose.pages.wording import errors_sentence, unit_sentence
from transpose.scenes.facts import scene_up
from transpose.scenes.layout import Section
from transpose.storage import replacing_file
from transpose.worlds.top_down import map_limits, nadir_view, seen_limits, top_down

_MOST_GALLERY_FRAMES, _LEAST_GALLERY_FRAMES, _GALLERY_FRAMES_A_PAGE = 8, 3, 24
_MAP_PIXELS = 900
# plotly.js takes 4.5 MB, maps and galleries some 1.5; a page stays below 10 MB.
_PHOTO_BYTES, _PHOTO_ROWS = 2_500_000, 1000


@dataclass(frozen=True)
class SectionResults:
    """A section and what came of localizing it.

    `title` is shown in place of the section's name; `explanation` says in a sentence what the section is. Results are
    matched to the section's frames by stem.
    """

    section: Section
    results: Sequence[FrameResult]
    title: str = ""
    explanation: str = ""

    @property
    def name(self) -> str:
        """What the page calls it."""
        return self.title or self.section.name


@dataclass(frozen=True)
class Origin:
    """How a page was made: the machine that localized, and the command that makes it again."""

    machine: str
    command: str


def write_report(
    run: Path,
    tests: Sequence[SectionResults],
    out: Path,
    *,
    world: Path | None = None,
    notes: Sequence[str] = (),
    rejection: Mapping[str, tuple[int, int]] | None = None,
    localizer: Localizer | None = None,
    origin: Origin | None = None,
) -> Path:
    """Writes the report of a run as one self-contained HTML file.

    Args:
        run: the run folder.
        tests: the sections that were localized, each with at least one result; the first makes the headline.
        out: the file.
        world: the world's folder, for the map's background and the renderings at estimated poses.
        notes: remarks, one a line.
        rejection: (refused, shown) of images from elsewhere, by the name of their set.
        localizer: whose predictions the galleries show, where it predicts coordinates; the run's own by default.
        origin: how the page was made; None: not told.

    Returns:
        `out`.

    Raises:
        TransposeError: run, world, an image or a label is missing or broken.
        ValueError: there are no sections, or one has no results.
    """
    if not tests or not all(test.results for test in tests):
        raise ValueError("a report needs at least one section, and results for each")
    page = _Page(training_facts(run), _by_name(tests), localizer or load(run), _Renderer.of(world))
    template = Template(resources.files("transpose.pages").joinpath("report.html").read_text("utf-8"))
    text = template.substitute(page.parts(notes, rejection or {}, origin))
    with replacing_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def _by_name(tests: Sequence[SectionResults]) -> dict[str, SectionResults]:
    named: dict[str, SectionResults] = {}
    for test in tests:
        name, count = test.name, 2
        while name in named:
            name, count = f"{test.name} ({count})", count + 1
        named[name] = test
    return named


@dataclass(frozen=True)
class _Renderer:
    """The renderer of a world, or of none."""

    renderer: Any = None

    @classmethod
    def of(cls, world: Path | None) -> _Renderer:
        if world is None:
            return cls()
        from transpose.worlds.renderer import Renderer
        from transpose.worlds.world import load_world

        return cls(Renderer(load_world(world)))

    def background(self, plan: Any, limits: Any, centers_n3: np.ndarray) -> figures.Background | None:
        """The world from above, faded by what lies under it: white."""
        if self.renderer is None:
            return None
        rgba_hw4 = nadir_view(self.renderer, plan, limits, centers_n3, _MAP_PIXELS)
        rgb_hw3 = np.where(rgba_hw4[..., 3:] > 0, rgba_hw4[..., :3], np.uint8(255))
        return figures.Background(jpeg_uri(rgb_hw3), limits)


class _Page:
    """Fills the template."""

    def __init__(
        self,
        training: TrainingFacts,
        tests: dict[str, SectionResults],
        localizer: Localizer,
        world: _Renderer,
    ) -> None:
        self._training, self._tests, self._localizer, self._world = training, tests, localizer, world
        self._results = {name: test.results for name, test in tests.items()}
        self._marked = marked_bound([r for results in self._results.values() for r in results])
        self._unit = localizer.checkpoint.unit
        self._plots = 0

    def parts(
        self, notes: Sequence[str], rejection: Mapping[str, tuple[int, int]], origin: Origin | None
    ) -> dict[str, str]:
        """The template's placeholders."""
        from plotly.offline import get_plotlyjs

        training, sections = self._training, [test.section for test in self._tests.values()]
        scene = sections[0].scene.resolve()
        sentences = [
            headline(t.results, name, section_kind(t.section), self._marked) for name, t in self._tests.items()
        ]
        warnings = [*training_warnings(training, sections), *_errors(self._results)]
        unit = unit_sentence(self._unit)
        page = resources.files("transpose.pages")
        position, rotation = figures.error_figures(self._results)
        accuracy = tables.accuracy_table(self._results, training.model_bytes, self._marked)
        return {
            "css": page.joinpath("report.css").read_text("utf-8"),
            "plotly": get_plotlyjs(),
            "title": html.escape(f"TransPose report: {scene.name}"),
            "eyebrow": html.escape(f"TransPose report · {scene.name}"),
            "headline": html.escape(sentences[0]),
            "more_headlines": "".join(f'<p class="more">{html.escape(text)}</p>' for text in sentences[1:]),
            "lead": html.escape(f"{training_sentence(training, scene)} {unit}".rstrip()),
            "warnings": "".join(f'<p class="warning">{html.escape(text)}</p>' for text in warnings),
            "facts": tables.facts_list([*training_list(training, sections), *_machine(origin)]),
            "accuracy": accuracy,
            "position_curve": self._plot(position, "Cumulative share of frames over position error"),
            "rotation_curve": self._plot(rotation, "Cumulative share of frames over rotation error"),
            "sections": "".join(self._section(name, test) for name, test in self._tests.items()),
            "calibration": tables.calibration_part(self._results),
            "confidence": self._confidence(),
            "rejection": _optional("Images from elsewhere", _rejection(rejection, self._results) if rejection else ""),
            "training": _optional("Training", self._training_plots()),
            "origin": _optional("How this page was made", _command(origin)),
            "notes": _optional("Notes", tables.notes_list(notes) if notes else ""),
        }

    def _plot(self, figure: dict[str, Any], label: str, kind: str = "") -> str:
        """A place for plotly.js to draw in, and what to draw."""
        # "<" never stands in the script's text, so that no label can end it.
        data = json.dumps(figure, allow_nan=False).replace("<", "\\u003c")
        self._plots += 1
        place = f'<div class="plot {kind}" role="img" aria-label="{html.escape(label)}"></div>'
        return f'{place}<script type="application/json" class="plot-data">{data}</script>'

    def _section(self, name: str, test: SectionResults) -> str:
        explanation = f"<p>{html.escape(test.explanation)}</p>" if test.explanation else ""
        renderer = self._world.renderer
        count = max(_LEAST_GALLERY_FRAMES, min(_MOST_GALLERY_FRAMES, _GALLERY_FRAMES_A_PAGE // len(self._tests)))
        more = partial(task_pictures, self._localizer)
        gallery = make_gallery(self._localizer, test.section, test.results, renderer, count, more)
        share = len(self._tests)
        every = photo_list(test.section, test.results, renderer, _PHOTO_BYTES // share, _PHOTO_ROWS // share)
        return (
            f"<section><h2>{html.escape(name)}</h2>{explanation}"
            f"<h3>Where the cameras stood</h3>{self._map(name, test)}"
            f"<h3>Frames from best to worst</h3>{gallery_html(gallery, renderer is not None)}"
            f"<h3>Every {_one(test.section)}</h3>{every}</section>"
        )

    def _map(self, name: str, test: SectionResults) -> str:
        centers_n3 = np.array([result.truth.center for result in test.results])
        renderer = self._world.renderer
        up_3 = scene_up(test.section.scene) if renderer is None else renderer.world.up_3
        plan = top_down(centers_n3, up_3, self._unit)
        estimated_n2 = plan.places(np.array([pose.center for pose in estimated_poses(test.results)]))
        limits = map_limits(plan.places(centers_n3), estimated_n2, self._unit)
        if self._world.renderer is not None:
            poses = [result.truth for result in test.results]
            limits = seen_limits(self._world.renderer, plan, limits, poses, test.section.frames[0].camera)
        figure = figures.map_figure(test.results, plan, limits, self._world.background(plan, limits, centers_n3))
        axes = "in metres" if self._unit.metric else "in the scene's units"
        view = f"Seen from above, axes {axes}." if plan.is_level else _NOT_LEVEL.format(axes=axes)
        return f'{self._plot(figure, f"Map of the cameras of {name}", "map")}<p class="caption">{view} {_MAP_WORDS}</p>'

    def _confidence(self) -> str:
        drawn = confidence_figures(self._results)
        if drawn is None:
            return ""
        diagram, risk = self._plot(drawn[0], "Reliability diagram"), self._plot(drawn[1], "Risk over coverage")
        return (
            f"<p>{_CONFIDENCE_WORDS}</p>{confidence_table(self._results)}"
            f'<div class="pair"><div>{diagram}</div><div>{risk}</div></div><p class="caption">{_RISK_WORDS}</p>'
        )

    def _training_plots(self) -> str:
        if not plots.unique_steps(self._training.log):
            return ""
        loss, error = figures.training_figures(self._training.log)
        left, right = self._plot(loss, "Loss over the steps"), self._plot(error, "Coordinate error over the steps")
        return f'<div class="pair"><div>{left}</div><div>{right}</div></div><p class="caption">{_TRAINING_WORDS}</p>'


_NOT_LEVEL = "The two world axes along which the cameras moved most, {axes}; which way is up is not known here."
_MAP_WORDS = (
    "Rings are true cameras, dots estimated ones, strokes their viewing directions; a grey line joins the two of a "
    "frame, a cross marks a refused frame at its true place. Hover over a mark for its frame."
)
_CONFIDENCE_WORDS = (
    "Every pose also comes with the probability that it is right: that what the image shows lies within a twentieth of "
    "the image's diagonal of where the pose puts it. Where that is too low, the pose is refused. Refused poses count "
    "here as well. ECE is the mean distance between stated and true shares, Brier the mean squared one of each image, "
    "AURC the mean share of wrong poses among the surest; of all three, less is better."
)
_RISK_WORDS = (
    "Left: of the images whose pose is stated to be right with some probability, so many are right; on the dotted line "
    "confidence tells the truth. Right: how many poses are wrong if only the surest are given."
)
_TRAINING_WORDS = (
    "Validation frames are kept out of training. The loss also rates the predicted uncertainty and can be negative; "
    "lower is better."
)


def _errors(sections: Mapping[str, Sequence[FrameResult]]) -> list[str]:
    return [sentence for name, results in sections.items() if (sentence := errors_sentence(results, name))]


def _one(section: Section) -> str:
    return section_kind(section).removesuffix("s")


def _machine(origin: Origin | None) -> list[tuple[str, str]]:
    return [("Machine", origin.machine)] if origin else []


def _command(origin: Origin | None) -> str:
    return f"<pre>{html.escape(origin.command)}</pre>" if origin else ""


def _optional(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _rejection(rejection: Mapping[str, tuple[int, int]], results: Mapping[str, Sequence[FrameResult]]) -> str:
    words = "A localizer should give no pose for an image of another place. These were shown to it."
    return f"<p>{words}</p>{tables.rejection_table(rejection, results)}"
