"""What a scene holds: counts, sizes, intrinsics, extents and labels of its sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from transpose.inspection.surface import labelled_fraction
from transpose.scenes.layout import LABEL_LAYERS, Section
from transpose.scenes.unit import METRE, cameras_extent
from transpose.selection import evenly_chosen

_SAMPLED_FRAMES = 24


def section_facts(section: Section) -> dict[str, Any]:
    """Counts, sizes, intrinsics, extents and labels of a section; label coverage on some frames evenly chosen.

    Names of lengths end with `_m` where they are metres. Where they are of a unit of the scene's own, `cameras_extent`
    is the largest distance between two cameras, of which the step is told in per cent as well.
    """
    cameras = [frame.camera for frame in section.frames]
    center_n3 = np.array([frame.pose.center for frame in section.frames])
    ahead_n3 = np.array([frame.pose.R_wc[:, 2] for frame in section.frames])
    metric = section.facts.metric
    in_unit, extent = "_m" if metric else "", cameras_extent(center_n3)
    step_n = np.linalg.norm(np.diff(center_n3, axis=0), axis=1)
    step = float(np.median(step_n)) if len(step_n) else 0.0
    mean_3 = ahead_n3.mean(0) / max(float(np.linalg.norm(ahead_n3.mean(0))), 1e-9)
    angle_n = np.degrees(np.arccos(np.clip(ahead_n3 @ mean_3, -1, 1)))
    chosen = [section.frames[i] for i in evenly_chosen(len(section), _SAMPLED_FRAMES)]
    return {
        "frames": len(section),
        "image_sizes": sorted({f"{camera.width}x{camera.height}" for camera in cameras}),
        "focal_px": [min(camera.fx for camera in cameras), max(camera.fx for camera in cameras)],
        "unit": METRE.name if metric else "scene unit",
        f"extent{in_unit}": np.ptp(center_n3, axis=0).tolist(),
        f"low{in_unit}": center_n3.min(0).tolist(),
        f"high{in_unit}": center_n3.max(0).tolist(),
        f"median_step{in_unit}": step,
        **({} if metric else {"cameras_extent": extent, "median_step_percent": 100 * step / extent if extent else 0.0}),
        **({"camera_assumed": True} if section.facts.camera_assumed else {}),
        **({} if section.facts.truth_error is None else {"truth_error": section.facts.truth_error.as_json()}),
        "viewing_spread_deg": float(np.quantile(angle_n, 0.9)),
        "labels": {
            layer: sum(frame.has(layer) for frame in section.frames) / len(section)
            for layer in LABEL_LAYERS
            if any(frame.has(layer) for frame in section.frames)
        },
        "labelled_share": float(np.mean([labelled_fraction(frame) for frame in chosen])),
    }


def _lengths(facts: Mapping[str, Any]) -> tuple[str, str]:
    """The cameras' box and the step between frames; where there are no metres, the step in per cent of their extent."""
    if facts["unit"] == METRE.name:
        return " x ".join(f"{metres:.3g}" for metres in facts["extent_m"]) + " m", f"{facts['median_step_m']:.3g} m"
    box = " x ".join(f"{units:.3g}" for units in facts["extent"])
    return f"{box} units ({facts['cameras_extent']:.4g} across)", f"{facts['median_step_percent']:.3g} %"


def facts_table(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """The facts of all sections as a person reads them."""
    rows = [("section", "frames", "images", "focal px", "extent", "step", "views within", "labels", "labelled")]
    for name, each in facts.items():
        low, high = each["focal_px"]
        labels = " ".join(
            f"{layer}{'' if share == 1 else f' {100 * share:.0f}%'}" for layer, share in each["labels"].items()
        )
        rows.append(
            (
                name,
                str(each["frames"]),
                " ".join(each["image_sizes"][:2]) + (" ..." if len(each["image_sizes"]) > 2 else ""),
                f"{low:.1f}" if high - low < 0.05 else f"{low:.1f}-{high:.1f}",
                *_lengths(each),
                f"{each['viewing_spread_deg']:.0f} deg",
                labels or "none",
                f"{100 * each['labelled_share']:.0f} %",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
