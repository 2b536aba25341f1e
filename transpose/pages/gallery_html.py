"""A gallery as HTML. All text that comes from files is escaped."""

from __future__ import annotations

import html

import numpy as np

from transpose.evaluation.maps import MEAN_DISTANCE_PER_SIGMA
from transpose.pages.gallery import (
    Gallery,
    GalleryFrame,
    Picture,
    png_uri,
    viridis,
)
from transpose.pages.task_pictures import TASK_WORDS
from transpose.pages.wording import NEES_HTML, angle, duration, length, of_extent, round_length


def gallery_html(gallery: Gallery, has_world: bool = False) -> str:
    """The gallery with its colour bar and words; `has_world`: it holds renders at the estimated poses."""
    if not gallery.frames:
        return "<p>No result belongs to a frame of this section.</p>"
    columns = max(len(frame.pictures) for frame in gallery.frames)
    frames = "".join(_gallery_frame(frame) for frame in gallery.frames)
    world = " A right pose makes the rendered world match the image." if has_world else ""
    placed = f'<div class="gallery" style="--columns:{columns}">{frames}</div>'
    if gallery.scale is None:
        return f'<p class="caption">This method predicts no coordinates, so there are no maps.{world}</p>{placed}'
    bar = png_uri(viridis(np.linspace(0, 1, 256)[None], 1.0))
    scale = round_length(gallery.scale, gallery.unit)
    most = f"{scale}{of_extent(gallery.unit)}"
    words = (
        "These maps show the network's coordinates, of single cells of 8 x 8 pixels; a pose is far more exact than its "
        "cells, since it rests on landmarks, or on many of them. "
        f"Error maps: dark is 0, yellow is {most} or more, grey is unknown. The expected error is what the network "
        f"itself predicts for each point ({MEAN_DISTANCE_PER_SIGMA:g} σ, the mean distance that its scale σ stands "
        "for); where it knows its limits, the two maps look alike. Coordinates: x, y, z as red, green, blue."
    )
    if any(picture.kind == "task" for frame in gallery.frames for picture in frame.pictures):
        words += f" {TASK_WORDS}"
    return (
        f'<div class="bar"><span>0</span><img src="{bar}" alt="Colour scale from 0 to {scale}"><span>{scale}</span>'
        f'</div><p class="caption">{words}{world}</p>{placed}'
    )


def _gallery_frame(frame: GalleryFrame) -> str:
    result, estimate = frame.result, frame.result.estimate
    degrees, told = result.told_error
    if estimate.pose is None:
        numbers = [f"refused: {estimate.reason}"]
    else:
        numbers = [f"error {length(told, result.unit)}, {angle(degrees)}", f"{estimate.inliers} inliers"]
    numbers += [f"score {estimate.score:.2f}", duration(result.seconds)]
    line = html.escape(" · ".join(numbers))
    if np.isfinite(result.nees):
        line += f" · {NEES_HTML} {result.nees:.1f}"
    pictures = "".join(_picture(picture) for picture in frame.pictures)
    return (
        f'<article><h4>{html.escape(frame.why)} <span class="stem">{html.escape(result.stem)}</span></h4>'
        f'<div class="pictures">{pictures}</div><p class="numbers">{line}</p></article>'
    )


def _picture(picture: Picture) -> str:
    caption = f"<figcaption>{html.escape(picture.caption)}</figcaption>"
    if picture.uri is None:
        return f'<figure><div class="empty"></div>{caption}</figure>'
    coarse = ' class="coarse"' if picture.coarse else ""
    return f'<figure><img{coarse} src="{picture.uri}" alt="{html.escape(picture.alt)}">{caption}</figure>'
