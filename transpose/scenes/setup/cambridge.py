"""Cambridge Landmarks (Kendall et al., ICCV 2015): photos of streets with an SfM model, as they are published.

`SCENE/{reconstruction.nvm,dataset_train.txt,dataset_test.txt,seqN/*.png}`. Focal lengths come from the model, one a
photo, for the photo as it is (some are upright, some are not); its points become sparse `init` labels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose, rotation_from_quaternion
from transpose.scenes import files
from transpose.scenes.setup.photo_files import existing, listed, plain_name
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.storage import read_text
from transpose.untrusted.paths import below_project

log = logging.getLogger(__name__)
LICENCE = "Cambridge Landmarks: University of Cambridge, non-commercial use"
MODEL_FILE = "reconstruction.nvm"
_HEADER_LINES = 3
_FARTHEST_POINT_M = 1000.0  # as in DSAC*
_REACH = 1.02  # of half the longer side
_FARTHEST_M = 10_000.0  # a camera farther out is an outlier of the reconstruction


@dataclass(frozen=True)
class Nvm:
    """VisualSFM's model: focal length of each photo, by its name without ending, and the points seen in it.

    `reach_px` is how far these lie from the middle of the photo, the farthest along either axis.
    """

    focal_px: dict[str, float]
    points_m3: dict[str, np.ndarray]
    reach_px: dict[str, float]
    distorted: int


@dataclass(frozen=True)
class _Line:
    """A photo of a split file, with a pose in the model."""

    name: str
    image: Path
    pose: Pose


def setup_cambridge(
    source: Path,
    out: Path,
    section: str | None = None,
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
) -> list[Path]:
    """Sets up a scene, or all scenes of a folder, each as `OUT/SCENE`.

    Args:
        source: a scene, or a folder of scenes.
        out: the scene folder of a single scene; else the folder of the scenes.
        section, list_file: of a single scene: only this section, with the photos that the list names.
        progress: wraps the photos of a section as they are worked through.

    Returns:
        The section folders written.
    """
    if (source / MODEL_FILE).is_file():
        return _scene(source, out, section, list_file, progress)
    scenes = sorted(p.parent for p in source.glob(f"*/{MODEL_FILE}"))
    if not scenes:
        raise TransposeError(f"{source} holds no reconstruction.nvm, itself or in a folder; is it Cambridge Landmarks?")
    if section:
        raise TransposeError(f"{source} holds {len(scenes)} scenes; name one of them as --source for one --section")
    return [path for each in scenes for path in _scene(each, out / each.name, None, None, progress)]


def _scene(source: Path, out: Path, section: str | None, list_file: Path | None, progress: Progress) -> list[Path]:
    model = read_nvm(source / MODEL_FILE)
    if model.distorted:
        log.info("%s: the distortion of %d photos in the model is left out, as in DSAC*", source, model.distorted)
    split = {name: _photos(source, name, model) for name in ("train", "test")}
    if section and list_file:
        split = {section: listed([*split["train"], *split["test"]], list_file)}
    elif section:
        split = {section: split.get(section, [*split["train"], *split["test"]])}
    plan = {"setup": "cambridge", "source": str(source)}
    facts = {
        "source": f"cambridge:{source.resolve().name}",
        "poses": "VisualSFM, as published",
    }
    return [write_posed_photos(each, out, name, plan, facts, progress, licence=LICENCE) for name, each in split.items()]


def _photos(source: Path, section: str, model: Nvm) -> list[PosedPhoto]:
    path = source / f"dataset_{section}.txt"
    if not path.is_file():
        raise TransposeError(f"{path} does not exist; it says which photos are for {section}, and their poses")
    lines, lost = [], 0
    for number, line in enumerate(read_text(path, "replace").splitlines(), 1):
        words = line.split()
        if number <= _HEADER_LINES or not words:
            continue
        try:
            values = np.array([float(word) for word in words[1:]])
            if len(values) != 7 or np.linalg.norm(values[3:]) < 0.5:
                raise ValueError
        except ValueError:
            raise TransposeError(f"{path}, line {number}: expected `image x y z qw qx qy qz`") from None
        name = plain_name(words[0])
        # Not every photo that has a pose is in the model; without it there is no focal length.
        key_known = _key(name) in model.focal_px
        image = below_project(source, name)
        if not key_known or image is None or not np.isfinite(values).all() or np.abs(values[:3]).max() > _FARTHEST_M:
            lost += 1
            continue
        lines.append(_Line(name, image, Pose(compose(rotation_from_quaternion(values[3:]).T, values[:3]))))
    if lost:
        log.warning("%s: %d photos are not in the model, or far outside, and are left out", path, lost)
    return [_photo(line, model) for line in existing(lines, section)]


def _key(name: str) -> str:
    """A photo's name as the model's dictionaries have it: without ending, which is another one there."""
    return str(Path(name).with_suffix(""))


def _photo(line: _Line, model: Nvm) -> PosedPhoto:
    width, height = files.image_size(line.image)
    lens = Lens(width, height, *(model.focal_px[_key(line.name)],) * 2, width / 2, height / 2)
    points_n3, reach_px = model.points_m3[_key(line.name)], model.reach_px[_key(line.name)]
    if reach_px > _REACH * max(width, height) / 2:
        raise TransposeError(
            f"{line.image} is {width} x {height}, but in {MODEL_FILE} it has points {reach_px:.0f} pixels from its "
            "middle: it was made smaller, and the model's focal length is not its own; use the photos as published"
        )
    return PosedPhoto(line.name, line.image, lens, line.pose, points_n3, farthest_m=_FARTHEST_POINT_M)


def read_nvm(path: Path) -> Nvm:
    """Reads VisualSFM's N-View Match file (NVM_V3), its first model.

    Raises:
        TransposeError: it is truncated or something else.
    """
    try:
        lines = iter(read_text(path, "replace").splitlines())
        if not next(lines).startswith("NVM_V3"):
            raise ValueError
        cameras = [_next_full(lines).split() for _ in range(int(_next_full(lines)))]
        names = [_key(plain_name(" ".join(words[:-10]))) for words in cameras]
        focal = [float(words[-10]) for words in cameras]
        distorted = sum(float(words[-2]) != 0 for words in cameras)
        seen: list[list[int]] = [[] for _ in cameras]
        reach_px = np.zeros(len(cameras))
        places: list[list[float]] = []
        for index in range(int(_next_full(lines))):
            words = _next_full(lines).split()
            places.append([float(word) for word in words[:3]])
            measured = words[7 : 7 + 4 * int(words[6])]
            for camera, x, y in zip(measured[::4], measured[2::4], measured[3::4], strict=True):
                seen[int(camera)].append(index)
                reach_px[int(camera)] = max(reach_px[int(camera)], abs(float(x)), abs(float(y)))
        points = np.array(places, np.float64).reshape(-1, 3)
    except (ValueError, IndexError, StopIteration, OverflowError):
        raise TransposeError(f"{path} is truncated, or no NVM_V3 file") from None
    return Nvm(
        dict(zip(names, focal, strict=True)),
        {name: points[ids] for name, ids in zip(names, seen, strict=True)},
        dict(zip(names, reach_px.tolist(), strict=True)),
        distorted,
    )


def _next_full(lines: Iterator[str]) -> str:
    return next(line for line in lines if line.strip())
