"""Polygons of meshes as triangles: the area that they cover, and which face is which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.quarters import assert_quarters, picture, plane, uv_from_top
from transpose.worlds.mesh import read_mesh
from transpose.worlds.polygons import triangles_of

L_SHAPE = np.array([(2, 0), (2, 1), (1, 1), (1, 2), (0, 2), (0, 0)], np.float64)


def _area(vertices, faces) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@given(st.integers(0, 10_000), st.integers(3, 12))
def test_triangles_cover_a_star_however_it_is_turned(seed, sides):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, sides)) + np.arange(sides)  # gaps stay under a half turn
    angle *= 2 * np.pi / (2 * np.pi + sides)
    radius = rng.uniform(0.2, 2, sides)
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    wanted = 0.5 * abs(float(np.sum(flat[:, 0] * np.roll(flat[:, 1], -1) - flat[:, 1] * np.roll(flat[:, 0], -1))))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    places = np.pad(flat, [(0, 0), (0, 1)]) @ turn.T + rng.normal(size=3)
    faces, polygon = triangles_of(np.arange(sides), np.array([sides]), places)
    assert faces.shape == (sides - 2, 3) and (polygon == 0).all()
    assert _area(places, faces) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    normals = np.cross(places[faces[:, 1]] - places[faces[:, 0]], places[faces[:, 2]] - places[faces[:, 0]])
    assert np.linalg.norm(normals.sum(0)) == pytest.approx(2 * wanted, rel=1e-6, abs=1e-9)  # all face one way


def test_concave_polygons_of_obj_and_ply(tmp_path):
    rows = "".join(f"v {x:g} {y:g} 0 1 0 0\n" for x, y in L_SHAPE)
    (tmp_path / "a.obj").write_text(rows + "f 1 2 3 4 5 6\n")
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 7\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 2\nproperty list uchar int vertex_indices\nproperty uchar red\nproperty uchar green\n"
        "property uchar blue\nend_header\n"
        + "".join(f"{x:g} {y:g} 0\n" for x, y in L_SHAPE)
        + "2 2 0\n6 0 1 2 3 4 5 255 0 0\n3 1 6 2 0 255 0\n"
    )
    world = read_mesh(tmp_path / "a.obj")
    assert _area(world.vertices_v3, world.faces_f3) == pytest.approx(3)
    world = read_mesh(tmp_path / "a.ply")
    assert _area(world.vertices_v3, world.faces_f3) == pytest.approx(3.5)
    green = (world.vertex_rgb_v3[world.faces_f3[:, 0]] == (0, 255, 0)).all(1)
    assert _area(world.vertices_v3, world.faces_f3[green]) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["t.<UDIM>.png", "t.1001.png"])
def test_udim_tiles(tmp_path, name):
    """The west is on tile 1001, the east on tile 1002."""
    vertices, faces = plane()
    lines = ["mtllib m.mtl", *(f"v {x} {y} {z}" for x, y, z in vertices)]
    lines += [f"vt {2 * u} {1 - v}" for u, v in uv_from_top()] + ["usemtl a"]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    (tmp_path / "m.mtl").write_text(f"newmtl a\nmap_Kd {name}\n")
    for number, left in ((1001, 0), (1002, 32)):
        picture().crop((left, 0, left + 32, 64)).resize((64, 64)).save(tmp_path / f"t.{number}.png")
    assert_quarters(read_mesh(tmp_path / "a.obj"))
    (tmp_path / "t.1002.png").unlink()
    if "UDIM" in name:
        assert read_mesh(tmp_path / "a.obj").facts["textures_missing"] == ["t.1002.png"]
    else:  # one picture that repeats
        assert len(read_mesh(tmp_path / "a.obj").textures) == 1
