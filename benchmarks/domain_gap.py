"""What lies between renders and photos for a run's features, and how they bear turns and zooms.

    python benchmarks/domain_gap.py SCENE --photos train --renders train_sim --runs RUN... [--images 24] [--out FILE]

Of each run: the share of a photo's keypoints that are matched to a right landmark (one that the true pose puts within
3 pixels), of a render's likewise, and how far off the others are; the same of map points that the network recognizes,
where it does; how well a linear probe tells cells of renders from
cells of photos (cross-validated over images; 50 % where nothing tells them apart); how often the render that looks most
like a photo (the mean of its keypoints' descriptors) shows the same; and how alike the same point is, and how often it
is the most similar of all keypoints of its image, under turns of 0 to 180 degrees and zooms of 1 to 3.
Choose renders that the run did not learn from, with a seed of their own, to see them as it sees the photos.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from stages import machine

from transpose import runs
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import transform
from transpose.localization.landmarks import LandmarkMap, match_everywhere
from transpose.localization.options import LocalizationOptions
from transpose.localization.scene_network import SceneNetwork
from transpose.models.keypoints import Keypoints, features_at, keypoints_of
from transpose.models.network import ImageMaps
from transpose.models.precision import fast_dtype
from transpose.runs import Checkpoint
from transpose.scenes.augment import warp
from transpose.scenes.layout import Frame, open_section
from transpose.scenes.resizing import resized_to_height
from transpose.selection import evenly_chosen

CPU = torch.device("cpu")
RIGHT_PX = (3.0, 10.0, 80.0)
ANGLES_DEG, ZOOMS = (0, 15, 30, 45, 90, 135, 180), (1.0, 1.5, 2.0, 3.0)
KEYPOINTS, CELLS = 1200, 60  # of an image
FOLDS, RIDGE = 4, 1e-2
SHOWN = 0.5  # of a photo's points, which a render must show as well to be the right one
SAME_DEPTH = 0.05  # relative


@dataclass(frozen=True, eq=False)
class Seen:
    """An image as a run sees it."""

    frame: Frame
    image_hw3: np.ndarray
    camera: Camera
    maps: ImageMaps
    keypoints: Keypoints


def see(network: SceneNetwork, frame: Frame, height: int | None) -> Seen:
    """Encodes a frame at the height that was learned."""
    image_hw3, camera = frame.image(), frame.camera
    if height is not None:
        image_hw3, camera = resized_to_height(image_hw3, camera, height)
    return Seen(frame, image_hw3, camera, *described(network, image_hw3))


def described(network: SceneNetwork, image_hw3: np.ndarray) -> tuple[ImageMaps, Keypoints]:
    """Maps and keypoints of an image."""
    maps = network.maps(image_hw3)
    return maps, keypoints_of(maps, (image_hw3.shape[0], image_hw3.shape[1]), KEYPOINTS)


def match_rates(seen: Sequence[Seen], model: Checkpoint) -> dict[str, float]:
    """Shares of all keypoints: matched, and matched to a landmark within so many pixels of the right place."""
    if model.landmarks is None:
        raise SystemExit("a run without landmarks has no match rate")
    landmarks = LandmarkMap.from_state(model.landmarks, CPU)
    points_l3 = landmarks.points_n3.double().numpy() + model.origin_3
    errors = []
    for each in seen:
        matches = match_everywhere(each.keypoints, landmarks)
        errors.append(error_px(each, matches.keypoint_m, points_l3[matches.landmark_m]))
    return shares(seen, errors)


def recognition_rates(network: SceneNetwork, seen: Sequence[Seen], model: Checkpoint) -> dict[str, float]:
    """The same of the map points that the network recognizes, as likely as localization asks; empty without any."""
    if not network.recognizes:
        return {}
    errors = []
    for each in seen:
        points_n3, probability_n = network.recognized(each.maps, each.keypoints)
        likely_m = (probability_n >= LocalizationOptions().min_recognized).nonzero()[:, 0].numpy()
        errors.append(error_px(each, likely_m, points_n3.double().numpy()[likely_m] + model.origin_3))
    return shares(seen, errors)


def error_px(each: Seen, keypoint_m: np.ndarray, points_m3: np.ndarray) -> np.ndarray:
    """From keypoints (m,) to where the true pose sees the points that they are taken for; infinite behind it."""
    found_m2 = each.keypoints.px_n2.double().numpy()[keypoint_m]
    true_m2 = each.camera.project(transform(each.frame.pose.T_cw, points_m3))
    return np.nan_to_num(np.linalg.norm(found_m2 - true_m2, axis=1), nan=np.inf)


def shares(seen: Sequence[Seen], errors: Sequence[np.ndarray]) -> dict[str, float]:
    """Of all keypoints: those that have an error, and those whose error is within each bound."""
    keypoints, error_m = sum(len(each.keypoints) for each in seen), np.concatenate(errors)
    within = {f"within_{bound:.0f}_px": float((error_m < bound).sum() / keypoints) for bound in RIGHT_PX}
    return {"matched": len(error_m) / keypoints, **within}


def domain_accuracy(photos: Sequence[Seen], renders: Sequence[Seen], seed: int) -> float:
    """Of a linear probe that tells the domain of a cell, trained on cells of other images (balanced)."""
    rng = np.random.default_rng(seed)
    features, label, image = [], [], []
    for number, each in enumerate([*photos, *renders]):
        cells_nc = each.maps.features_bchw[0].flatten(1).T.float()
        if number >= len(photos):  # holes of renders show nothing
            depth_n = torch.from_numpy(each.frame.depth())[4::8, 4::8].flatten()
            cells_nc = cells_nc[: len(depth_n)][depth_n.isfinite()] if len(depth_n) == len(cells_nc) else cells_nc
        kept = torch.from_numpy(rng.permutation(len(cells_nc))[:CELLS])
        features.append(cells_nc[kept])
        label += [1.0 if number < len(photos) else -1.0] * len(kept)
        image += [number] * len(kept)
    x_nc, y_n = torch.cat(features).double(), torch.tensor(label, dtype=torch.float64)
    x_nc = torch.cat([(x_nc - x_nc.mean(0)) / (x_nc.std(0) + 1e-6), torch.ones(len(x_nc), 1)], 1)
    fold_n = torch.from_numpy(rng.permutation(max(image) + 1))[torch.tensor(image)] % FOLDS
    right = torch.zeros(2)
    for fold in range(FOLDS):
        train_n = fold_n != fold
        a, b = x_nc[train_n], y_n[train_n]
        w = torch.where(b > 0, 1 / (b > 0).sum(), 1 / (b < 0).sum())[:, None]
        solution = torch.linalg.solve(a.T @ (w * a) + RIDGE * torch.eye(a.shape[1], dtype=a.dtype), a.T @ (w[:, 0] * b))
        hit_n = (x_nc[~train_n] @ solution).sign() == y_n[~train_n]
        right += torch.tensor([hit_n[y_n[~train_n] > 0].sum(), hit_n[y_n[~train_n] < 0].sum()])
    return float((right / torch.tensor([(y_n > 0).sum(), (y_n < 0).sum()])).mean())


def retrieval(photos: Sequence[Seen], renders: Sequence[Seen]) -> dict[str, float]:
    """Of photos that some render shows: how often the most similar render does, and by chance."""
    photo_pc, render_rc = (
        F.normalize(torch.stack([each.keypoints.descriptors_nc.mean(0) for each in group]), dim=1)
        for group in (photos, renders)
    )
    mean_c = render_rc.mean(0)
    similarity_pr = F.normalize(photo_pc - mean_c, dim=1) @ F.normalize(render_rc - mean_c, dim=1).T
    right_pr = np.array([[shows(render, photo) for render in renders] for photo in photos])
    shown_p = right_pr.any(1)
    best_p = similarity_pr.argmax(1).numpy()
    hits = right_pr[np.arange(len(photos)), best_p][shown_p]
    return {"r_at_1": float(hits.mean()), "by_chance": float(right_pr[shown_p].mean()), "photos": int(shown_p.sum())}


def shows(render: Seen, photo: Seen) -> bool:
    """Whether a render shows at least half of what a photo does; both have depth."""
    depth_hw = photo.frame.depth()
    y_n, x_n = (grid.ravel() for grid in np.mgrid[8 : depth_hw.shape[0] : 16, 8 : depth_hw.shape[1] : 16])
    px_n2 = np.stack([x_n, y_n], 1) + 0.5
    camera_n3 = photo.frame.camera.unproject(px_n2) * depth_hw[y_n, x_n][:, None]
    camera_n3 = camera_n3[np.isfinite(camera_n3).all(1)]
    there_n3 = transform(render.frame.pose.T_cw, transform(photo.frame.pose.T_wc, camera_n3))
    with np.errstate(invalid="ignore", divide="ignore"):
        at_n2 = render.frame.camera.project(there_n3)
        size_2 = np.array([render.frame.camera.width, render.frame.camera.height])
        inside_n = (there_n3[:, 2] > 0) & ((at_n2 >= 0) & (at_n2 < size_2)).all(1)
    column_n, row_n = at_n2[inside_n].astype(int).T
    depth_n, z_n = render.frame.depth()[row_n, column_n], there_n3[inside_n, 2]
    return bool((np.abs(depth_n - z_n) < SAME_DEPTH * z_n).sum() >= SHOWN * max(1, len(camera_n3)))


def invariance(network: SceneNetwork, seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Cosine of the same point, and how often it is the most similar, under each turn and each zoom."""
    turns = [(f"{angle} deg", np.radians(angle), 1.0) for angle in ANGLES_DEG]
    zooms = [(f"x {zoom:g}", 0.0, zoom) for zoom in ZOOMS[1:]]
    return {name: _under(network, seen, angle, zoom) for name, angle, zoom in turns + zooms}


