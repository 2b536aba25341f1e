"""glTF files as programs write them show the right colours at the right places, or are refused by name."""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.worlds.gltf_writing import Gltf
from tests.worlds.quarters import (
    assert_quarters,
    picture,
    picture_bytes,
    plane,
    seen_from_above,
    uv_from_top,
    vertex_colors,
)
from transpose.errors import TransposeError
from transpose.worlds.gltf_materials import linear_of_srgb, srgb_of_linear
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_frames import MeshFrame
from transpose.worlds.world import World

TEXTURED = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}


def read(path: Path) -> World:
    """The plane of these files is horizontal with z up."""
    return read_mesh(path, MeshFrame(up="z"))


def with_texture(material: dict[str, Any], uv: np.ndarray, normalized: bool = False, **texture: Any) -> Gltf:
    gltf = Gltf()
    gltf.plane(material, TEXCOORD_0=gltf.accessor(uv, normalized=normalized))
    gltf.texture(picture_bytes(), **texture)
    return gltf


# --- axes ---


def test_y_is_up_as_the_format_has_it(tmp_path: Path) -> None:
    gltf = Gltf()
    vertices = plane()[0][:, [0, 2, 1]] * [1, 1, -1]
    gltf.plane(
        TEXTURED, POSITION=gltf.accessor(vertices.astype("f4")), TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4"))
    )
    gltf.texture(picture_bytes())
    world = read_mesh(gltf.write_glb(tmp_path / "floor.glb"))
    assert_quarters(world)
    assert world.facts["up"] == "y"
    assert "glTF" in world.facts["up_from"]


def test_a_world_on_its_side_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_texture(TEXTURED, uv_from_top().astype("f4")).write_glb(tmp_path / "z_up.glb")
    read_mesh(path)
    assert "--up z" in caplog.text
    caplog.clear()
    assert_quarters(read(path))
    assert not caplog.messages


def test_nodes_place_what_is_below_them(tmp_path: Path) -> None:
    """A turn of 90 degrees twice, a shift there and back, a mirrored scale."""
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    half = math.sqrt(0.5)
    shifted = np.eye(4)
    shifted[:3, 3] = 5, -3, 0.5
    gltf.json["nodes"] = [
        {"children": [1], "rotation": [0, 0, half, half], "translation": [-3, -5, -0.5]},
        {"children": [2], "matrix": shifted.T.ravel().tolist()},
        {"children": [3], "rotation": [0, 0, -half, half], "scale": [-0.5, 0.5, 0.5]},
        {"mesh": 0, "scale": [-2, 2, 2]},
        {"mesh": 0, "translation": [50, 0, 0]},  # in no scene
    ]
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


# --- colours of vertices ---


@pytest.mark.parametrize("kind", ["f4", "u2", "u1"])
@pytest.mark.parametrize("with_material", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_vertex_colours_are_linear_light(tmp_path: Path, kind: str, with_material: bool, alpha: bool) -> None:
    linear = linear_of_srgb(vertex_colors() / 255)
    linear = np.concatenate([linear, np.ones((len(linear), 1))], 1) if alpha else linear
    most = {"f4": 1, "u2": 65535, "u1": 255}[kind]
    gltf = Gltf()
    gltf.json["asset"]["generator"] = "glTF-Transform v4"  # known to write what glTF means in 8 bits too
    values = linear * most if kind == "f4" else np.round(linear * most)
    color = gltf.accessor(values.astype(kind), normalized=kind != "f4")
    gltf.plane({"pbrMetallicRoughness": {"metallicFactor": 0}} if with_material else None, COLOR_0=color)
    # Eight linear bits hold dark colours in steps of up to 13.
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")), tolerance=14 if kind == "u1" else 2)


def test_eight_bit_vertex_colours_of_unknown_writers_are_srgb(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gltf = Gltf()
    gltf.plane({"name": "plain"}, COLOR_0=gltf.accessor(vertex_colors(), normalized=True))
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))
    assert "sRGB" in caplog.text


