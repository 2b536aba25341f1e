"""Meshes, clouds, rasters and cameras that promise more than they hold, in size or in time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.scenes.camera_files import read_camera_file
from transpose.worlds import polygons
from transpose.worlds.mesh import read_mesh
from transpose.worlds.point_files import open_points
from transpose.worlds.rasters import opened

pytestmark = pytest.mark.usefixtures("little_memory")


def ply(count: int, kind: str = "binary_little_endian", more: str = "") -> bytes:
    head = f"ply\nformat {kind} 1.0\nelement vertex {count}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + "property uchar red\nproperty uchar green\n"
    return (head + f"property uchar blue\n{more}end_header\n").encode() + bytes(60)


@pytest.mark.parametrize("kind", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_ply_of_two_billion_vertices(tmp_path: Path, kind: str) -> None:
    faces = "element face 2147483648\nproperty list uchar int vertex_indices\n"
    (tmp_path / "a.ply").write_bytes(ply(2**31, kind, faces))
    with pytest.raises(TransposeError, match=r"a\.ply .*truncated"):
        read_mesh(tmp_path / "a.ply")
    with pytest.raises(TransposeError, match=r"a\.ply .*truncated"):
        open_points(tmp_path / "a.ply")
    (tmp_path / "a.ply").write_bytes(ply(1, kind, faces))
    with pytest.raises(TransposeError, match=r"a\.ply"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(
    "line",
    ["element vertex", "element vertex x", "element vertex -1", "property", "property float", "property float x",
     "property list uchar", "format", "format text 1.0"],
)  # fmt: skip
def test_lines_of_a_ply_header(tmp_path: Path, line: str) -> None:
    data = ply(1).replace(b"property float y\n", f"property float y\n{line}\n".encode())
    (tmp_path / "a.ply").write_bytes(data)
    for read in (read_mesh, open_points):
        with pytest.raises(TransposeError, match=r"a\.ply"):
            read(tmp_path / "a.ply")


def gltf(**more: object) -> dict[str, object]:
    accessor = {"componentType": 5126, "count": 3, "type": "VEC3"}
    primitives = [{"attributes": {"POSITION": 0}}]
    plain = {"asset": {"version": "2.0"}, "accessors": [accessor], "meshes": [{"primitives": primitives}]}
    return {**plain, "nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}], **more}


def test_gltf_of_two_billion_vertices(tmp_path: Path) -> None:
    for count in (2**31, -1):
        content = gltf(accessors=[{"componentType": 5126, "count": count, "type": "VEC3"}])
        (tmp_path / "a.gltf").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(TransposeError, match=r"a\.gltf cannot be read as a mesh: an accessor"):
            read_mesh(tmp_path / "a.gltf")


def test_gltf_whose_nodes_multiply(tmp_path: Path) -> None:
    """Each of forty nodes is shown twice by the one before: a billion laughs."""
    nodes = [{"children": [n + 1, n + 1]} for n in range(40)] + [{"mesh": 0}]
    (tmp_path / "a.gltf").write_text(json.dumps(gltf(nodes=nodes)), encoding="utf-8")
    with pytest.raises(TransposeError, match="stands in two places"):
        read_mesh(tmp_path / "a.gltf")


def test_gltf_of_which_many_primitives_show_one_large_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transpose.worlds.gltf_scenes._MOST_CORNERS", 100)
    content = gltf(meshes=[{"primitives": [{"attributes": {"POSITION": 0}}] * 30}])
    (tmp_path / "a.gltf").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TransposeError, match="over 100 corners"):
        read_mesh(tmp_path / "a.gltf")


def test_rasters_of_blocks_that_are_not_there(tmp_path: Path) -> None:
    """All pixels would be gone through, for nothing."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.transform import from_origin

    place = {"crs": "EPSG:2056", "transform": from_origin(2570000, 1135020, 1, 1)}
    side = 400_000
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=side, height=side, count=1, dtype="float32", **place,
        tiled=True, blockxsize=16384, blockysize=16384, SPARSE_OK=True, BIGTIFF="YES",
    ):  # fmt: skip
        pass
    with pytest.raises(TransposeError, match=r"a\.tif is said to have 400000 x 400000 pixels"):
        opened(tmp_path / "a.tif")


def test_a_polygon_made_to_be_hard_to_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thin arc: nearly every corner has others in its triangle. How many are looked at is bounded."""
    monkeypatch.setattr(polygons, "_SPARE", 40_000)
    asked, is_ear = [0], polygons._is_ear

    def counted(flat_s2: np.ndarray, left: list[int], at: int) -> bool:
        asked[0] += 1
        return is_ear(flat_s2, left, at)

    monkeypatch.setattr(polygons, "_is_ear", counted)
    n = 200
    angle_n = np.linspace(0, 1.5 * np.pi, n)
    outer_n2 = np.stack([np.cos(angle_n), np.sin(angle_n)], 1)
    ring_n2 = np.concatenate([outer_n2, 0.999 * outer_n2[::-1]])
    places_k3 = np.column_stack([ring_n2, np.zeros(2 * n)])
    faces_t3, _ = polygons.triangles_of(np.arange(2 * n), np.array([2 * n]), places_k3)
    assert len(faces_t3) == 2 * n - 2
    assert asked[0] <= 2 * n * polygons._TRIES + 40_000 / 4


def test_yaml_of_one_long_line(tmp_path: Path) -> None:
    for text in ("a" + " " * 300_000 + "b", "a: [" + "1," * 200_000 + "1]", "a: [1,\n" + " 1,\n" * 100_000):
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(TransposeError, match=r"a\.yaml: a line has over"):
            read_camera_file(tmp_path / "a.yaml")