def _under(network: SceneNetwork, seen: Sequence[Seen], angle: float, zoom: float) -> dict[str, float]:
    cosine, first = [], []
    for each in seen:
        view = warp(each.image_hw3, each.camera, each.frame.pose, angle, zoom)
        affine_33 = np.linalg.inv(np.vstack([view.to_source_23, [0, 0, 1]]))
        px_n2 = each.keypoints.px_n2.double().numpy() @ affine_33[:2, :2].T + affine_33[:2, 2]
        inside = ((px_n2 > 16) & (px_n2 < np.array([each.camera.width, each.camera.height]) - 16)).all(1)
        kept = torch.from_numpy(np.flatnonzero(inside))
        descriptors_nc = each.keypoints.descriptors_nc[kept]
        features_nc = features_at(network.maps(view.image_hw3), torch.from_numpy(px_n2).float()[kept])
        turned_nc = F.normalize(features_nc[:, : descriptors_nc.shape[1]], dim=1)
        similarity_nn = descriptors_nc @ turned_nc.T
        cosine.append(similarity_nn.diagonal())
        first.append(similarity_nn.argmax(1) == torch.arange(len(kept)))
    return {"cosine": float(torch.cat(cosine).mean()), "first": float(torch.cat(first).float().mean())}


def measured(run: Path, photos: Sequence[Frame], renders: Sequence[Frame], seed: int) -> dict[str, Any]:
    """All figures of a run."""
    model = runs.load_model(run)
    network = SceneNetwork(model, CPU, fast_dtype(CPU))
    seen_photos, seen_renders = ([see(network, each, model.height) for each in group] for group in (photos, renders))
    record: dict[str, Any] = {
        "run": str(run),
        "photos": match_rates(seen_photos, model),
        "renders": match_rates(seen_renders, model),
        "recognized_in_photos": recognition_rates(network, seen_photos, model),
        "recognized_in_renders": recognition_rates(network, seen_renders, model),
        "domain_accuracy": domain_accuracy(seen_photos, seen_renders, seed),
        "invariance": invariance(network, seen_photos[:: max(1, len(seen_photos) // 6)]),
    }
    if all(each.has("depth") for each in (*photos, *renders)):
        record["retrieval"] = retrieval(seen_photos, seen_renders)
    return record


def some(section: Path, count: int) -> list[Frame]:
    """Frames spread evenly over a section."""
    frames = open_section(section).frames
    return [frames[i] for i in evenly_chosen(len(frames), count)]


def main() -> None:
    """Measures every run and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--photos", required=True, help="a section of photos with true poses; never the test section")
    parser.add_argument("--renders", required=True, help="a section of renders that the runs did not learn from")
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--images", type=int, default=24, help="of each section")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    sections = (args.scene / args.photos, args.scene / args.renders)
    photos, renders = (some(section, args.images) for section in sections)
    if min(len(photos), len(renders)) < FOLDS:
        raise SystemExit(f"a domain of {min(len(photos), len(renders))} images says nothing: give {FOLDS} or more each")
    records = [measured(run, photos, renders, args.seed) for run in args.runs]
    text = json.dumps({"machine": machine(), "runs": records}, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