def test_vertex_colours_are_multiplied_by_the_materials(tmp_path: Path) -> None:
    gltf = Gltf()
    color = gltf.accessor((linear_of_srgb(vertex_colors() / 255) / 0.8).astype("f4"))
    gltf.plane({"pbrMetallicRoughness": {"baseColorFactor": [0.8, 0.8, 0.8, 1]}}, COLOR_0=color)
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def test_a_materials_colour_alone(tmp_path: Path) -> None:
    gltf = Gltf()
    gltf.plane({"pbrMetallicRoughness": {"baseColorFactor": [*linear_of_srgb(np.array([200, 100, 50]) / 255), 1]}})
    seen = seen_from_above(read(gltf.write_glb(tmp_path / "m.glb")))
    assert np.abs(seen.astype(int) - [200, 100, 50]).max() <= 1


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_srgb_and_linear_are_inverse(rgb: list[int]) -> None:
    assert (srgb_of_linear(linear_of_srgb(np.array(rgb) / 255)) == rgb).all()


# --- numbers ---


def test_quantized_positions_are_fractions(tmp_path: Path) -> None:
    gltf = Gltf(extensionsUsed=["KHR_mesh_quantization"], extensionsRequired=["KHR_mesh_quantization"])
    position = gltf.accessor(np.round(plane()[0] * 32767).astype("i2"), normalized=True)
    gltf.plane(TEXTURED, POSITION=position, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(picture_bytes())
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def test_quantized_positions_that_a_node_scales(tmp_path: Path) -> None:
    gltf = Gltf(extensionsRequired=["KHR_mesh_quantization"])
    position = gltf.accessor(np.round((plane()[0] + 1) * 1000).astype("u2"))
    gltf.plane(TEXTURED, POSITION=position, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(picture_bytes())
    gltf.json["nodes"] = [{"mesh": 0, "scale": [0.001] * 3, "translation": [-1, -1, -1]}]
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


@pytest.mark.parametrize(("kind", "most"), [("u2", 65535), ("u1", 255)])
def test_quantized_texture_coordinates(tmp_path: Path, kind: str, most: int) -> None:
    gltf = with_texture(TEXTURED, np.round(uv_from_top() * most).astype(kind), normalized=True)
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def test_values_side_by_side_with_a_stride(tmp_path: Path) -> None:
    rows = np.concatenate([plane()[0], uv_from_top()], 1).astype("f4")
    gltf = Gltf()
    view = gltf.view(rows.tobytes())
    gltf.json["bufferViews"][view]["byteStride"] = 20
    for width, offset, kind in ((3, 0, "VEC3"), (2, 12, "VEC2")):
        said = {"bufferView": view, "byteOffset": offset, "componentType": 5126, "count": len(rows), "type": kind}
        gltf.json["accessors"].append(said)
        assert width
    gltf.plane(TEXTURED, POSITION=0, TEXCOORD_0=1)
    gltf.texture(picture_bytes())
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


@pytest.mark.parametrize("with_base", [False, True])
def test_sparse_accessors(tmp_path: Path, with_base: bool) -> None:
    vertices = plane()[0].astype("f4")
    gltf = Gltf()
    base = vertices.copy()
    base[40:] = 7
    position = gltf.accessor(base)
    if not with_base:
        del gltf.json["accessors"][position]["bufferView"]
    first = 40 if with_base else 0
    gltf.json["accessors"][position]["sparse"] = {
        "count": len(vertices) - first,
        "indices": {
            "bufferView": gltf.view(np.arange(first, len(vertices), dtype="u2").tobytes()),
            "componentType": 5123,
        },
        "values": {"bufferView": gltf.view(vertices[first:].tobytes())},
    }
    gltf.plane(TEXTURED, POSITION=position, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(picture_bytes())
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def test_strips_and_fans(tmp_path: Path) -> None:
    corner = np.array([[-1, -1, 0], [1, -1, 0], [-1, 1, 0], [1, 1, 0]], "f4")
    uv = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], "f4")
    for mode, order in ((5, [0, 1, 2, 3]), (6, [0, 1, 3, 2])):
        gltf = Gltf()
        primitive = gltf.plane(TEXTURED, POSITION=gltf.accessor(corner[order]), TEXCOORD_0=gltf.accessor(uv[order]))
        del primitive["indices"]
        primitive["mode"] = mode
        gltf.texture(picture_bytes())
        world = read(gltf.write_glb(tmp_path / "m.glb"))
        assert_quarters(world)
        a, b, c = np.moveaxis(world.vertices_v3[world.faces_f3], 1, 0)
        assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_lines_and_points_are_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    primitives = gltf.json["meshes"][0]["primitives"]
    primitives.append({"attributes": primitives[0]["attributes"], "mode": 1})
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))
    assert "points and lines are left out" in caplog.text


