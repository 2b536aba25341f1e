"""Time and memory of k-reciprocal re-ranking, and what it does to the ranking.

    python benchmarks/rerank.py [--items 10000] [--queries 2000] [--dimensions 4096] [--of-place 50] [--given]
    python benchmarks/rerank.py --runs RUN... --photos SCENE/train [--images 60]     of runs of the preset retrieval

Descriptors of images of random places, so many of each. What is an image's own is twice as large as what it shares with
its place, and that changes along a walk through it, so that its ends are alike by what lies between. Prints
seconds on the clock and of all cores, the memory of the process, and the mean average precision before and after.
`--given`: by a matrix of distances instead of descriptors.

With runs: how often the image of a run's database that is found first for a photo, or one of the first five, overlaps
with it by half or more (of photos with which any does), plain and re-ranked, and how far the poses are off. What looks
most alike is found in renders by photos where the run learned from renders. Never choose by a test section.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from stages import machine, peak_bytes
from torch import Tensor

from transpose import runs
from transpose.geometry.poses import pose_error
from transpose.inspection.similarity import SimilarityOptions, similarity_of
from transpose.localization.global_descriptors import nearest
from transpose.localization.query import Query
from transpose.localization.rerank import RerankOptions, nearest_reranked, reranked, reranked_distances
from transpose.localization.retrieval import RetrievalLocalizer, RetrievalOptions, retrieved_pose
from transpose.randomness import torch_stream
from transpose.scenes.layout import Frame, open_section
from transpose.selection import evenly_chosen
from transpose.training.sections import gather_frames

SHOWN = 0.5  # of both views, by which one shows what the other does
FIRST = 5


def images(count: int, dimensions: int, of_place: int) -> tuple[Tensor, Tensor]:
    """Unit descriptors (n, d), and the place of each (n,), in random order."""
    generator = torch_stream(0, "images")
    place_n = torch.randperm(count, generator=generator) % max(1, count // of_place)
    ends = torch.randn(2, int(place_n.max()) + 1, dimensions, generator=generator)
    along_n1 = torch.rand(count, 1, generator=generator)
    walked_nd = (1 - along_n1) * ends[0, place_n] + along_n1 * ends[1, place_n]
    return F.normalize(walked_nd + 2 * torch.randn(count, dimensions, generator=generator), dim=1), place_n


def average_precision(distance_qg: Tensor, same_qg: Tensor) -> float:
    """Mean over the queries, in per cent."""
    relevant_qg = same_qg.gather(1, distance_qg.argsort(1)).double()
    precision_qg = relevant_qg.cumsum(1) / torch.arange(1, relevant_qg.shape[1] + 1)
    return 100 * ((precision_qg * relevant_qg).sum(1) / relevant_qg.sum(1)).mean().item()


def of_run(run: Path, photos: Sequence[Frame], overlaps: dict[tuple[Path, ...], np.ndarray]) -> None:
    """Prints what a run's database gives for photos; `overlaps` are kept for the next run of the same frames."""
    model = runs.load_model(run)
    scene, sections = Path(str(model.provenance.scene)), model.provenance.sections
    learned, _ = gather_frames(scene, sections, model.provenance.validation, "poses", leave_out=True)
    frames = [each.frame for each in learned]
    localizer = RetrievalLocalizer(model)
    assert len(frames) == len(localizer.database), f"{scene} has changed since {run} was trained"
    key = tuple(each.paths["rgb"] for each in frames)
    if key not in overlaps:
        options = SimilarityOptions.of_many([each.camera for each in (*photos, *frames)])
        overlaps[key] = similarity_of(photos, frames, options).both.toarray()
    right_pn = overlaps[key] >= SHOWN
    shown_p = right_pn.any(1)
    queries = [Query.of(localizer.camera, photo.image(), photo.camera) for photo in photos]
    vectors_pd = torch.stack([localizer.described(query) for query in queries])
    size = (run / runs.MODEL_FILE).stat().st_size / 2**20
    print(f"{run}: {len(frames)} images, {size:.1f} MB; {shown_p.sum()} of {len(photos)} photos are shown by one")
    print(f"  by chance {right_pn[shown_p].mean():.1%}")
    for name, find in (("plain", nearest), ("re-ranked", nearest_reranked)):
        found_pk = np.stack([find(each, localizer.database.vectors_nd, FIRST)[0].numpy() for each in vectors_pd])
        right_pk = np.take_along_axis(right_pn, found_pk, 1)[shown_p]
        print(f"  {name}: the first shows it {right_pk[:, 0].mean():.1%}, one of {FIRST} {right_pk.any(1).mean():.1%}")
    for pose in ("nearest", "interpolated"):
        database = replace(localizer.database, options=RetrievalOptions(pose))
        posed = [(retrieved_pose(each, database).pose, photo) for each, photo in zip(vectors_pd, photos, strict=True)]
        degrees, distance = np.median([pose_error(found, photo.pose) for found, photo in posed if found], axis=0)
        print(f"  {pose}: {100 * distance:.1f} cm, {degrees:.1f} deg in the median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000, help="queries and gallery together")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--dimensions", type=int, default=4096)
    parser.add_argument("--of-place", type=int, default=50)
    parser.add_argument("--given", action="store_true")
    parser.add_argument("--runs", type=Path, nargs="+", help="of the preset retrieval, instead of random images")
    parser.add_argument("--photos", type=Path, help="SCENE/SECTION of photos with true poses and depth")
    parser.add_argument("--images", type=int, default=60, help="photos at most")
    args = parser.parse_args()
    if args.runs:
        if args.photos is None:
            parser.error("--runs needs --photos SCENE/SECTION")
        frames = open_section(args.photos).frames
        overlaps: dict[tuple[Path, ...], np.ndarray] = {}
        print(machine())
        for run in args.runs:
            of_run(run, [frames[i] for i in evenly_chosen(len(frames), args.images)], overlaps)
        return
    descriptors_nd, place_n = images(args.items, args.dimensions, args.of_place)
    query_qd, gallery_gd = descriptors_nd[: args.queries], descriptors_nd[args.queries :]
    given_nn = 1 - descriptors_nd @ descriptors_nd.T if args.given else None
    before_bytes, started, worked = peak_bytes(), time.monotonic(), time.process_time()
    if given_nn is None:
        found_qg = reranked(query_qd, gallery_gd)
    else:
        found_qg = reranked_distances(given_nn.clamp_min_(0), args.queries)
    seconds, worked, after_bytes = time.monotonic() - started, time.process_time() - worked, peak_bytes()
    original_qg = reranked(query_qd[:200], gallery_gd, RerankOptions(original=1.0))
    same_qg = place_n[:200, None] == place_n[args.queries :]
    print(f"{machine()}\n{args.items} images, {args.queries} of them queries, {args.dimensions} numbers each")
    memory = f"{after_bytes / 2**30:.2f} GiB, {before_bytes / 2**30:.2f} GiB of it before"
    print(f"{seconds:.1f} s, {worked:.1f} s of cores; process {memory}")
    original, better = (average_precision(each, same_qg) for each in (original_qg, found_qg[:200]))
    print(f"mean average precision {original:.1f} % before, {better:.1f} % after")


if __name__ == "__main__":
    main()
