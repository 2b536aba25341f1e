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

from transpose.errors import TransposeError
from transpose.geometry.lens import MODELS, Lens
from transpose.geometry.poses import Pose, compose, project_to_rotation, rigid_defect
from transpose.scenes.image_files import is_image
from transpose.scenes.setup.odm import read_odm_photos
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, listed, write_posed_photos
from transpose.storage import read_json

log = logging.getLogger(__name__)
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
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
    photos = listed(photos, list_file)
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
    entries = content["poses"].items()
    folder = source / "images" if (source / "images").is_dir() else source
    photos = [_photo(path, folder, name, entry, content.get("camera")) for name, entry in entries]
    have = {photo.name for photo in photos}
    if unknown := sorted(p.name for p in folder.iterdir() if is_image(p) and p.name not in have):
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


def _photo(path: Path, folder: Path, name: str, entry: Any, common: Any) -> PosedPhoto:
    try:
        return PosedPhoto(name, folder / name, lens_of_json(entry.get("camera") or common), _pose(entry))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{path}, {name}: {what}") from None


def lens_of_json(camera: Any) -> Lens:
    """The lens that a JSON object describes: `model`, `width`, `height`, and parameters by name or in COLMAP's order.

    The latter are a list, `parameters`. By name, `focal_px` or `f` is both focal lengths; the principal point is in the
    middle where it is not said.

    Raises:
        KeyError: it lacks a size or a focal length.
        ValueError, TypeError: the model is not supported, or a number is none.
    """
    if not camera:
        raise ValueError('no "camera", neither its own nor a common one')
    model, width, height = camera.get("model", "OPENCV"), int(camera["width"]), int(camera["height"])
    if "parameters" in camera:
        return Lens.from_model(model, camera["parameters"], width, height)
    if model not in MODELS:
        raise ValueError(f"camera model {model} is not one of {', '.join(MODELS)}")
    if any(camera.get(name) for name in ("k4", "k5", "k6")):
        raise ValueError("k4, k5 and k6 are not supported; undistort first")
    both = next((name for name in ("fx", "f", "focal_px") if name in camera), "focal_px")
    fx = float(camera[both])
    fy = float(camera.get("fy", fx))
    cx, cy = float(camera.get("cx", width / 2)), float(camera.get("cy", height / 2))
    k1, k2, p1, p2, k3 = (float(camera.get(name, 0.0)) for name in _DISTORTION)
    return Lens(width, height, fx, fy, cx, cy, k1, k2, p1, p2, k3)


def _pose(entry: Any) -> Pose:
    if "T_wc" in entry:
        T_wc = np.array(entry["T_wc"], np.float64)
    else:
        R_wc = np.array(entry["R_w2c"], np.float64).T
        T_wc = np.eye(4)
        T_wc[:3, :3], T_wc[:3, 3] = R_wc, np.array(entry["C"], np.float64)
    if T_wc.shape != (4, 4) or not np.isfinite(T_wc).all():
        raise ValueError("its pose is no 4x4 matrix of numbers")
    if (defect := rigid_defect(T_wc)) is not None:
        raise ValueError(f"its pose is not rigid: {defect}")
    return Pose(compose(project_to_rotation(T_wc[:3, :3]), T_wc[:3, 3]))
