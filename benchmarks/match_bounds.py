"""How much a better descriptor could do for the matches of keypoints with landmarks, and how much SIFT's does.

    python benchmarks/match_bounds.py SCENE --run RUN --photos train --renders train_sim_1 [--images 12] [--views 300]

All figures are shares of an image's 1200 strongest keypoints, `right` is within 3 pixels of where the true pose sees
the landmark:

* `there`: a landmark that is not hidden is right at all, and `by_chance`: of points 20 pixels beside the keypoints;
* `repeated`: a keypoint whose place a render sees has one of the render's own within 3 pixels, and by chance;
* `among`: one of the k most similar landmarks is right, so what choosing among them without a mistake would reach;
* `matched`, `right`, `within_10_px`: of mutual matches by XFeat's descriptors, and by these with SIFT's of the same
  keypoints beside them: 30 pixels wide and upright, by weight, and by a linear projection of both that is learned from
  renders of this very place, to tell a landmark from those 3 to 24 pixels beside it (Mikolajczyk and Matas, ICCV 2007).

A landmark's SIFT is the mean of what the run's training sections show of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from domain_gap import CPU, SAME_DEPTH, Seen, error_px, see, shows, some
from scipy.linalg import eigh
from scipy.spatial import cKDTree
from stages import machine
from torch import Tensor

from transpose import runs
from transpose.geometry.poses import transform
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.scene_network import SceneNetwork
from transpose.models.keypoints import keypoints_of
from transpose.models.precision import fast_dtype
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.scenes.layout import Frame
from transpose.selection import evenly_chosen
from transpose.training.landmarks import PLACE_PX, SIMILAR, Observations
from transpose.training.recognizing import shown_points
from transpose.training.sections import gather_frames, sized
from transpose.training.views import TrainingFrame, training_view

RIGHT_PX, NEAR_PX, ASIDE_PX = 3.0, 10.0, np.array([14.0, 14.0])
AMONG = (1, 2, 5, 10, 20, 30)
MIN_SIMILARITY = 0.7  # as in localization
SIFT_SIZE, SIFT_CHANNELS = 5.0, 128  # OpenCV's descriptor is six times as wide
WEIGHTS = (0.25, 0.5, 1.0, 2.0)  # of SIFT's similarity beside XFeat's
LEARNED_KEYPOINTS, LEARNED, PROJECTED, RIDGE = 800, 20_000, 64, 0.02  # of a view; differences, directions, relative
FEWEST = 3  # observations of a landmark, one of which is held against the others
BESIDE_PX = (3.5, 24.0)  # the landmarks that it is told from


@dataclass(frozen=True, eq=False)
class Choices:
    """Of an image's keypoints n, the k most similar landmarks, the most similar first.

    Attributes:
        similarity_nk: of XFeat's descriptors.
        landmark_nk: which they are.
        error_nk: pixels from the keypoint to where the true pose sees them.
        described_nd: XFeat's descriptors with SIFT's, unit vectors both.
    """

    similarity_nk: Tensor
    landmark_nk: Tensor
    error_nk: np.ndarray
    described_nd: Tensor

    @classmethod
    def of(cls, each: Seen, landmarks: LandmarkMap, points_l3: np.ndarray) -> Choices:
        """Compares an image with all landmarks, of the world points `points_l3`."""
        px_n2, descriptors_nc = each.keypoints.px_n2, each.keypoints.descriptors_nc
        similarity_nk, landmark_nk = (descriptors_nc @ landmarks.descriptors_nc.T).topk(max(AMONG), dim=1)
        keypoint_m = np.arange(len(px_n2)).repeat(max(AMONG))
        error_m = error_px(each, keypoint_m, points_l3[landmark_nk.numpy().ravel()])
        described_nd = torch.cat([descriptors_nc, sift_at(each.image_hw3, px_n2)], 1)
        return cls(similarity_nk, landmark_nk, error_m.reshape(landmark_nk.shape), described_nd)

    def rates(self, score_nk: Tensor, landmarks: int) -> dict[str, float]:
        """Of the pairs that are each other's best by a score, among those that XFeat finds similar."""
        score_nk = score_nk.masked_fill(self.similarity_nk <= MIN_SIMILARITY, -torch.inf)
        best_n, which_n = score_nk.max(1)
        best_l = score_nk.new_full((landmarks,), -torch.inf)
        best_l.scatter_reduce_(0, self.landmark_nk.flatten(), score_nk.flatten(), "amax")
        chosen_n = self.landmark_nk.gather(1, which_n[:, None])[:, 0]
        mutual_n = ((best_n >= best_l[chosen_n]) & best_n.isfinite()).numpy()
        error_n = np.where(mutual_n, self.error_nk[np.arange(len(which_n)), which_n], np.inf)
        right, near = (float((error_n < bound).mean()) for bound in (RIGHT_PX, NEAR_PX))
        return {"matched": float(mutual_n.mean()), "right": right, "within_10_px": near}


