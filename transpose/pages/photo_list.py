"""Every photo of a tested section, folded away: what it shows, what its pose would show, and all its numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from transpose.evaluation.metrics import FrameResult
from transpose.losses.calibration import chi2_quantile
from transpose.pages.gallery import jpeg_uri, world_image
from transpose.pages.wording import NEES_HTML, angle, duration, length
from transpose.scenes.layout import Frame, Section

if TYPE_CHECKING:
    from transpose.worlds.renderer import Renderer

_WIDTH = 240
_WORDS = (
    "In the order of the section; open one for the photo and its numbers. The stated error is the root mean square "
    "that the covariance stands for."
)


def photo_list(
    section: Section, results: Sequence[FrameResult], renderer: Renderer | None, most_bytes: int, most_rows: int
) -> str:
    """All results as HTML, a folded part each.

    Args:
        section: that was localized; a result whose frame it lacks has numbers alone.
        results: of its frames.
        renderer: of the world, for what the estimated pose would show; None: photos alone.
        most_bytes: that all pictures may take together; frames after that have numbers alone, which is said.
        most_rows: frames that are listed; how many are left out is said.
    """
    frames = {frame.stem: frame for frame in section.frames}
    rows, left, bare = [], most_bytes, 0
    for result in results[:most_rows]:
        shown = ""
        if result.stem in frames and left > 0:
            shown = "".join(_pictures(frames[result.stem], result, renderer))
            left -= len(shown)
        bare += not shown
        rows.append(_row(result, shown))
    words = _WORDS + (f" The page would grow too large: {bare} are listed without pictures." if bare else "")
    if len(results) > most_rows:
        words += f" {len(results) - most_rows} more are left out here; the files of the test have them."
    return f'<p class="caption">{words}</p><div class="photos">{"".join(rows)}</div>'


def _pictures(frame: Frame, result: FrameResult, renderer: Renderer | None) -> Iterator[str]:
    if result.raised:  # perhaps because the image cannot be read
        return
    image_hw3 = frame.image()
    width = min(_WIDTH, image_hw3.shape[1])
    height = max(1, round(image_hw3.shape[0] * width / image_hw3.shape[1]))
    yield _picture(cv2.resize(image_hw3, (width, height), interpolation=cv2.INTER_AREA), "Image", result.stem)
    if renderer is not None and result.estimate.pose is not None:
        rgb_hw3 = world_image(renderer, frame.camera.resized(width, height), result.estimate.pose)
        yield _picture(rgb_hw3, "World at the estimated pose", result.stem)


def _picture(rgb_hw3: np.ndarray, caption: str, stem: str) -> str:
    alt = html.escape(f"{caption}: {stem}")
    return f'<figure><img src="{jpeg_uri(rgb_hw3)}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def _row(result: FrameResult, pictures: str) -> str:
    degrees, told = result.told_error
    if result.estimate.pose is None:
        outcome = f"no pose: {result.estimate.reason}"
    else:
        outcome = f"{length(told, result.unit)}, {angle(degrees)}"
    numbers = "".join(f"<div><dt>{what}</dt><dd>{html.escape(value)}</dd></div>" for what, value in _numbers(result))
    return (
        f'<details><summary><span class="stem">{html.escape(result.stem)}</span> {html.escape(outcome)}</summary>'
        f'<div class="photo">{pictures}<dl class="facts">{numbers}</dl></div></details>'
    )


def _numbers(result: FrameResult) -> Iterator[tuple[str, str]]:
    estimate = result.estimate
    if estimate.pose is not None:
        if estimate.covariance_66 is not None:
            yield "Stated error", " and ".join(_stated(result))
            inside = result.nees <= chi2_quantile(0.9, 6)
            yield "In the 90 % ellipsoid", "yes" if inside else "no"
            yield NEES_HTML, f"{result.nees:.1f}"
        yield "Position", ", ".join(f"{x:.3f}" for x in estimate.pose.center)
    if estimate.confidence is not None:
        yield "Confidence", f"{estimate.confidence:.4f}"
    yield "Inliers", str(estimate.inliers)
    yield "Score", f"{estimate.score:.2f}"
    if estimate.by:
        yield "By", estimate.by
    yield "Time", duration(result.seconds)


def _stated(result: FrameResult) -> tuple[str, str]:
    """Position and rotation error that a covariance stands for, root mean square."""
    assert result.estimate.covariance_66 is not None
    variance_6 = np.diag(result.estimate.covariance_66)
    rotation = math.degrees(math.sqrt(variance_6[:3].sum()))
    return length(result.unit.told(math.sqrt(variance_6[3:].sum())), result.unit), angle(rotation)
