"""How many landmarks a run has, and how many of them are twins: another one of the same look stands beside them.

    python benchmarks/landmarks.py RUN [--within-m 0.011] [--cosine 0.75]

Three pixels of RedKitchen's photos, seen from the usual distance, are 11 mm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from transpose import runs
from transpose.localization.landmarks import LandmarkMap


def main() -> None:
    """Prints one line."""
    from scipy.spatial import cKDTree

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--within-m", type=float, default=0.011)
    parser.add_argument("--cosine", type=float, default=0.75)
    args = parser.parse_args()
    state = runs.load_model(args.run).landmarks
    if state is None:
        raise SystemExit(f"{args.run} has no landmarks")
    landmarks = LandmarkMap.from_state(state, torch.device("cpu"))
    pairs_p2 = cKDTree(landmarks.points_n3.numpy()).query_pairs(args.within_m, output_type="ndarray")
    first_pc, second_pc = (landmarks.descriptors_nc[pairs_p2[:, i]] for i in (0, 1))
    twins = np.unique(pairs_p2[((first_pc * second_pc).sum(1) > args.cosine).numpy()])
    size = (args.run / runs.MODEL_FILE).stat().st_size
    print(f"{len(landmarks)} landmarks, {len(twins)} of them twins; model.pt {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
