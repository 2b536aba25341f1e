"""The report on stated confidences: a table, how often poses are right by how sure they are, what refusing gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transpose.evaluation.metrics import FrameResult, judged
from transpose.evaluation.reliability import Reliability, risk_coverage
from transpose.pages.figures import line_trace, plain_layout
from transpose.pages.report_tables import row, table

Sections = Mapping[str, Sequence[FrameResult]]


def confidence_table(sections: Sections) -> str:
    """What stated confidences are worth, a section a line; empty where no method says how sure it is."""
    rows = []
    for name, results in sections.items():
        confidence_n, right_n = judged(results)
        if len(right_n) == 0:
            continue
        found = Reliability.of(confidence_n, right_n)
        cells = (
            str(found.images), f"{100 * found.right:.1f} %", f"{100 * confidence_n.mean():.1f} %",
            f"{found.ece:.3f}", f"{found.brier:.3f}", f"{found.aurc:.4f} <small>best {found.aurc_best:.4f}</small>",
        )  # fmt: skip
        rows.append(row(name, list(cells)))
    if not rows:
        return ""
    ideal = row("Ideal", ["", "as stated", "as right", "0", "0", "the best"], 'class="ideal"')
    return table(("Section", "Images", "Right", "Stated, mean", "ECE", "Brier", "AURC"), [*rows, ideal])


def confidence_figures(sections: Sections) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The reliability diagram, and the risk-coverage curve; None where no method says how sure it is."""
    known = {name: pair for name, results in sections.items() if len((pair := judged(results))[0])}
    if not known:
        return None
    diagram = [line_trace(len(known), "ideal", [0, 100], [0, 100])]
    diagram[0]["line"] |= {"dash": "dot", "width": 1}
    risks = []
    for index, (name, (confidence_n, right_n)) in enumerate(known.items()):
        found = Reliability.of(confidence_n, right_n)
        bins = [(s, t) for s, t in zip(found.stated_b, found.true_b, strict=True) if s is not None and t is not None]
        trace = line_trace(index, name, [100 * s for s, _ in bins], [100 * t for _, t in bins])
        diagram.append(trace | {"mode": "lines+markers"})
        risk_n = risk_coverage(confidence_n, right_n)
        covered_n = np.arange(1, len(risk_n) + 1) / len(risk_n)
        risks.append(line_trace(index, name, 100 * covered_n, 100 * risk_n))
    reliability_layout = plain_layout("stated to be right (%)", "right (%)", legend=True)
    reliability_layout["xaxis"] |= {"range": [0, 103]}
    reliability_layout["yaxis"] |= {"range": [0, 103]}
    risk_layout = plain_layout("given, surest first (% of images)", "wrong among them (%)", legend=len(known) > 1)
    risk_layout["xaxis"] |= {"range": [0, 103]}
    risk_layout["yaxis"] |= {"rangemode": "tozero"}
    return {"data": diagram, "layout": reliability_layout}, {"data": risks, "layout": risk_layout}