def sift_at(image_hw3: np.ndarray, px_n2: Tensor) -> Tensor:
    """RootSIFT (n, 128) of an RGB image at given pixels, of one size and upright."""
    keypoints = [cv2.KeyPoint(x - 0.5, y - 0.5, SIFT_SIZE, 0.0) for x, y in px_n2.tolist()]
    _, descriptors_nc = cv2.SIFT.create().compute(cv2.cvtColor(image_hw3, cv2.COLOR_RGB2GRAY), keypoints)
    return F.normalize(torch.from_numpy(descriptors_nc), p=1, dim=1).sqrt()


def ceilings(each: Seen, choices: Choices, points_l3: np.ndarray) -> dict[str, float]:
    """What the map, and the landmarks that are similar at all, allow."""
    px_n2 = each.keypoints.px_n2.double().numpy()
    at_v2 = unhidden(each.frame, points_l3)
    record = {"there": _hit(at_v2, px_n2).mean(), "by_chance": _hit(at_v2, px_n2 + ASIDE_PX).mean()}
    among = {f"among_{k}": (choices.error_nk[:, :k].min(1) < RIGHT_PX).mean() for k in AMONG}
    return {name: float(share) for name, share in (record | among).items()}


def unhidden(frame: Frame, points_l3: np.ndarray) -> np.ndarray:
    """Where a frame sees points, (v, 2) pixels: those that nothing hides, as far as is known."""
    camera_l3 = transform(frame.pose.T_cw, points_l3)
    with np.errstate(invalid="ignore", divide="ignore"):
        px_l2 = frame.camera.project(camera_l3)
        inside_l = (camera_l3[:, 2] > 0) & ((px_l2 >= 0) & (px_l2 < (frame.camera.width, frame.camera.height))).all(1)
    inside_v = np.flatnonzero(inside_l)
    column_v, row_v = px_l2[inside_v].astype(int).T
    depth_v, z_v = frame.depth()[row_v, column_v], camera_l3[inside_v, 2]
    return px_l2[inside_v[~(np.abs(depth_v - z_v) >= SAME_DEPTH * z_v)]]  # unknown depth hides nothing


def repeated(photos: Sequence[Seen], renders: Sequence[Seen]) -> dict[str, float]:
    """Of keypoints of photos that a render sees which shows half as much: those that it has as well. May be empty."""
    found, aside = [], []
    for photo in photos:
        px_n2 = photo.keypoints.px_n2.double().numpy()
        column_n, row_n = px_n2.astype(int).T
        rays_n3 = photo.frame.camera.unproject(px_n2)
        world_n3 = transform(photo.frame.pose.T_wc, rays_n3 * photo.frame.depth()[row_n, column_n][:, None])
        world_n3 = world_n3[np.isfinite(world_n3).all(1)]
        for render in (each for each in renders if shows(each, photo)):
            at_v2 = unhidden(render.frame, world_n3)
            there_n2 = render.keypoints.px_n2.double().numpy()
            found.append(_hit(there_n2, at_v2))
            aside.append(_hit(there_n2, at_v2 + ASIDE_PX))
    if not found:
        return {}
    return {"repeated": float(np.concatenate(found).mean()), "by_chance": float(np.concatenate(aside).mean())}


