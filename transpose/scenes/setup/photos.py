"""A folder of photos with a `poses.json`: what a photogrammetry project leaves of a flight.

`images/NAME` and `poses.json`: `{"crs": "EPSG:32615", "camera": {"model": "SIMPLE_RADIAL", "width", "height",
"focal_px" or "fx", "fy", "cx", "cy"[, "k1", "k2", "p1", "p2", "k3"]}, "poses": {NAME: {"R_w2c": 3x3, "C": [x, y, z]} or
{"T_wc": 4x4}}}`. An entry may hold a `camera` of its own. OpenCV camera axes; centres in the CRS, metres. A project of
OpenDroneMap is read as it is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.camera_models import MODELS, PARAMETERS, heeded, projection_by_name, projection_of
from transpose.geometry.poses import Pose, compose, homogeneous, project_to_rotation, rigid_defect
from transpose.geometry.projection import Projection
from transpose.scenes.image_kinds import is_image
from transpose.scenes.setup.odm import read_odm_photos
from transpose.scenes.setup.photo_files import existing, listed, locate, plain_name, usual_folders
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.storage import read_json
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
_NEAR_CORNER = 0.1  # of the sides
_LIKE_A_LENS = re.compile(
    r"^([kpsfbc]\d*|[cf][xy]|s[xy]\d)$|distort|radial|tangential|param|coeff|skew|omega|principal|aspect",
    re.IGNORECASE,
)
# From poses in the photos' reference system (a code such as EPSG:32615, or None) to poses in the world's frame.
ToWorld = Callable[[str | None, list[Pose]], list[Pose]]


def setup_photos(
    source: Path,
    out: Path,
    section: str,
    to_world: ToWorld,
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
) -> list[Path]:
    """Sets up one section of photos with poses.

    Args:
        source: folder with `images/` and `poses.json`.
        out: the scene folder; the section is added to it.
        section: its name.
        to_world: brings poses from the file's reference system into the world's frame, and refuses those outside it.
        list_file: only the photos that it names.
        progress: wraps the photos as they are worked through.

    Returns:
        The section folder, in a list.
    """
    crs, photos = read_posed_photos(source)
    photos = existing(listed(photos, list_file), section)
    poses = to_world(crs, [photo.pose for photo in photos])
    placed = [PosedPhoto(p.name, p.image, p.lens, pose) for p, pose in zip(photos, poses, strict=True)]
    plan = {"setup": "photos", "source": str(source)}
    facts = {"source": f"photos:{source.resolve().name}", "poses": "poses.json", "crs": crs}
    return [write_posed_photos(placed, out, section, plan, facts, progress)]


def read_posed_photos(source: Path) -> tuple[str | None, list[PosedPhoto]]:
    """The reference system's code and the photos of a folder, poses as the file has them."""
    path = source / "poses.json"
    if not path.is_file():
        if (project := read_odm_photos(source)) is not None:
            return project
        raise TransposeError(f"{source} has no poses.json; it says camera and pose of each photo (docs/photos.md)")
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("poses"), dict):
        raise TransposeError(f'{path} is not a poses.json: no JSON object with "poses" by photo')
    entries = {plain_name(name): entry for name, entry in content["poses"].items()}
    paths = locate(entries, usual_folders(source))
    folder = next(
        (each for each in usual_folders(source) if any(p.is_relative_to(each) for p in paths.values())), source
    )
    found = {name: _photo(path, paths[name], name, entry, content.get("camera")) for name, entry in entries.items()}
    photos = [photo for photo in found.values() if photo is not None]
    if lost := [name for name, photo in found.items() if photo is None]:
        log.warning(
            "%s: %d of %d photos have no pose (NaN) and are left out: %s", path, len(lost), len(found), first_few(lost)
        )
    have = set(paths.values())
    if unknown := sorted(p.name for p in folder.iterdir() if is_image(p) and p not in have):
        log.warning("%d photos have no pose in %s and are left out, such as %s", len(unknown), path, unknown[0])
    return _crs(path, content.get("crs")), photos


def _crs(path: Path, said: Any) -> str | None:
    """An EPSG code as people write it, `EPSG:32615 (UTM 15N)`, `epsg 2056` or 2056; else what pyproj may understand."""
    if said is None or said == "":
        return None
    if not isinstance(said, str | int):
        raise TransposeError(f'{path}: "crs" is a code such as "EPSG:32615", not {said}')
    match = re.fullmatch(r"\s*(?:EPSG[:\s]*)?(\d+)\s*(?:\(.*\))?\s*", str(said), re.IGNORECASE)
    return f"EPSG:{match[1]}" if match else str(said)