# --- which texture coordinates ---


def test_another_set_of_texture_coordinates(tmp_path: Path) -> None:
    gltf = Gltf()
    wrong, right = np.zeros((81, 2), "f4"), uv_from_top().astype("f4")
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "texCoord": 1}}}
    gltf.plane(material, TEXCOORD_0=gltf.accessor(wrong), TEXCOORD_1=gltf.accessor(right))
    gltf.texture(picture_bytes())
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


@pytest.mark.parametrize("rotation", [0.0, math.pi / 2, 0.3])
def test_texture_transform(tmp_path: Path, rotation: float) -> None:
    """The specification's example: a scale of a half and an offset of (0, 1) with a quarter turn is the lower left."""
    offset, scale = np.array([0.5, 0.25]), np.array([0.5, 0.25])
    c, s = math.cos(rotation), math.sin(rotation)
    turn = np.array([[c, s], [-s, c]])
    uv = (uv_from_top() - offset) @ np.linalg.inv(turn).T / scale
    moved = {"offset": offset.tolist(), "scale": scale.tolist(), "rotation": rotation, "texCoord": 2}
    info = {"index": 0, "texCoord": 0, "extensions": {"KHR_texture_transform": moved}}
    gltf = Gltf(extensionsRequired=["KHR_texture_transform"])
    gltf.plane(
        {"pbrMetallicRoughness": {"baseColorTexture": info}},
        TEXCOORD_0=gltf.accessor(np.zeros((81, 2), "f4")),
        TEXCOORD_2=gltf.accessor(uv.astype("f4")),
    )
    gltf.texture(picture_bytes())
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))
    lower_left = (
        turn @ ([0.5, 0.5] * np.array([0.5, 0.5])) + [0, 1] if rotation == math.pi / 2 else np.array([0.2, 0.7])
    )
    assert (lower_left > [0, 0.5]).all()
    assert (lower_left < [0.5, 1]).all()


# --- which picture ---