def _hit(among_m2: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    """Which pixels (n,) have one of the others within the bound."""
    return np.isfinite(cKDTree(among_m2).query(px_n2, distance_upper_bound=RIGHT_PX)[0])


@dataclass(frozen=True, eq=False)
class Remembered:
    """What the run's training views show of its landmarks.

    Attributes:
        described_nd: of the views' keypoints, see `Choices`.
        landmark_n: which landmark each shows.
        mean_ld, count_l: of each landmark.
        points_n3, gsd: where the keypoints are, relative to the run's origin, and the usual metres a pixel.
    """

    described_nd: Tensor
    landmark_n: Tensor
    mean_ld: Tensor
    count_l: Tensor
    points_n3: Tensor
    gsd: float

    @classmethod
    def of(cls, observations: Observations, landmarks: LandmarkMap) -> Remembered:
        """Takes each observation for the most similar landmark at its place."""
        assert observations.features_nk is not None
        shown_na = shown_points(observations, landmarks, PLACE_PX)
        similarity_na = torch.einsum(
            "nac,nc->na", landmarks.descriptors_nc[shown_na.clamp_min(0)], observations.descriptors_nc.float()
        ).masked_fill(shown_na < 0, -1.0)
        best_n, which_n = similarity_na.max(1)
        kept = (best_n >= SIMILAR).nonzero()[:, 0]
        described_nd, landmark_n = observations.features_nk[kept].float(), shown_na[kept, which_n[kept]]
        sum_ld = torch.zeros(len(landmarks), described_nd.shape[1]).index_add_(0, landmark_n, described_nd)
        count_l = landmark_n.bincount(minlength=len(landmarks))
        mean_ld = sum_ld / count_l.clamp_min(1)[:, None]
        gsd = float(observations.gsd_n.median())
        return cls(described_nd, landmark_n, mean_ld, count_l, observations.points_n3[kept], gsd)

    def projection(self, landmarks: LandmarkMap) -> Tensor:
        """Learned (d, 64): where an observation differs least from its landmark and most from those around it."""
        several = (self.count_l[self.landmark_n] >= FEWEST).nonzero()[:, 0]
        some_m = several[torch.randperm(len(several), generator=torch.Generator().manual_seed(0))[:LEARNED]]
        here_md, own_m = self.described_nd[some_m], self.landmark_n[some_m]
        others_md = (self.mean_ld[own_m] * self.count_l[own_m, None] - here_md) / (self.count_l[own_m, None] - 1)
        known = (self.count_l >= FEWEST - 1).nonzero()[:, 0]
        tree = cKDTree(landmarks.points_n3[known].numpy() / self.gsd)
        places_m3 = self.points_n3[some_m].numpy() / self.gsd
        distance_mk, beside_mk = tree.query(places_m3, k=40, distance_upper_bound=BESIDE_PX[1])
        there_mk = torch.from_numpy((distance_mk > BESIDE_PX[0]) & np.isfinite(distance_mk))
        beside_mk = known[torch.from_numpy(beside_mk).clamp_max(len(known) - 1)]
        similarity_mk = torch.einsum(
            "mkc,mc->mk", landmarks.descriptors_nc[beside_mk], here_md[:, : landmarks.descriptors_nc.shape[1]]
        )
        hardest_mh = similarity_mk.masked_fill(~there_mk, -1.0).topk(4, dim=1)
        apart_pd = (here_md[:, None] - self.mean_ld[beside_mk.gather(1, hardest_mh.indices)])[hardest_mh.values > 0]
        return discriminating((here_md - others_md).double(), apart_pd.double()).float()


def discriminating(same_pd: Tensor, apart_qd: Tensor) -> Tensor:
    """The projection (d, 64) under which differences within a thing are smallest beside those to another."""
    within_dd = same_pd.T @ same_pd / len(same_pd)
    within_dd += RIDGE * within_dd.trace() / len(within_dd) * torch.eye(len(within_dd), dtype=within_dd.dtype)
    ratio_d, axes_dd = eigh((apart_qd.T @ apart_qd / len(apart_qd)).numpy(), within_dd.numpy())
    best = np.argsort(ratio_d)[::-1][:PROJECTED]
    return torch.from_numpy(axes_dd[:, best] * np.sqrt(np.maximum(1 - 1 / ratio_d[best], 0)))


def training_observations(
    run: Path, scene: Path, network: SceneNetwork, origin_3: np.ndarray, views: int
) -> Observations:
    """Passes some views of the run's training sections, augmented as they were, and describes their keypoints."""
    sections = json.loads((run / "config.json").read_text(encoding="utf-8"))["sections"]
    frames = sized(gather_frames(scene, sections, None, "depth")[0], None)
    return Observations.joined([observed(network, frames, i, origin_3) for i in evenly_chosen(len(frames), views)])


def observed(network: SceneNetwork, frames: Sequence[TrainingFrame], which: int, origin_3: np.ndarray) -> Observations:
    """The keypoints of one training view whose points are known, described."""
    view = training_view(frames, which, stream(0, "patch", str(which)), AugmentOptions())
    keypoints = keypoints_of(network.maps(view.image_hw3), view.image_hw3.shape[:2], LEARNED_KEYPOINTS)
    points_n3 = view.points(keypoints.px_n2.double().numpy())
    known_n = torch.from_numpy(np.isfinite(points_n3).all(1))
    descriptors_nc, points_n3 = keypoints.descriptors_nc[known_n], points_n3[known_n.numpy()]
    described_nd = torch.cat([descriptors_nc, sift_at(view.image_hw3, keypoints.px_n2[known_n])], 1)
    ray_n3 = torch.from_numpy(view.pose.center - points_n3)
    gsd_n = (ray_n3.norm(dim=1) / view.camera.fx).float()
    whole_n = torch.zeros(len(gsd_n), dtype=torch.int64)
    return Observations(
        torch.from_numpy(points_n3 - origin_3).float(), descriptors_nc.half(), gsd_n, F.normalize(ray_n3, dim=1).half(),
        whole_n.bool(), whole_n + which, whole_n - 1, described_nd.half(),
    )  # fmt: skip


def with_sift(choices: Sequence[Choices], known: Remembered, projection_dk: Tensor) -> dict[str, dict[str, float]]:
    """Rates by XFeat alone and with SIFT, of landmarks that the training views showed."""
    rows: dict[str, list[dict[str, float]]] = {}
    for each in choices:
        unknown_nk = known.count_l[each.landmark_nk] == 0
        mean_nkd = known.mean_ld[each.landmark_nk]
        xfeat = each.described_nd.shape[1] - SIFT_CHANNELS
        sift_nk = torch.einsum("nkd,nd->nk", F.normalize(mean_nkd[..., xfeat:], dim=2), each.described_nd[:, xfeat:])
        learned_nk = -((mean_nkd - each.described_nd[:, None]) @ projection_dk).square().sum(2)
        scores = {"xfeat": each.similarity_nk, "learned": learned_nk}
        scores |= {f"xfeat + {weight:g} sift": each.similarity_nk + weight * sift_nk for weight in WEIGHTS}
        for name, score_nk in scores.items():
            rates = each.rates(score_nk.masked_fill(unknown_nk, -torch.inf), len(known.count_l))
            rows.setdefault(name, []).append(rates)
    return {name: mean(rates) for name, rates in rows.items()}


def mean(records: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of figures with the same names."""
    return {name: float(np.mean([each[name] for each in records])) for name in records[0]}


def measured(run: Path, scene: Path, groups: dict[str, list[Frame]], views: int) -> dict[str, Any]:
    """All figures of a run."""
    model = runs.load_model(run)
    if model.landmarks is None or model.height is not None:
        raise SystemExit(f"{run}: it takes a run with landmarks that learned images at their own size")
    network, landmarks = SceneNetwork(model, CPU, fast_dtype(CPU)), LandmarkMap.from_state(model.landmarks, CPU)
    points_l3 = landmarks.points_n3.double().numpy() + model.origin_3
    known = Remembered.of(training_observations(run, scene, network, model.origin_3, views), landmarks)
    projection_dk = known.projection(landmarks)
    seen = {name: [see(network, frame, None) for frame in frames] for name, frames in groups.items()}
    record: dict[str, Any] = {"run": str(run), "photos_in_renders": repeated(seen["photos"], seen["renders"])}
    for name, images in seen.items():
        choices = [Choices.of(each, landmarks, points_l3) for each in images]
        allowed = mean([ceilings(*pair, points_l3) for pair in zip(images, choices, strict=True)])
        record[name] = {"bounds": allowed, "matches": with_sift(choices, known, projection_dk)}
    return record


def main() -> None:
    """Measures a run and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="learned from sections of this scene")
    parser.add_argument("--photos", required=True, help="a section with depth and true poses; never the test section")
    parser.add_argument("--renders", required=True, help="a section of renders that the run did not learn from")
    parser.add_argument("--images", type=int, default=12, help="of each section")
    parser.add_argument("--views", type=int, default=300, help="of the run's sections, to describe its landmarks by")
    args = parser.parse_args()
    sections = {"photos": args.photos, "renders": args.renders}
    groups = {name: some(args.scene / section, args.images) for name, section in sections.items()}
    print(json.dumps({"machine": machine(), **measured(args.run, args.scene, groups, args.views)}, indent=2))


if __name__ == "__main__":
    main()
