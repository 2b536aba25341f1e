"""OpenDroneMap projects become worlds in their map."""

from pathlib import Path

import pytest

from tests.worlds.gltf_writing import Gltf
from tests.worlds.quarters import assert_quarters, picture, picture_bytes, uv_from_top, write_obj
from transpose.errors import TransposeError
from transpose.worlds.mesh_frames import MeshFrame
from transpose.worlds.odm import is_odm_project, read_odm


def project(folder: Path, name: str = "odm_texturing/odm_textured_model_geo.obj") -> Path:
    mesh = folder / name
    mesh.parent.mkdir(parents=True)
    (folder / "odm_georeferencing").mkdir()
    (folder / "odm_georeferencing" / "coords.txt").write_text("WGS84 UTM 15N\n576663 5188164\n1 2 3\n")
    write_obj(mesh, f"{mesh.stem}.mtl", material="material0000")
    mesh.with_suffix(".mtl").write_text("newmtl material0000\nKd 1 1 1\nmap_Kd odm_textured_model_geo_map_Kd.png\n")
    picture().save(mesh.parent / "odm_textured_model_geo_map_Kd.png")
    return folder


def test_a_project_is_a_world_on_its_map(tmp_path: Path) -> None:
    world = read_odm(project(tmp_path / "park"))
    assert_quarters(world)
    assert world.name == "park"
    assert world.origin_3.tolist() == [576663, 5188164, 0]
    assert world.facts["crs"] == "EPSG:32615"
    assert "OpenDroneMap" in world.facts["up_from"]


def test_its_glb_is_z_up(tmp_path: Path) -> None:
    folder = tmp_path / "park"
    (folder / "odm_texturing").mkdir(parents=True)
    gltf = Gltf(extensions={"CESIUM_RTC": {"center": [576663, 5188164, 0]}})
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "alphaMode": "MASK"}
    gltf.plane(material, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(picture_bytes())
    gltf.write_glb(folder / "odm_texturing" / "odm_textured_model_geo.glb")
    world = read_odm(folder)
    assert_quarters(world)
    assert world.origin_3.tolist() == [576663, 5188164, 0]


def test_a_mesh_without_walls_is_taken_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert_quarters(read_odm(project(tmp_path / "park", "odm_texturing_25d/odm_textured_model_geo.obj")))
    assert "without walls" in caplog.text


def test_what_a_person_says_counts_more(tmp_path: Path) -> None:
    world = read_odm(project(tmp_path / "park"), MeshFrame(origin_3=(1.0, 2.0, 3.0), crs="EPSG:25832"))
    assert world.origin_3.tolist() == [1, 2, 3]
    assert world.facts["crs"] == "EPSG:25832"


def test_without_a_textured_mesh_another_command_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "park"
    for name in (
        "odm_dem/dsm.tif",
        "odm_orthophoto/odm_orthophoto.tif",
        "odm_georeferencing/odm_georeferenced_model.laz",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    with pytest.raises(TransposeError, match=r"build terrain .*dsm\.tif --ortho .*odm_orthophoto\.tif"):
        read_odm(folder)
    (folder / "odm_dem" / "dsm.tif").unlink()
    with pytest.raises(TransposeError, match=r"build cloud .*\.laz"):
        read_odm(folder)


def test_other_folders_are_no_projects(tmp_path: Path) -> None:
    assert not is_odm_project(tmp_path)
    with pytest.raises(TransposeError, match="no OpenDroneMap project"):
        read_odm(tmp_path)
    (tmp_path / "m.obj").touch()
    with pytest.raises(TransposeError, match="build mesh"):
        read_odm(tmp_path / "m.obj")
