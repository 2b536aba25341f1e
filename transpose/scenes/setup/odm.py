"""The cameras of an OpenDroneMap project: poses from its report, lenses from its cameras.

`odm_report/shots.geojson` holds each photo's place on the project's map and its rotation; `opensfm/reconstruction.json`
or `cameras.json` the lenses, as OpenSfM writes them: lengths in units of the photo's longer side, the principal point
counted from the middle. `odm_georeferencing/coords.txt` or `proj.txt` names the map.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.camera_models import projection_by_name
from transpose.geometry.poses import Pose, compose
from transpose.geometry.projection import Projection
from transpose.geometry.reference_systems import system_code
from transpose.scenes.setup.photo_files import locate, plain_name, usual_folders
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.storage import read_json, read_text
from transpose.untrusted.values import BAD_VALUES

_SHOTS = ("odm_report/shots.geojson", "shots.geojson")
_SYSTEMS = ("coords.txt", "odm_georeferencing_model_geo.txt", "proj.txt")
# OpenSfM's kinds of cameras, as COLMAP calls the same ones.
_MODELS = {
    "perspective": "OPENCV",
    "brown": "OPENCV",
    "simple_radial": "OPENCV",
    "radial": "OPENCV",
    "fisheye": "OPENCV_FISHEYE",
    "fisheye_opencv": "OPENCV_FISHEYE",
    "spherical": "EQUIRECTANGULAR",
    "equirectangular": "EQUIRECTANGULAR",
}


def read_odm_photos(project: Path) -> tuple[str | None, list[PosedPhoto]] | None:
    """The map's code and the photos of a project, poses in that map; None where a folder is no project.

    Raises:
        TransposeError: what it holds of cameras is broken, or a lens is of a kind that is not supported.
    """
    shots = next((project / name for name in _SHOTS if (project / name).is_file()), None)
    if shots is None:
        return None
    content = read_json(shots)
    features = content.get("features") if isinstance(content, dict) else None
    lenses = _Lenses(project)
    photos = []
    for feature in features if isinstance(features, list) else []:
        try:
            said = feature["properties"]
            name = plain_name(str(said["filename"]))
            photos.append(PosedPhoto(name, project / name, pose=_pose(said), lens=lenses.of(said)))
        except BAD_VALUES as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise TransposeError(f"{shots}: an entry {what}; was the project georeferenced?") from None
    if not photos:
        raise TransposeError(f"{shots} names no photo; did OpenDroneMap place any?")
    paths = locate([photo.name for photo in photos], usual_folders(project))
    return _system(project), [replace(photo, image=paths[photo.name]) for photo in photos]


def _system(project: Path) -> str | None:
    for name in _SYSTEMS:
        for path in (project / "odm_georeferencing" / name, project / name):
            if path.is_file() and (lines := read_text(path).strip().splitlines()):
                return system_code(lines[0])
    return None


def _pose(said: dict[str, Any]) -> Pose:
    """The pose of a photo: its centre, and the rotation from the map to the camera as an axis times an angle."""
    from scipy.spatial.transform import Rotation

    center_3 = np.array(said["translation"], np.float64)
    turn_3 = np.array(said["rotation"], np.float64)
    if center_3.shape != (3,) or turn_3.shape != (3,) or not np.isfinite([center_3, turn_3]).all():
        raise ValueError("has a translation or rotation that is not three numbers")
    return Pose(compose(Rotation.from_rotvec(turn_3).as_matrix().T, center_3))


class _Lenses:
    """The lenses of a project, by photo."""

    def __init__(self, project: Path) -> None:
        self._camera_of: dict[str, str] = {}
        self._cameras: dict[str, Any] = {}
        self._project = project
        reconstruction, cameras = project / "opensfm" / "reconstruction.json", project / "cameras.json"
        path = reconstruction if reconstruction.is_file() else cameras
        try:
            if path == reconstruction:
                for part in read_json(reconstruction):
                    self._cameras.update(part.get("cameras", {}))
                    self._camera_of.update({name: shot["camera"] for name, shot in part.get("shots", {}).items()})
            elif cameras.is_file():
                self._cameras.update(read_json(cameras))
        except BAD_VALUES as error:
            raise TransposeError(f"{path} is none of OpenSfM's ({error!r:.100}); export the project again") from None

    def of(self, said: dict[str, Any]) -> Projection:
        """The lens of a photo: the one that the reconstruction names, else the only one of the photo's size."""
        name = self._camera_of.get(str(said["filename"])) or said.get("camera")
        if name in self._cameras:
            return lens_of_opensfm(self._cameras[name])
        size = said.get("width"), said.get("height")
        fitting = [each for each in self._cameras.values() if (each.get("width"), each.get("height")) == size]
        if len(fitting) != 1:
            raise TransposeError(
                f"{self._project}: {len(fitting)} cameras of cameras.json have the size of {said['filename']}; keep "
                "opensfm/reconstruction.json in the project, which says which photo has which"
            )
        return lens_of_opensfm(fitting[0])


def lens_of_opensfm(camera: dict[str, Any]) -> Projection:
    """A lens as OpenSfM describes it.

    Raises:
        KeyError: it lacks a size or a focal length.
        ValueError: it is of a kind that is not supported.
    """
    kind = str(camera.get("projection_type", "perspective"))
    if kind not in _MODELS:
        raise ValueError(f"has the camera model {kind}, not one of {', '.join(_MODELS)}")
    width, height = int(camera["width"]), int(camera["height"])
    side = max(width, height)
    if _MODELS[kind] == "EQUIRECTANGULAR":
        return projection_by_name("EQUIRECTANGULAR", {}, width, height)
    focal_x = float(camera["focal_x"] if "focal_x" in camera else camera["focal"])
    names = ("k1", "k2", "k3", "k4") if "FISHEYE" in _MODELS[kind] else ("k1", "k2", "p1", "p2", "k3")
    values = {str(name): float(camera[name]) for name in names if name in camera}
    values["fx"], values["fy"] = focal_x * side, float(camera.get("focal_y", focal_x)) * side
    values["cx"] = width / 2 + float(camera.get("c_x", 0)) * side
    values["cy"] = height / 2 + float(camera.get("c_y", 0)) * side
    return projection_by_name(_MODELS[kind], values, width, height)
