"""Localization by matching with the images of a database that look alike.

An image passes in one direction: seen at the learned scale (`seeing`), keypoints (`models.local_features`), the
database's images with the most similar global descriptor (`global_descriptors`), matches with these alone (`nearest`,
`lightglue`), merged by place (`matches`), a pose that is refined by the points near it (`by_landmarks`), and the answer
with its covariance (`answer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.answer import answer, at_found_scale, matched
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import confidence
from transpose.localization.contradiction import rival_support
from transpose.localization.error_model import scale_of
from transpose.localization.global_descriptors import nearest
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.localizer import Localizer
from transpose.localization.matching.confirmation import confirmed_share
from transpose.localization.matching.database import Database
from transpose.localization.matching.lightglue import LightGlueMatcher
from transpose.localization.matching.matches import ImageMatches, Matcher, Places, merged
from transpose.localization.matching.nearest import NearestNeighbours
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.rerank import nearest_reranked
from transpose.localization.seeing import SeenImage, see
from transpose.localization.turning import at_any_turn
from transpose.models.keypoints import Keypoints
from transpose.models.local_features import feature_kind
from transpose.models.precision import fast_dtype
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate

# Within so many pixels of a database image, its points and those of others are one place: keypoints of one corner are
# found within a pixel or two of each other.
_PLACE_PX = 3.0
_POSES = 3  # that are tried, one after the other, until one is sure enough
# Of the matches, that a thing makes which stands twice, so that another pose is worth the time of a search. Photos of
# another place find about half as many by chance.
_BEYOND_CHANCE = 0.03
# Photos of RedKitchen, learned from a few of its photos: of 4 that were refused and show what those do, 2 are right at
# this scale, none at 0.7 or 2.
_CLOSER = 1.4
# Of matches with all points of several images, as many as 131,000 samples find: fewer of them are right than of those
# with landmarks, each of which many views agreed on.
_LEAST_SHARE = 0.033
_BY_PRIOR = 4  # images of the database nearest to a prior pose, that are matched beside those that look alike


@dataclass(frozen=True, eq=False)
class MatchedImage:
    """An image whose keypoints are matched: all that its poses are made of.

    Attributes:
        seen: the image at the learned scale.
        keypoints: of it, the best first.
        images_v: numbers of the database's images that it was matched with, the most similar first.
        matches: with these.
        places: the same, merged.
    """

    seen: SeenImage
    keypoints: Keypoints
    images_v: Tensor
    matches: ImageMatches
    places: Places


class MatchingLocalizer(Localizer):
    """Tells where an image was taken, from the database of a run's checkpoint.

    Args:
        checkpoint: on disk or in memory.
        device: where descriptors are compared and networks run.
        precision: "auto", "float32" or "bfloat16".
        options: of matching, search and refusal.

    Raises:
        TransposeError: the checkpoint has no database, a damaged one, or its features cannot be found here.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        options: LocalizationOptions | None = None,
    ) -> None:
        if checkpoint.database is None:
            raise TransposeError(f"a run of kind {checkpoint.kind!r} has no database to match with; train it again")
        self.checkpoint = checkpoint
        self.camera = checkpoint.camera.camera
        self.options = (options or LocalizationOptions()).searching_for(_LEAST_SHARE)
        if not checkpoint.calibration.measured("matches"):
            self.options = self.options.doubting_landmarks()
        self.device = device = torch.device(device)
        self.database = Database.from_state(checkpoint.database).to(device)
        kind = feature_kind(self.database.features)
        self._features = kind.build(device, fast_dtype(device, precision))
        self._matcher: Matcher = NearestNeighbours(kind)
        if checkpoint.database["matcher"] == "lightglue":
            self._matcher = LightGlueMatcher(self.database.features, device)
        self._retrieved = int(checkpoint.database["retrieved"])
        self._rerank = bool(checkpoint.database["rerank"])
        self._described = int(checkpoint.database["described"])
        self._vectors_vd = self.database.vectors_vd.float()
        ray_n3 = _rays(self.database, checkpoint.origin_3)
        self._radius_n = _PLACE_PX * ray_n3.norm(dim=1) / _focal_lengths(self.database)
        self._toward_n3 = F.normalize(ray_n3, dim=1)

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """See `Localizer`."""

        def located(query: Query, enlarged: float = 1.0) -> PoseEstimate:
            return at_found_scale(lambda seen: self.answer(self.match(seen, enlarged), seed), query, self.options)

        first = at_any_turn(located, query)
        if first.pose is not None:
            return first
        # As large as if it were taken from nearer: things that are farther away than in the database look as there.
        closer = located(query, _CLOSER)
        return first if closer.pose is None else closer

    def match(self, query: Query, enlarged: float = 1.0) -> MatchedImage:
        """The image's keypoints, and what they match in the database's images that look alike; see `see`."""
        seen = self.see(query, enlarged)
        keypoints = self.keypoints(seen)
        return self.matched(seen, keypoints, self.alike(self.described(keypoints), query.prior))

    def see(self, query: Query, enlarged: float = 1.0) -> SeenImage:
        """The image at the scale of the database's images, times a factor."""
        learned, height = self.camera, self.checkpoint.height
        learned = learned.resized(round(enlarged * learned.width), round(enlarged * learned.height))
        return see(query, learned, height and round(enlarged * height), self.options)

    def keypoints(self, seen: SeenImage) -> Keypoints:
        """The keypoints of an image by the run's own features."""
        return self._features.keypoints(seen.image_hw3, self.options.refining_keypoints)

    def described(self, keypoints: Keypoints) -> Tensor:
        """The global descriptor (d,) of an image with these keypoints."""
        return self.database.describer.describe(keypoints.strongest(self._described).descriptors_nc)

    def alike(self, vector_d: Tensor, prior: Pose | None = None) -> Tensor:
        """The database's images whose global descriptors are most similar, and those taken nearest to a prior pose."""
        find = nearest_reranked if self._rerank else nearest
        images_v, _ = find(vector_d.float(), self._vectors_vd, self._retrieved)
        if prior is None:
            return images_v
        centers_v3 = np.stack([each.pose.center for each in self.database.images])
        near_v = np.linalg.norm(centers_v3 - prior.center, axis=1).argsort(kind="stable")[:_BY_PRIOR]
        more_v = torch.from_numpy(near_v).to(images_v.device)
        return torch.cat([images_v, more_v[~torch.isin(more_v, images_v)]])

    def matched(
        self, seen: SeenImage, keypoints: Keypoints, images_v: Tensor, matches: ImageMatches | None = None
    ) -> MatchedImage:
        """An image with its matches.

        Args:
            seen: the image.
            keypoints: of it, the best first.
            images_v: numbers of the database's images.
            matches: with these; None: the run's own matcher finds them.
        """
        if matches is None:
            strongest = keypoints.strongest(self.options.max_keypoints)
            matches = self._matcher.match(strongest, seen.camera, self.database, images_v)
        return MatchedImage(
            seen, keypoints, images_v, matches, merged(matches, self.database.points_n3, self._radius_n)
        )

    def answer(self, matched: MatchedImage, seed: int = 0) -> PoseEstimate:
        """The estimate that users get of a matched image."""

        def sure(found: Candidate, camera: Camera) -> float | None:
            return self._confidence(found, camera, lambda doubted: rival_support(doubted, camera, self.options, seed))

        options = self.options.at_risk(matched.seen.query.risk)
        return answer(self._solver(matched, seed), matched.seen, scale_of(self.checkpoint.calibration), options, sure)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `MatchesPoints`."""
        image = self.match(query)
        return matched(self._solver(image, seed), image.seen, scale_of(self.checkpoint.calibration), self.options)

    def _solver(self, image: MatchedImage, seed: int) -> Callable[[Camera], Candidate]:
        """The pose of a matched image by a camera of it as it is seen."""
        return lambda camera: self.posed(replace(image, seen=replace(image.seen, camera=camera)), seed)

    def posed(self, matched: MatchedImage, seed: int = 0) -> Candidate:
        """The pose of a matched image, not calibrated: the first that is sure enough, else the surest."""
        enough = 1 - self.options.at_risk(matched.seen.query.risk).risk
        best, sure = None, -1.0
        for found in self.tried(matched, seed):
            chance = self._confidence(found, matched.seen.camera) or 0.0
            if chance > sure:
                best, sure = found, chance
            if sure >= enough:
                break
        assert best is not None  # the first is surer than nothing
        return best

    def tried(self, matched: MatchedImage, seed: int = 0) -> Iterator[Candidate]:
        """Poses of a matched image, the best supported first, or one without a pose.

        A thing that stands twice gives a wrong pose as many matches as some right ones have. So what agrees with one is
        taken for wrong, and the next is looked for among the rest.
        """
        rows_vk = self.database.rows(matched.images_v)
        by, places = self._by_points(rows_vk[rows_vk >= 0], matched, seed), matched.places
        keypoint_m, points_m3 = places.keypoint_m.cpu().numpy(), places.points_m3.double().cpu().numpy()
        covariances_m33 = self.database.covariances(places.row_m)
        toward_m3 = self._toward_n3[places.row_m].double().cpu().numpy()
        left_m = np.ones(len(keypoint_m), bool)
        for number in range(_POSES):
            uncertain_33 = None if covariances_m33 is None else covariances_m33[left_m]
            found = by.posed(keypoint_m[left_m], points_m3[left_m], covariances_m33=uncertain_33)
            found = found.in_sight(toward_m3[left_m])
            refined = by.refined(found).if_supported(self.options.min_landmarks)
            if refined.pose is not None or number == 0:
                yield self._confirmed(refined, by)
            if found.pose is None or found.support < _BEYOND_CHANCE * len(left_m):
                return
            left_m[left_m] = ~np.asarray(found.estimate.inlier_mask_n)

    def _by_points(self, rows_n: Tensor, image: MatchedImage, seed: int) -> ByLandmarks:
        return ByLandmarks(
            LandmarkMap(self.database.points_n3[rows_n], self.database.descriptors(rows_n), self._toward_n3[rows_n]),
            self.checkpoint.origin_3,
            image.keypoints,
            image.seen.camera,
            self.options,
            seed,
            "matches",
            self.database.covariances(rows_n),
        )

    def _confirmed(self, found: Candidate, by: ByLandmarks) -> Candidate:
        if found.pose is None:
            return found
        points_n3 = by.landmarks.points_n3.double().cpu().numpy() + self.checkpoint.origin_3
        keypoints_k2 = by.keypoints.px_n2.double().cpu().numpy()
        share = confirmed_share(found.pose, by.camera, points_n3, keypoints_k2, found.inlier_px_m2)
        return replace(found, confirmed=share)

    def _confidence(
        self, candidate: Candidate, camera: Camera, rival: Callable[[Candidate], float] | None = None
    ) -> float | None:
        return confidence(candidate, camera, self.checkpoint.calibration.confidence_offsets, rival)


def _rays(database: Database, origin_3: np.ndarray) -> Tensor:
    """From each of the database's points to the camera of its image (n, 3)."""
    centers_v3 = torch.from_numpy(np.stack([each.pose.center for each in database.images]) - origin_3).float()
    image_n = torch.repeat_interleave(database.first_v.diff())
    return centers_v3.to(image_n.device)[image_n] - database.points_n3


def _focal_lengths(database: Database) -> Tensor:
    """Of the images of the database's points (n,), pixels."""
    focal_v = torch.tensor([each.camera.fx for each in database.images], device=database.first_v.device)
    return torch.repeat_interleave(focal_v, database.first_v.diff())
