"""Time and memory of k-reciprocal re-ranking, and what it does to the ranking.

    python benchmarks/rerank.py [--items 10000] [--queries 2000] [--dimensions 4096] [--of-place 50] [--given]

Descriptors of images of random places, so many of each. What is an image's own is twice as large as what it shares with
its place, and that changes along a walk through it, so that its ends are alike by what lies between. Prints
seconds on the clock and of all cores, the memory of the process, and the mean average precision before and after.
`--given`: by a matrix of distances instead of descriptors.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from stages import machine, peak_bytes
from torch import Tensor

from transpose.localization.rerank import RerankOptions, reranked, reranked_distances
from transpose.randomness import torch_stream


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000, help="queries and gallery together")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--dimensions", type=int, default=4096)
    parser.add_argument("--of-place", type=int, default=50)
    parser.add_argument("--given", action="store_true")
    args = parser.parse_args()
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
