"""The page of `transpose visualize`: one HTML file with all that was drawn, readable without a network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from transpose.evaluation.metrics import FrameResult
from transpose.pages import report_tables as tables
from transpose.pages.gallery import png_uri
from transpose.pages.gallery_html import gallery_html
from transpose.pages.headline import headline, marked_bound
from transpose.pages.visualize import Drawn
from transpose.pages.wording import unit_sentence
from transpose.scenes.files import read_image
from transpose.storage import replacing_file

_TRAINING_WORDS = "The loss also rates the predicted uncertainty and can be negative; lower is better."
_SCATTER_WORDS = (
    "Left: every labelled cell of the saved maps, by the error that the network expects and the one that it makes; on "
    "the dashed line both are equal. Right: the mean error of the cells that stay when the least confident ones are "
    "taken away; the closer to the oracle, the better does the network know where it errs."
)
_WORDS = {"training.png": _TRAINING_WORDS, "error_vs_uncertainty.png": _SCATTER_WORDS}


def write_page(drawn: Sequence[Drawn], folder: Path, path: Path) -> Path:
    """Writes the page.

    Args:
        drawn: of `visualize.draw`, at least one.
        folder: below which it was found.
        path: of the page.

    Returns:
        `path`.
    """
    tested = {_name(each, folder): each.results for each in drawn if each.results}
    trained = sum(any(picture.name == "training.png" for _, picture in each.pictures) for each in drawn)
    frames = sum(len(results) for results in tested.values())
    what = [f"maps of {_count(frames, 'frame')} from {_count(len(tested), 'test')}"] if tested else []
    what += [_count(trained, "training")] if trained else []
    page = resources.files("transpose.pages")
    text = Template(page.joinpath("visualize.html").read_text("utf-8")).substitute(
        css=page.joinpath("report.css").read_text("utf-8"),
        title=html.escape(f"TransPose maps: {folder.resolve().name}"),
        eyebrow=html.escape(folder.resolve().name),
        headline=html.escape(_capital(" and ".join(what))),
        lead=html.escape(f"The pictures are in {path.parent} as well, each with its scale."),
        overview=_overview(tested) if len(tested) > 1 else "",
        sections="".join(_section(each, _name(each, folder)) for each in drawn),
    )
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _overview(tested: Mapping[str, Sequence[FrameResult]]) -> str:
    marked = marked_bound([result for results in tested.values() for result in results])
    table = tables.accuracy_table(tested, None, marked)
    return f"<section><h2>All tests</h2>{table}</section>"


def _section(each: Drawn, name: str) -> str:
    parts = [f"<section><h2>{html.escape(name)}</h2>"]
    if each.results:
        sentence = headline(each.results, name, "frames", marked_bound(each.results))
        sentence = f"{sentence} {unit_sentence(each.results[0].unit)}".rstrip()
        parts.append(f"<p>{html.escape(sentence)}</p>")
    for title, picture in each.pictures:
        uri, alt = png_uri(read_image(picture)), html.escape(f"{title} of {name}")
        parts.append(f'<h3>{html.escape(title)}</h3><figure class="drawn"><img src="{uri}" alt="{alt}"></figure>')
        parts.append(f'<p class="caption">{html.escape(_WORDS[picture.name])}</p>')
    if each.gallery.frames:
        shown, total = len(each.gallery.frames), len(each.results)
        count = "" if shown == total else f" ({shown} of {total})"
        parts.append(f"<h3>Frames from best to worst{count}</h3>{gallery_html(each.gallery)}")
    return "".join([*parts, "</section>"])


def _name(each: Drawn, folder: Path) -> str:
    relative = each.folder.relative_to(folder)
    return str(relative) if relative.parts else folder.resolve().name


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
