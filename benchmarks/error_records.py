"""What `pretrain_errors.py` makes of its records: the package's entries, and how well places are told by others."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from error_fit import Poses, conformal_factor, fitted_confidence, fitted_covariance, fitted_rival, told

from transpose.localization import LocalizationOptions
from transpose.localization.confidence import ConfidenceModel, beside_rival, is_doubted

NETWORK = ("landmarks", "recognition", "coordinates")  # kinds of poses of one run
KINDS = (*NETWORK, "matches")


def fitted(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The package's entry of one kind."""
    of_kind = [row for row in records if row["kind"] == kind]
    known = [row for row in of_kind if not row["extra"]]
    if kind not in NETWORK:
        # Stated with the general errors of map and camera, 97 % of the true poses of 101 photos were in their 90 %
        # ellipsoid; with those that were fitted so, 82 %.
        confidences = confidences_of(known)
        return {"confidence": {**confidences, "rival": rivals_beside(of_kind, confidences)}}
    if kind == "coordinates":
        return {"covariance": fitted_covariance(poses_of(known)), "confidence": confidences_of(of_kind)}
    confidences = confidences_of(known)
    confidences["rival"] = rivals_beside(of_kind, confidences)
    covariance = fitted_covariance(poses_of(known))
    return {"covariance": widened(covariance, known), "confidence": confidences}


def widened(covariance: dict[str, float], known: list[dict[str, Any]]) -> dict[str, float]:
    """With the factor that makes ellipsoids hold what they state.

    Coordinates of cells have none: what a network learned badly, a run's own validation tells.
    """
    return {**covariance, "conformal": conformal_factor(poses_of(known), covariance)}


def confidences_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Weights of confidences, of poses by matches from anywhere and near a pose."""
    weights = dict[str, Any]()
    for name, guided in {"anywhere": False, "guided": True}.items():
        own = [row for row in rows if row["guided"] == guided]
        if own:
            right_n = np.array([row["right"] for row in own])
            weights[name] = fitted_confidence(np.array([row["features"] for row in own]), right_n)
    return weights


def rivals_beside(of_kind: list[dict[str, Any]], weights: dict[str, Any]) -> float:
    """What another pose counts, beside weights of the kind."""
    logit_n = np.array([logit_of(row, weights) for row in of_kind])
    rival_n, right_n = (np.array([row[key] for row in of_kind]) for key in ("rival", "right"))
    return fitted_rival(logit_n, rival_n, right_n)


def logit_of(row: dict[str, Any], weights: dict[str, Any]) -> float:
    """Of a record, before another pose is looked for."""
    model = ConfidenceModel(**weights["guided" if row["guided"] and "guided" in weights else "anywhere"])
    return float(model.of_features(np.array(row["features"])))


def poses_of(records: list[dict[str, Any]], quality: int | None = None) -> Poses:
    """Those that are right, of all errors that were drawn or of some."""
    right = [row for row in records if row["right"] and "xi" in row]
    return Poses.of([row for row in right if quality is None or row["quality"] == quality])


def print_table(records: dict[str, list[dict[str, Any]]], kinds: list[str]) -> None:
    """Markdown: how far off the poses of each place are, as the fit to the others tells."""
    print("\n| place | kind | errors | poses | median NEES | in the 90 % ellipsoid |\n|---|---|---|---|---|---|")
    for name, kind in ((name, kind) for name in records for kind in kinds if kind in NETWORK):
        others = [row for other, rows in records.items() if other != name or len(records) == 1 for row in rows]
        model = fitted(others, kind)["covariance"]
        own = [row for row in records[name] if row["kind"] == kind]
        for quality, words in {0: "none", 1: "to 0.1 %", 2: "to 0.3 %", 3: "to 1 %"}.items():
            if [row for row in own if row["right"] and row["quality"] == quality]:
                row = told(poses_of(own, quality), model)
                share = f"{100 * row['coverage_90']:.0f} %"
                print(f"| {name} | {kind} | {words} | {row['poses']} | {row['nees_median']:.1f} | {share} |")


def print_confidences(records: dict[str, list[dict[str, Any]]], models: dict[str, Any], kinds: list[str]) -> None:
    """Markdown: right and wrong poses of each place that are given at the default risk, without and with rivals."""
    print("\n| place | kind | poses | how many | given | beside rivals |\n|---|---|---|---|---|---|")
    sure = np.log(1 / LocalizationOptions().risk - 1)
    for name, kind, right in itertools.product(records, kinds, (True, False)):
        weights = models[kind]["confidence"]
        rows = [row for row in records[name] if (row["kind"], bool(row["right"])) == (kind, right)]
        before = [logit_of(row, weights) for row in rows]
        after = [
            beside_rival(logit, row["rival"], weights["rival"]) if is_doubted(logit) else logit
            for logit, row in zip(before, rows, strict=True)
        ]
        given, beside = (sum(logit >= sure for logit in logits) for logits in (before, after))
        print(f"| {name} | {kind} | {'right' if right else 'wrong'} | {len(rows)} | {given} | {beside} |")
