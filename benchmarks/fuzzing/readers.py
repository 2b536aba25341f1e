"""Every reader of foreign files, a row each: whole files, and the function that a command reads them with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import mesh_seeds, seeds
from fuzzing.project_seeds import PROJECT_READERS
from fuzzing.recording_seeds import RECORDING_READERS
from fuzzing.sandbox import Files, Reader
from fuzzing.scene_seeds import SCENE_READERS
from fuzzing.stored_seeds import STORED_READERS
from transpose.geometry import Camera
from transpose.scenes import exif, files
from transpose.scenes.image_files import read_header
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.flights import read_flight, read_photo_pose
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_offsets import offset_beside
from transpose.worlds.mosaic import read_colors, read_heights
from transpose.worlds.point_files import open_points
from transpose.worlds.rasters import Window, survey_tiles, union
from transpose.worlds.world import vertex_colored_world


def _only(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.is_file())


def _image(folder: Path) -> None:
    path = _only(folder)
    read_header(path)
    files.read_image(path)


def _exif(folder: Path) -> None:
    path = _only(folder)
    exif.focal_from_exif(path)
    exif.gps_from_exif(path)
    files.image_size(path)


def _mesh(folder: Path) -> None:
    read_mesh(
        next(path for path in folder.iterdir() if path.stem == "a" and path.suffix in (".obj", ".glb", ".gltf", ".ply"))
    )


def _points(folder: Path) -> None:
    file = open_points(_only(folder))
    for _ in file.chunks(8):
        pass
    _ = file.crs


def _raster(folder: Path, read: Any) -> None:
    tiles, crs = survey_tiles([_only(folder)])
    read(tiles, crs, Window.around(union(tiles), max(tiles[0].cell_m, 0.1)))


def _heights(folder: Path) -> list[Files]:
    array = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
    packed = {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16, "nodata": -9999}
    more = ({}, packed, {"compress": "lzw", "predictor": 2})
    kinds = (array, array, array.astype(np.int16))
    return [{"a.tif": seeds.geotiff(folder, kind, **each)} for kind, each in zip(kinds, more, strict=True)]


def _colors(folder: Path) -> list[Files]:
    array = np.random.default_rng(0).integers(0, 256, (3, 10, 10), dtype=np.uint8)
    return [
        {"a.tif": seeds.geotiff(folder, array, photometric="RGB")},
        {"a.tif": seeds.geotiff(folder, array.astype(np.uint16), photometric="RGB", compress="deflate")},
    ]


def _drone(_: Path) -> list[Files]:
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x drone-dji:AbsoluteAltitude="+512.3" drone-dji:GimbalYawDegree="-12.5" '
    xmp += b'drone-dji:GimbalPitchDegree="-90.0" drone-dji:GimbalRollDegree="0.0"/>'
    photo = seeds.encoded("JPEG", exif=seeds.exif())
    return [{"a.jpg": photo[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + photo[2:]}]


def _flights(_: Path) -> list[Files]:
    rows = io.BytesIO()
    np.save(rows, np.array([[4327000.0, 635000, 4629000, 10, -80, 0]] * 2))
    return [
        {"a.csv": b"x,y,z,yaw,pitch,roll,name\n0,0,8,10,-80,0,a/DJI_1.JPG\n1,0,8,10,-80,0,b\n"},
        {"a.csv": b"name;longitude;latitude;height;yaw;pitch;roll\nDJI_1.JPG;7,01;46,37;1600;0;-90;0\n"},
        {"a.npy": rows.getvalue()},
    ]


def _flown(folder: Path) -> None:
    """Reads a flight and writes its views, whose names the file says."""
    corners = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    world = vertex_colored_world("w", corners, np.array([[0, 1, 2]]), np.zeros((3, 3)), facts={"crs": "EPSG:2056"})
    views = read_flight(_only(folder), world, Camera.from_focal(9.0, 8, 8))
    writer = SectionWriter(folder / "scene", "sim", {})
    for number, view in enumerate(views[:3]):
        stem = view.stem or str(number)
        writer.add(stem, np.zeros((8, 8, 3), np.uint8), view.pose, view.camera, FrameLabels())


def _offsets(_: Path) -> list[Files]:
    xml = b'<?xml version="1.0"?><Model><SRS>EPSG:32615</SRS><SRSOrigin>1,2,3</SRSOrigin></Model>'
    return [
        {"a.obj": b"", "metadata.xml": xml},
        {"a.obj": b"", "coords.txt": b"WGS84 UTM 15N\n576663.0 5188164.0\n"},
        {"a.obj": b"", "a_offset.xyz": b"576663.0 5188164.0 12.5\n", "a.prj": b"EPSG:32615"},
        {"a.obj": b"", "offset.txt": b"EPSG::32633 1 2 3"},
    ]


READERS: dict[str, Reader] = {
    each.name: each
    for each in (
        Reader("photos (JPEG)", lambda _: seeds.photos(), _image),
        Reader("images (PNG)", lambda _: seeds.pngs(), _image),
        Reader("images (TIFF)", lambda _: seeds.tiffs(), _image),
        Reader("images (BMP, GIF, JP2, WebP, AVIF)", lambda _: seeds.other_images(), _image),
        Reader("EXIF", lambda _: [*seeds.photos()[:1], {"a.png": seeds.encoded("PNG", exif=seeds.exif())}], _exif),
        Reader("flight (drone photo)", _drone, lambda folder: read_photo_pose(_only(folder))),
        Reader("flight (tables)", _flights, _flown, (".csv",)),
        Reader("mesh (OBJ, MTL)", lambda _: mesh_seeds.obj_files(), _mesh, (".obj", ".mtl")),
        Reader("mesh (PLY)", lambda _: mesh_seeds.ply_meshes(), _mesh, (".ply",)),
        Reader("mesh (GLB)", lambda _: mesh_seeds.glb_files(), _mesh),
        Reader("mesh (glTF)", lambda _: mesh_seeds.gltf_files(), _mesh, (".gltf", ".bin")),
        Reader(
            "mesh offsets", _offsets, lambda folder: offset_beside(folder / "a.obj"), (".xml", ".txt", ".xyz", ".prj")
        ),
        Reader("cloud (PLY)", lambda _: mesh_seeds.ply_clouds(), _points),
        Reader("cloud (LAS)", lambda _: seeds.las_files("las"), _points),
        Reader("cloud (LAZ)", lambda _: seeds.las_files("laz"), _points),
        Reader("heights (GeoTIFF)", _heights, lambda folder: _raster(folder, read_heights)),
        Reader("colours (GeoTIFF)", _colors, lambda folder: _raster(folder, read_colors)),
        *SCENE_READERS,
        *PROJECT_READERS,
        *RECORDING_READERS,
        *STORED_READERS,
    )
}
