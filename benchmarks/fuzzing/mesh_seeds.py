"""Whole meshes and clouds, small ones: OBJ, PLY, glTF."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from fuzzing.sandbox import Files
from fuzzing.seeds import encoded


def obj_files() -> list[Files]:
    """A quad with a picture; vertices with colours and polygons; several materials."""
    quad = b"mtllib a.mtl\no x\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    quad += b"usemtl m\nf 1/1 2/2 3/3 4/4\nf -4/-4 -3/-3 -2/-2\n"
    mtl = b"newmtl m\nKd 0.5 0.5 1\nmap_Kd -s 2 2 1 -o 0 0.5 a.png\nnewmtl n\nKd 1 0 0\nmap_Ka b.<UDIM>.png\n"
    color = (
        b"v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0.4 0.4 0 1 1 1\nv 0 1 0 1 1 1\nf 1 2 3 4 5\nf 1//1 2//1 3\n"
    )
    picture = encoded("PNG")
    return [{"a.obj": quad, "a.mtl": mtl, "a.png": picture}, {"a.obj": color}]


def ply_meshes() -> list[Files]:
    """PLY in text and binary, with colours, or with a picture."""
    head = "ply\nformat {} 1.0\ncomment TextureFile a.png\nelement vertex 4\nproperty float x\nproperty float y\n"
    head += "property float z\n{}element face 2\nproperty list uchar int vertex_indices\n{}end_header\n"
    rgb = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    text = (
        head.format("ascii", rgb, "") + "0 0 0 255 0 0\n1 0 0 0 255 0\n1 1 0 0 0 255\n0 1 0 9 9 9\n3 0 1 2\n3 0 2 3\n"
    )
    places = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))
    plain = head.format("binary_little_endian", rgb, "").encode()
    plain += b"".join(struct.pack("<3f3B", *p, 255, 0, k) for k, p in enumerate(places))
    plain += struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 2, 3)
    uv = head.format("binary_big_endian", "property float s\nproperty float t\n", "").encode()
    uv += b"".join(struct.pack(">5f", *p, p[0], p[1]) for p in places) + struct.pack(">B3iB3i", 3, 0, 1, 2, 3, 0, 2, 3)
    corners = head.format("ascii", "", "property list uchar float texcoord\n")
    corners += "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 0 0 1 1 0 1\n"
    picture = encoded("PNG")
    bodies = (text.encode(), plain, uv, corners.encode())
    return [{"a.ply": body, "a.png": picture} for body in bodies]


def gltf_json() -> tuple[dict[str, Any], bytes]:
    """A quad with a picture and vertex colours, and its buffer."""
    places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    picture = encoded("PNG")
    parts = [places.tobytes(), places[:, :2].tobytes(), np.array([0, 1, 2, 0, 2, 3], np.uint16).tobytes(), picture]
    parts += [bytes((255, 0, 0, 255)) * 4, struct.pack("<H2x3f", 2, 1, 1, 0.5)]
    binary, views = b"", []
    for part in parts:
        binary += bytes(-len(binary) % 4)
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(part)})
        binary += part
    sparse = {
        "count": 1,
        "indices": {"bufferView": 5, "componentType": 5123},
        "values": {"bufferView": 5, "byteOffset": 4},
    }
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse},
        {"bufferView": 1, "componentType": 5126, "count": 4, "type": "VEC2"},
        {"bufferView": 2, "componentType": 5123, "count": 6, "type": "SCALAR"},
        {"bufferView": 4, "componentType": 5121, "count": 4, "type": "VEC4", "normalized": True},
    ]
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "texCoord": 0}}, "alphaMode": "MASK"}
    material["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = {"KHR_texture_transform": {"scale": [2, 1]}}
    primitives = [
        {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0},
        {"attributes": {"POSITION": 0, "COLOR_0": 3}, "indices": 2, "mode": 5},
    ]
    nodes = [{"children": [1], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}, {"mesh": 0, "translation": [1, 2, 3]}]
    content = {
        "asset": {"version": "2.0", "generator": "x"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": [{"primitives": primitives}],
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"wrapS": 33071}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
        "extensions": {"CESIUM_RTC": {"center": [1.0, 2.0, 0.0]}},
    }
    return content, binary


def glb_files() -> list[Files]:
    """All in one file."""
    content, binary = gltf_json()
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    return [{"a.glb": head + text + struct.pack("<II", len(binary), 0x004E4942) + binary}]


def gltf_files() -> list[Files]:
    """Buffer and picture beside the file."""
    content, binary = gltf_json()
    content["buffers"][0]["uri"] = "a.bin"
    content["images"] = [{"uri": "a.png"}]
    return [{"a.gltf": json.dumps(content).encode(), "a.bin": binary, "a.png": encoded("PNG")}]


def ply_clouds() -> list[Files]:
    """Points with colours and classes."""
    head = "ply\nformat {} 1.0\nelement vertex 3\nproperty double x\nproperty double y\nproperty float z\n"
    head += "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar class\nend_header\n"
    binary = head.format("binary_little_endian").encode()
    binary += b"".join(struct.pack("<2df4B", k, 2 * k, 0.5, 9, 8, 7, 2) for k in range(3))
    return [
        {"a.ply": binary},
        {"a.ply": head.format("ascii").encode() + b"0 0 1 9 8 7 2\n1 0 1 9 8 7 6\n1 1 nan 9 8 7 0\n"},
    ]