@pytest.mark.parametrize(
    "material",
    [
        {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseTexture": {"index": 0}}}},
        {
            "emissiveTexture": {"index": 0},
            "emissiveFactor": [1, 1, 1],
            "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]},
        },
        {"emissiveTexture": {"index": 0}},
        {
            "emissiveTexture": {"index": 0},
            "emissiveFactor": [1, 1, 1],
            "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [0, 0, 0, 1]},
        },
        {**TEXTURED, "extensions": {"KHR_materials_unlit": {}}},
        {**TEXTURED, "alphaMode": "MASK"},
    ],
)
def test_pictures_of_other_materials(tmp_path: Path, material: dict[str, Any]) -> None:
    gltf = with_texture(material, uv_from_top().astype("f4"))
    gltf.json["extensionsRequired"] = list(material.get("extensions", {}))
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def test_a_picture_is_multiplied_by_its_materials_colour(tmp_path: Path) -> None:
    bright = srgb_of_linear(linear_of_srgb(np.asarray(picture()) / 255) / 0.7)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(bright)).save(buffer, "PNG")
    gltf = Gltf()
    factor = {"baseColorTexture": {"index": 0}, "baseColorFactor": [0.7, 0.7, 0.7, 1]}
    gltf.plane({"pbrMetallicRoughness": factor}, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(buffer.getvalue())
    # The brightest channel is cut off at white before it is dimmed.
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")), tolerance=18)


@pytest.mark.parametrize("source", [None, 1])
def test_webp_with_and_without_a_plain_picture(tmp_path: Path, source: int | None) -> None:
    gltf = Gltf(extensionsRequired=["EXT_texture_webp"])
    gltf.plane(TEXTURED, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(picture_bytes("WEBP"), "image/webp", extensions={"EXT_texture_webp": {"source": 0}})
    if source:
        gltf.json["images"].append({"bufferView": gltf.view(picture_bytes()), "mimeType": "image/png"})
        gltf.json["textures"][0]["source"] = source
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


def basis(**texture: Any) -> Gltf:
    gltf = Gltf(extensionsUsed=["KHR_texture_basisu"])
    gltf.plane(TEXTURED, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.texture(b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(80), "image/ktx2", **texture)
    return gltf


def test_basis_textures_are_refused_with_a_remedy(tmp_path: Path) -> None:
    for name, gltf in {
        "extension": basis(extensions={"KHR_texture_basisu": {"source": 0}}),
        "plain": basis(source=0),
    }.items():
        with pytest.raises(TransposeError, match=r"KHR_texture_basisu.*PNG"):
            read(gltf.write_glb(tmp_path / f"{name}.glb"))


def test_a_plain_picture_beside_a_basis_one_is_taken(tmp_path: Path) -> None:
    gltf = basis(source=1, extensions={"KHR_texture_basisu": {"source": 0}})
    gltf.json["images"].append({"bufferView": gltf.view(picture_bytes()), "mimeType": "image/png"})
    assert_quarters(read(gltf.write_glb(tmp_path / "m.glb")))


@pytest.mark.parametrize(("wrap", "is_said"), [(33071, True), (33648, True), (10497, False)])
def test_pictures_that_end_at_their_borders_are_said_to_repeat(
    tmp_path: Path, wrap: int, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for stretch in (1.0, 1.5):
        caplog.clear()
        gltf = with_texture(TEXTURED, (uv_from_top() * stretch).astype("f4"), source=0, sampler=0)
        gltf.json["samplers"] = [{"wrapS": wrap, "wrapT": wrap}]
        read(gltf.write_glb(tmp_path / "m.glb"))
        assert ("clamp or mirror" in caplog.text) == (is_said and stretch > 1)


# --- files beside ---


@pytest.mark.parametrize(
    "uri", ["my%20mesh.bin", "my mesh.bin", "MY%20MESH.BIN", "C:\\\\scans\\\\my mesh.bin", "data/my%20mesh.bin"]
)
def test_buffers_and_pictures_beside_the_file(tmp_path: Path, uri: str) -> None:
    gltf = Gltf()
    gltf.plane(TEXTURED, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.json["textures"], gltf.json["images"] = [{"source": 0}], [{"uri": "textures/a%20picture.png"}]
    (tmp_path / "textures").mkdir()
    picture().save(tmp_path / "textures" / "a picture.png")
    place = tmp_path / "data" if uri.startswith("data") else tmp_path
    assert_quarters(read(gltf.write_gltf(tmp_path / "m.gltf", uri, place / "my mesh.bin")))


def test_data_within_uris(tmp_path: Path) -> None:
    gltf = Gltf()
    gltf.plane(TEXTURED, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    coded = base64.b64encode(picture_bytes()).decode()
    gltf.json["textures"], gltf.json["images"] = [{"source": 0}], [{"uri": f"data:image/png;base64,{coded}"}]
    data = "data:application/octet-stream;base64," + base64.b64encode(gltf.binary).decode()
    assert_quarters(read(gltf.write_gltf(tmp_path / "m.gltf", data, tmp_path / "unused.bin")))


def test_a_missing_picture_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gltf = Gltf()
    primitive = gltf.plane(TEXTURED, TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")))
    gltf.json["textures"], gltf.json["images"] = [{"source": 0}], [{"uri": "wall.png"}]
    with pytest.raises(TransposeError, match=r"textures are not there: wall\.png"):
        read(gltf.write_gltf(tmp_path / "m.gltf", "m.bin", tmp_path / "m.bin"))
    # With a part that has one, it is said.
    gltf.json["meshes"][0]["primitives"].append({**primitive, "material": 1})
    gltf.json["materials"].append({"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.5, 0.1, 1]}})
    world = read(gltf.write_gltf(tmp_path / "m.gltf", "m.bin", tmp_path / "m.bin"))
    assert "wall.png; 50 % of its faces have a colour" in caplog.text
    assert world.facts["textures_missing"] == ["wall.png"]


# --- refusals ---


@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "ACME_teapots"])
def test_required_extensions_that_are_not_read_are_named(tmp_path: Path, name: str) -> None:
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    gltf.json["extensionsRequired"] = [name]
    with pytest.raises(TransposeError, match=name):
        read(gltf.write_glb(tmp_path / "m.glb"))


def test_compression_that_is_an_option_is_read_where_plain_data_are_there(tmp_path: Path) -> None:
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    primitive = gltf.json["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {}}}
    assert_quarters(read(gltf.write_glb(tmp_path / "plain.glb")))
    del gltf.json["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    with pytest.raises(TransposeError, match="KHR_draco_mesh_compression"):
        read(gltf.write_glb(tmp_path / "draco.glb"))


def test_meshopt_without_plain_data_is_refused(tmp_path: Path) -> None:
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    view = gltf.json["bufferViews"][0]
    view["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}
    assert_quarters(read(gltf.write_glb(tmp_path / "plain.glb")))
    view["buffer"] = 1
    gltf.json["buffers"] = [{}, {"byteLength": 9999, "extensions": {"EXT_meshopt_compression": {"fallback": True}}}]
    with pytest.raises(TransposeError, match="EXT_meshopt_compression"):
        read(gltf.write_glb(tmp_path / "meshopt.glb"))


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = with_texture(TEXTURED, uv_from_top().astype("f4")).write_glb(tmp_path / "m.glb").read_bytes()
    cases = {
        "short": whole[:1000],
        "empty": b"",
        "version": whole[:4] + b"\1\0\0\0" + whole[8:],
        "json": b"{}",
        "no buffer": json.dumps({"asset": {"version": "2.0"}, "meshes": [{}], "nodes": [{"mesh": 0}]}).encode(),
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.glb"
        path.write_bytes(data)
        with pytest.raises(TransposeError, match=f"{name}.glb (cannot be read|has no triangles)"):
            read(path)
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    with pytest.raises(TransposeError, match=r"gone\.bin is not there"):
        read(gltf.write_gltf(tmp_path / "m.gltf", "gone.bin", tmp_path / "elsewhere" / "x.bin"))


def test_a_place_on_a_map_within_the_file(tmp_path: Path) -> None:
    """OpenDroneMap's GLB is z up, whatever glTF has, and says where on its map it is."""
    gltf = with_texture(TEXTURED, uv_from_top().astype("f4"))
    gltf.json |= {
        "extensionsUsed": ["CESIUM_RTC"],
        "extensions": {"CESIUM_RTC": {"center": [576000.0, 5188000.0, 0.0]}},
    }
    world = read_mesh(gltf.write_glb(tmp_path / "m.glb"))
    assert_quarters(world)
    assert world.origin_3.tolist() == [576000, 5188000, 0]
    gltf.json["extensions"]["CESIUM_RTC"]["center"] = [4.2e6, 1.7e5, 4.78e6]
    with pytest.raises(TransposeError, match="geocentric"):
        read_mesh(gltf.write_glb(tmp_path / "m.glb"))


def test_vertex_colors_over_a_picture_of_one_color(tmp_path):
    white = io.BytesIO()
    Image.new("RGB", (4, 4), (255, 255, 255)).save(white, "PNG")
    gltf = Gltf(asset={"version": "2.0", "generator": "trimesh"})
    gltf.texture(white.getvalue())
    rgba = np.concatenate([vertex_colors(), np.full((81, 1), 255, np.uint8)], 1)
    gltf.plane(
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}},
        TEXCOORD_0=gltf.accessor(uv_from_top().astype("f4")),
        COLOR_0=gltf.accessor(rgba, normalized=True),
    )
    assert_quarters(read_mesh(gltf.write_glb(tmp_path / "a.glb"), MeshFrame(up="z")))


def test_globes_are_refused(tmp_path):
    gltf = Gltf()
    gltf.plane()
    gltf.json["nodes"][0]["translation"] = [4278000.0, 635000.0, 4672000.0]
    with pytest.raises(TransposeError, match="geocentric"):
        read_mesh(gltf.write_glb(tmp_path / "a.glb"))
