"""PLY meshes with the names of properties and pictures that programs use."""

from pathlib import Path

import numpy as np
import pytest

from tests.worlds.quarters import COLORS, assert_quarters, picture, plane, uv_from_top, vertex_colors
from transpose.errors import TransposeError
from transpose.worlds.mesh import read_mesh


def write_ply(
    path: Path,
    columns: dict[str, tuple[str, np.ndarray]],
    faces: list[str] | None = None,
    face_properties: str = "property list uchar int vertex_indices\n",
    comment: str = "",
) -> Path:
    """An ascii PLY of the plane with more properties of vertices."""
    vertices, triangles = plane()
    head = "ply\nformat ascii 1.0\n" + comment + f"element vertex {len(vertices)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += "".join(f"property {kind} {name}\n" for name, (kind, _) in columns.items())
    rows = [
        " ".join(f"{v:.6g}" for v in (*xyz, *(values[k] for _, values in columns.values())))
        for k, xyz in enumerate(vertices)
    ]
    faces = faces or [f"3 {a} {b} {c}" for a, b, c in triangles]
    head += f"element face {len(faces)}\n{face_properties}end_header\n"
    path.write_text(head + "\n".join(rows + faces) + "\n")
    return path


def colors(names: str, kind: str = "uchar", scale: float = 1.0) -> dict[str, tuple[str, np.ndarray]]:
    return {name: (kind, vertex_colors()[:, k].astype(float) * scale) for k, name in enumerate(names.split())}


@pytest.mark.parametrize(
    "columns",
    [
        colors("red green blue"),
        colors("diffuse_red diffuse_green diffuse_blue"),
        colors("r g b"),
        colors("Red Green Blue"),
        colors("color_r color_g color_b", "int"),
        colors("red green blue", "float", 1 / 255),
        colors("red green blue", "float"),
        colors("red green blue", "ushort", 257),
        {**colors("red green blue"), "alpha": ("uchar", np.full(81, 255))},
    ],
)
def test_vertex_colours(tmp_path: Path, columns: dict[str, tuple[str, np.ndarray]]) -> None:
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", columns)))


def test_colours_of_faces_keep_their_borders(tmp_path: Path) -> None:
    vertices, faces = plane()
    middle = vertices[faces].mean(1)
    rgb = COLORS[(middle[:, 0] > 0).astype(int) + 2 * (middle[:, 1] > 0).astype(int)]
    rows = [f"3 {a} {b} {c} {r} {g} {bl}" for (a, b, c), (r, g, bl) in zip(faces, rgb, strict=True)]
    more = "property list uchar int vertex_indices\n" + "".join(
        f"property uchar {n}\n" for n in ("red", "green", "blue")
    )
    world = read_mesh(write_ply(tmp_path / "m.ply", {}, rows, more))
    assert_quarters(world, tolerance=1)
    assert np.array_equal(world.vertex_rgb_v3[world.faces_f3][:, 0], world.vertex_rgb_v3[world.faces_f3][:, 2])


def texture_columns(names: str) -> dict[str, tuple[str, np.ndarray]]:
    u, v = names.split()
    return {u: ("float", uv_from_top()[:, 0]), v: ("float", 1 - uv_from_top()[:, 1])}


@pytest.mark.parametrize("names", ["s t", "u v", "texture_u texture_v", "texture_s texture_t"])
@pytest.mark.parametrize("comment", ["TextureFile tex.png", "TextureFile C:\\scan\\Tex.PNG", "texturefile: tex.png"])
def test_textures_by_vertex(tmp_path: Path, names: str, comment: str) -> None:
    picture().save(tmp_path / "tex.png")
    columns = {**texture_columns(names), **{n: ("uchar", np.full(81, 9)) for n in ("red", "green", "blue")}}
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", columns, comment=f"comment {comment}\n")))


def textured_faces(number: bool = False) -> tuple[list[str], str]:
    _, faces = plane()
    rows = []
    for face in faces:
        uv = uv_from_top()[face] * [1, -1] + [0, 1]
        rows.append(
            f"3 {' '.join(map(str, face))} 6 {' '.join(f'{x:.6f}' for x in uv.ravel())}" + (" 1" if number else "")
        )
    more = "property list uchar int vertex_indices\nproperty list uchar float texcoord\n"
    return rows, more + ("property int texnumber\n" if number else "")


def test_textures_by_corner(tmp_path: Path) -> None:
    picture().save(tmp_path / "tex.png")
    rows, more = textured_faces()
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", {}, rows, more, "comment TextureFile tex.png\n")))


def test_of_several_textures_each_face_has_its_own(tmp_path: Path) -> None:
    picture().save(tmp_path / "b.png")
    rows, more = textured_faces(number=True)
    comment = "comment TextureFile a.png\ncomment TextureFile b.png\n"
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", {}, rows, more, comment)))


def test_a_picture_of_the_same_name_is_taken_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture().save(tmp_path / "m.jpg", quality=100, subsampling=0)
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", texture_columns("s t"))))
    assert "m.jpg is taken for its texture" in caplog.text


def test_a_missing_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    named = {"comment": "comment TextureFile gone.png\n"}
    with pytest.raises(TransposeError, match=r"not there: gone\.png"):
        read_mesh(write_ply(tmp_path / "m.ply", texture_columns("s t"), **named))
    columns = {**texture_columns("s t"), **colors("red green blue")}
    assert_quarters(read_mesh(write_ply(tmp_path / "m.ply", columns, **named)))
    assert "gone.png; 100 % of its faces have a colour" in caplog.text


def test_points_are_sent_to_the_other_command(tmp_path: Path) -> None:
    (tmp_path / "m.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "end_header\n0 0 0\n"
    )
    with pytest.raises(TransposeError, match="build cloud"):
        read_mesh(tmp_path / "m.ply")
