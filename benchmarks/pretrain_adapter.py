"""Trains one adapter of XFeat's features over many places, for `transpose train --adapter FILE` at another one.

    python benchmarks/pretrain_adapter.py SCENE/SECTION... --out adapter.pt [--views 120] [--steps 2000]
        [--turn-deg 180] [--zoom 1.5] [--seed 0]

Sections are renders of worlds, such as villages of several seeds, or photos with depth; sections of one scene, such as
renders and photos, are one place. Photos and renders of one place are each other's positives. Keep out every place on
which the adapter is to be tried. The file's card says on what it was trained.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from stages import machine

from transpose.models.adapter import Adapter, AdapterConfig
from transpose.models.adapter_file import save_adapter
from transpose.models.precision import checked_device, fast_dtype
from transpose.models.xfeat import XFeatEncoder
from transpose.randomness import derived_seed
from transpose.scenes.augment import AugmentOptions
from transpose.training.adapting import AdapterTraining, Places, fit_statistics, train_adapter
from transpose.training.buffer import Filling, fill_buffer
from transpose.training.sections import gather_frames, sized

KEYPOINTS = 800


def places_of(scene: Path, sections: list[str], filling: Filling, training: AdapterTraining, device: str) -> Places:
    """What the views of one place share."""
    frames, kept_out = gather_frames(scene, sections, None, "depth")
    where, dtype = checked_device(device), fast_dtype(checked_device(device))
    encoder = XFeatEncoder().to(where)
    origin_3 = np.mean([each.frame.pose.center for each in frames], axis=0)
    filled = fill_buffer(sized([*frames, *kept_out], None), encoder, origin_3, filling, device=where, dtype=dtype)
    return Places.of(filled.observations, training)


def main() -> None:
    """Trains and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=120, help="augmented ones of each place")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--width", type=int, default=AdapterConfig.width)
    parser.add_argument("--turn-deg", type=float, default=180.0, help="views are turned so far at random")
    parser.add_argument("--zoom", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    augment = AugmentOptions(max_rotation_deg=args.turn_deg, max_scale=args.zoom)
    filling = Filling(args.views, 1, 64, True, KEYPOINTS, augment, args.seed, keypoint_features=True)
    training = replace(AdapterTraining(), steps=args.steps)
    by_scene: dict[Path, list[str]] = {}
    for section in args.sections:
        by_scene.setdefault(section.parent, []).append(section.name)
    started, places = time.monotonic(), []
    for scene, names in by_scene.items():
        places.append(places_of(scene, names, filling, training, args.device))
        print(f"{scene.name}: {len(places[-1].anchors_a)} keypoints that two views share")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(args.seed, "weights"))
        adapter = Adapter(AdapterConfig(width=args.width))
    fit_statistics(adapter, places, args.seed)
    device = checked_device(args.device)
    loss = train_adapter(adapter.to(device), places, training, args.seed, device, fast_dtype(device))
    card = {
        "trained_on": [str(section) for section in args.sections],
        "views": args.views,
        "steps": args.steps,
        "turn_deg": args.turn_deg,
        "zoom": args.zoom,
        "seed": args.seed,
        "loss": loss,
        "machine": machine(),
    }
    save_adapter(args.out, adapter, card)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, loss {loss:.3f}, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
