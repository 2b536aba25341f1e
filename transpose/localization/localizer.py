"""What every method of localization offers: from an image and what is known of its camera to a pose, or to none."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.image_input import ImageLike
from transpose.localization.query import FocalPx, Query
from transpose.localization.task_maps import TaskMaps
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate

_STATES_CONFIDENCE = ("scene_coordinates", "matching")  # kinds of runs whose poses come with a probability


class Localizer(Protocol):
    """What testing, sequences, reports and commands need of a method; every method's class derives from it.

    Attributes:
        camera: of the images that it learned from.
        checkpoint: where it comes from, and how it was calibrated.
    """

    camera: Camera
    checkpoint: Checkpoint

    @abstractmethod
    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """The pose of an image, or the reason why there is none; `seed` is that of the search."""

    def localize(
        self, image_hw3: ImageLike, camera: Camera | None = None, focal_px: FocalPx | None = None, seed: int = 0
    ) -> PoseEstimate:
        """The pose of an image.

        Args:
            image_hw3: a file's path, a PIL image, or RGB uint8 (height, width, 3), upright as its camera was held.
            camera: its intrinsics; or `focal_px` alone, with the principal point in the middle; or neither: then what
                the file's EXIF says, or the camera of the training images, whose focal length is then estimated anew
                by methods that can. "auto" has it estimated whatever EXIF says.
            focal_px: see `camera`.
            seed: of the search.

        Raises:
            TransposeError: see `Query`.
        """
        return self.localize_query(Query.of(self.checkpoint.camera, image_hw3, camera, focal_px), seed)


@runtime_checkable
class PredictsCoordinates(Protocol):
    """The optional ability to predict which world point each cell of an image shows; ask for it with `isinstance`.

    Attributes:
        checkpoint: as of every `Localizer`.
    """

    checkpoint: Checkpoint

    def coordinates(self, image_hw3: ImageLike, camera: Camera | None = None) -> CoordinateMap:
        """World points and their uncertainty of the cells of an image."""


@runtime_checkable
class PredictsTasks(Protocol):
    """The optional ability to predict depth, normals and classes of cells; ask for it by `tasks_learned`."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it learned of these; empty: nothing."""

    def task_maps(self, image_hw3: ImageLike, camera: Camera | None = None) -> TaskMaps:
        """Their maps of an image."""


def tasks_learned(localizer: Localizer) -> tuple[str, ...]:
    """What a localizer predicts of a cell beside its coordinates: some of `transpose.models.tasks.TASKS`."""
    return localizer.tasks if isinstance(localizer, PredictsTasks) else ()


def task_maps_of(localizer: Localizer, image_hw3: ImageLike, camera: Camera | None = None) -> TaskMaps:
    """Maps of what `tasks_learned` names, of an image; without any map where it names nothing."""
    if isinstance(localizer, PredictsTasks):
        return localizer.task_maps(image_hw3, camera)
    return TaskMaps(camera or localizer.camera)


def check_uses_depth(localizer: Localizer, flag: str, in_metres: bool = True) -> None:
    """Refuses measured depth where it would change nothing, or is of another unit than the scene.

    Args:
        localizer: that is to localize.
        flag: by which depth was given, as a person reads it.
        in_metres: whether it comes from a sensor; else it is in the unit of the scene, as that of its sections.

    Raises:
        TransposeError: the method predicts no coordinates, which depth is held against; or metres have no meaning in
            the scene.
    """
    if not isinstance(localizer, PredictsCoordinates):
        raise TransposeError(
            f"{flag} goes with predicted coordinates, and a run of kind {localizer.checkpoint.kind!r} predicts none; "
            "leave it away"
        )
    if in_metres and not localizer.checkpoint.unit.metric:
        raise TransposeError(
            f"{flag} is in metres, and the run's scene is in a unit of its own; say how many metres that is when the "
            "scene is set up (setup --unit), and train again"
        )


def check_states_confidence(checkpoint: Checkpoint, flag: str) -> None:
    """Refuses a risk where the method does not say how probably a pose is right.

    Args:
        checkpoint: of the run.
        flag: by which the risk was given, as a person reads it.

    Raises:
        TransposeError: it does not.
    """
    if checkpoint.kind not in _STATES_CONFIDENCE:
        raise TransposeError(f"a run of kind {checkpoint.kind!r} does not say how sure it is; leave {flag} away")


@runtime_checkable
class MatchesPoints(Protocol):
    """The optional ability to say which points of the place an image shows where; ask for it by `matches_of`."""

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `matches_of`."""


def matches_of(localizer: Localizer, query: Query, seed: int = 0) -> Candidate:
    """Correspondences of an image that no pose has chosen, in its pixels, and the pose that they support.

    Args:
        localizer: of the place.
        query: the image and its camera; the estimate's `camera` is what was taken for it in the end.
        seed: of the search.

    Raises:
        TransposeError: the localizer's poses come from no correspondences.
    """
    if not isinstance(localizer, MatchesPoints):
        raise TransposeError(
            f"a run of the kind {localizer.checkpoint.kind!r} matches no points of a place; "
            "take one that does, such as of the preset fast"
        )
    return localizer.matches(query, seed)