def _photo(path: Path, image: Path, name: str, entry: Any, common: Any) -> PosedPhoto | None:
    if entry is None:
        return None
    try:
        if not isinstance(entry, dict):
            raise ValueError('its entry is no object with "T_wc", or "R_w2c" and "C"')
        pose = _pose(entry)
        return None if pose is None else PosedPhoto(name, image, lens_of_json(entry.get("camera") or common), pose)
    except BAD_VALUES as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, KeyError) and error.args == ("R_w2c",):
            what += " or 'T_wc'; quaternions and angles are to be written as a rotation matrix, world to camera"
        raise TransposeError(f"{path}, {name}: {what}") from None


def lens_of_json(camera: Any) -> Projection:
    """The lens that a JSON object describes: `model`, `width`, `height`, and parameters by name or in COLMAP's order.

    The latter are a list, `parameters`. By name, `focal_px` or `f` is both focal lengths; the principal point is in the
    middle where it is not said.

    Raises:
        KeyError: it lacks a size or a focal length.
        ValueError, TypeError: the model is not supported, a number is none, or something that looks like a parameter
            has a name that the model does not know.
    """
    if not camera:
        raise ValueError('no "camera", neither its own nor a common one')
    camera = {name: value for name, value in camera.items() if value is not None}
    model, width, height = camera.get("model", "OPENCV"), int(float(camera["width"])), int(float(camera["height"]))
    if "parameters" in camera:
        return projection_of(model, camera["parameters"], width, height)
    if model.startswith("SIMPLE_RADIAL") and "k1" not in camera and "k" in camera:
        camera["k1"] = camera.pop("k")  # COLMAP's word
    numbers = {name: float(value) for name, value in camera.items() if name in PARAMETERS}
    if model == "OPENCV" and any(numbers.get(name) for name in ("k4", "k5", "k6")):
        raise ValueError("k4, k5 and k6 are of the models FULL_OPENCV or OPENCV_FISHEYE; say which one")
    _refuse_unheeded(model, camera, numbers)
    if "focal_px" in camera:
        numbers.setdefault("f", float(camera["focal_px"]))
    if model != "EQUIRECTANGULAR" and not {"fx", "f"} & numbers.keys():
        raise KeyError("focal_px")
    if "cx" in numbers and "cy" in numbers and model != "EQUIRECTANGULAR":
        _refuse_offsets(numbers["cx"], numbers["cy"], width, height)
    return projection_by_name(model, numbers, width, height)


def _refuse_unheeded(model: str, camera: dict[str, Any], numbers: dict[str, float]) -> None:
    """A distortion under a name that is not read would be taken for none."""
    names = heeded(model)
    lost = [name for name, value in numbers.items() if value and name not in names]
    lost += [name for name in camera.keys() - numbers.keys() if _LIKE_A_LENS.search(name)]
    if lost:
        has = ", ".join(name for name in MODELS[model]) or "none"
        raise ValueError(f"{', '.join(sorted(lost))} is no parameter of the model {model}, which has {has}")


def _refuse_offsets(cx: float, cy: float, width: int, height: int) -> None:
    """Some programs, Metashape among them, count the principal point from the middle of the image."""
    if max(abs(cx) / width, abs(cy) / height) < _NEAR_CORNER:
        raise ValueError(
            f"its principal point {cx:g}, {cy:g} is in the corner of the image; where it counts "
            f"from the middle, as in Metashape, write cx {width / 2 + cx:g} and cy {height / 2 + cy:g}"
        )


def _pose(entry: Any) -> Pose | None:
    """Camera to world; None where it is NaN or infinite: the photo was lost."""
    if "T_wc" in entry:
        T_wc = homogeneous(entry["T_wc"])
    else:
        R_cw, center_3 = np.array(entry["R_w2c"], np.float64), np.array(entry["C"], np.float64)
        if R_cw.size != 9 or center_3.size != 3:
            raise ValueError(f"R_w2c and C have {R_cw.size} and {center_3.size} numbers, not 3x3 and 3")
        T_wc = compose(R_cw.reshape(3, 3).T, center_3.reshape(3))
    if not np.isfinite(T_wc).all():
        return None
    if (defect := rigid_defect(T_wc)) is not None:
        raise ValueError(f"its pose is not rigid: {defect}")
    return Pose(compose(project_to_rotation(T_wc[:3, :3]), T_wc[:3, 3]))
