"""OpenDroneMap projects: which of their files is the textured mesh, and what its frame is."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from transpose.errors import TransposeError, quoted
from transpose.worlds.mesh import MAX_TEXELS, read_mesh
from transpose.worlds.mesh_frames import MeshFrame
from transpose.worlds.world import World

log = logging.getLogger(__name__)

# Georeferenced before not, whole meshes before those without walls, what is never compressed before what mostly is.
_MESHES = (
    "odm_texturing/odm_textured_model_geo.obj",
    "odm_textured_model_geo.obj",
    "odm_texturing/odm_textured_model_geo.glb",
    "odm_textured_model_geo.glb",
    "odm_texturing_25d/odm_textured_model_geo.obj",
    "odm_texturing/odm_textured_model.obj",
)
_FOLDERS = ("odm_texturing", "odm_texturing_25d", "odm_georeferencing", "odm_meshing", "odm_orthophoto", "odm_report")
# Of results without a textured mesh, and the command that makes a world of them.
_OTHERWISE = (
    (
        ("odm_dem/dsm.tif", "odm_orthophoto/odm_orthophoto.tif"),
        "transpose build terrain {0} --ortho {1}",
    ),
    (("odm_georeferencing/odm_georeferenced_model.laz",), "transpose build cloud {0}"),
)


def is_odm_project(path: Path) -> bool:
    """Whether a folder looks like a project of OpenDroneMap, or like WebODM's textured_model.zip unpacked."""
    return path.is_dir() and (
        any((path / name).is_dir() for name in _FOLDERS) or any((path / name).is_file() for name in _MESHES)
    )


def read_odm(project: Path, frame: MeshFrame | None = None, max_texels: float = MAX_TEXELS) -> World:
    """The textured mesh of a project as a world in the project's map, z up, metres.

    Args:
        project: its folder.
        frame: what overrides the project's own axes, unit, place and map.
        max_texels: textures that have more altogether are shrunk.

    Raises:
        TransposeError: it is no project, or has no textured mesh.
    """
    if project.is_file():
        raise TransposeError(
            f"{project} is a file; name the project's folder, or: transpose build mesh {quoted(project)}"
        )
    if not is_odm_project(project):
        raise TransposeError(f"{project} is no OpenDroneMap project: it has none of {', '.join(_FOLDERS)}")
    mesh = next((project / name for name in _MESHES if (project / name).is_file()), None)
    if mesh is None:
        raise TransposeError(f"{project} has no textured mesh ({_MESHES[0]}){_instead(project)}")
    if mesh.parent.name == "odm_texturing_25d":
        log.warning("%s is a mesh of heights without walls, all that this project has", mesh)
    frame = frame or MeshFrame()
    # OpenDroneMap leaves z up in its GLB too, whatever the format prescribes.
    world = read_mesh(mesh, replace(frame, up=frame.up or "z"), max_texels)
    if world.facts["crs"] is None:
        log.warning("%s names no map (odm_georeferencing/coords.txt); say --crs and --origin, or stay without", project)
    facts = {**world.facts, "kind": "odm", "up_from": world.facts["up_from"] if frame.up else "as OpenDroneMap has it"}
    if frame.unit_m is None:
        facts["unit_from"] = "as OpenDroneMap has it"
    return replace(world, name=project.resolve().name, facts=facts)


def _instead(project: Path) -> str:
    for names, command in _OTHERWISE:
        if all((project / name).is_file() for name in names):
            return f"; instead: {command.format(*(quoted(project / name) for name in names))}"
    return "; run OpenDroneMap without --skip-3dmodel, or unpack all of its results"
