"""Estimated poses as `transpose test` and `transpose localize` wrote them, ready to be written for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.evaluation.frame_log import read_frame_log
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, homogeneous, rigid_defect
from transpose.scenes.layout import open_section
from transpose.scenes.unit import METRE
from transpose.storage import parsed_json, read_json, read_text
from transpose.untrusted.values import BAD_VALUES

_CAMERA = ("width", "height", "fx", "fy", "cx", "cy", "k1", "k2")


@dataclass(frozen=True, eq=False)
class PosedImage:
    """An image with an estimated pose.

    Attributes:
        name: of the image, the only one of its name among those that are exported.
        path: of the image file, as it was given.
        index: among all images, those without a pose counted.
        camera: of the image; None: not known, as of an image that could not be read, whose pose its neighbours tell.
        pose: camera to world, in the scene's unit.
        covariance_66: of the pose over xi = (omega in rad, t), camera frame; None: not known.
        confidence: the probability that it is right; None: not known.
    """

    name: str
    path: Path
    index: int
    camera: Camera | None
    pose: Pose
    covariance_66: np.ndarray | None = None
    confidence: float | None = None

    @property
    def known_camera(self) -> Camera:
        """Of an image whose camera is known."""
        assert self.camera is not None
        return self.camera


@dataclass(frozen=True, eq=False)
class Estimates:
    """The posed images of a test or of `localize`, in order; `refused` others have no pose and are left out.

    `metric`: lengths are metres.
    """

    images: tuple[PosedImage, ...]
    refused: int
    metric: bool = True


def estimates_of_results(folder: Path) -> Estimates:
    """The poses that `transpose test` wrote.

    Args:
        folder: its `--out`.

    Raises:
        TransposeError: it holds no results, the section that was tested is not there, or no frame has a pose.
    """
    table = read_json(folder / "results.json")
    try:
        section = open_section(Path(table["scene"]) / table["section"])
    except (*BAD_VALUES, TypeError) as error:
        raise TransposeError(f"{folder / 'results.json'} is no table of transpose test ({error!r})") from None
    frames = {frame.stem: frame for frame in section.frames}
    images = []
    results = read_frame_log(folder, section, METRE)
    for index, result in enumerate(results):
        pose, frame = result.estimate.pose, frames[result.stem]
        if pose is None:
            continue
        where = f"{folder}, frame {result.stem}"
        path = frame.paths["rgb"]
        images.append(
            PosedImage(
                path.name,
                path,
                index,
                frame.camera,
                _checked(pose, where),
                _covariance(result.estimate.covariance_66, where),
                result.estimate.confidence,
            )
        )
    return _some(images, len(results), bool(section.facts.metric), folder)


def estimates_of_answers(path: Path) -> Estimates:
    """The poses of lines that `transpose localize` printed.

    Args:
        path: file of these lines.

    Raises:
        TransposeError: a line is none of these, or no image has a pose.
    """
    images, count, metric = [], 0, True
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry = parsed_json(line, where)
        try:
            metric = metric and entry.get("unit", METRE.name) == METRE.name
            if entry["pose"] is not None:
                images.append(_answer(entry, count, where))
        except TransposeError:
            raise
        except (*BAD_VALUES, TypeError, AttributeError) as error:
            raise TransposeError(f"{where} is no line of transpose localize ({error!r:.120})") from None
        count += 1
    return _some(images, count, metric, path)


def _answer(entry: dict[str, Any], index: int, where: str) -> PosedImage:
    said, camera = entry["camera"], None
    if said is not None:
        camera = Camera(*(int(said[name]) for name in _CAMERA[:2]), *(said[name] for name in _CAMERA[2:]))
    covariance, confidence, path = entry.get("covariance"), entry.get("confidence"), Path(entry["image"])
    return PosedImage(
        path.name,
        path,
        index,
        camera,
        _checked(Pose(homogeneous(entry["pose"])), where),
        _covariance(covariance, where),
        None if confidence is None else float(confidence),
    )


def _checked(pose: Pose, where: str) -> Pose:
    if (defect := rigid_defect(pose.T_wc)) is not None:
        raise TransposeError(f"{where}: its pose is not rigid: {defect}")
    return pose


def _covariance(values: Any, where: str) -> np.ndarray | None:
    if values is None:
        return None
    covariance_66 = np.array(values, np.float64)
    if covariance_66.shape != (6, 6) or not np.isfinite(covariance_66).all():
        raise TransposeError(f"{where}: its covariance is no 6 x 6 matrix of finite numbers")
    return covariance_66


def _some(images: list[PosedImage], count: int, metric: bool, source: Path) -> Estimates:
    if not images:
        raise TransposeError(f"{source}: none of its {count} images has a pose, so there is nothing to export")
    names: dict[str, Path] = {}
    for image in images:
        if image.name in names:
            raise TransposeError(
                f"{source}: two images are called {image.name} ({names[image.name]} and {image.path}); other programs "
                "tell images apart by name: rename one, or export them one by one"
            )
        names[image.name] = image.path
    return Estimates(tuple(images), count - len(images), metric)
