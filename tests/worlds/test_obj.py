"""OBJ and MTL as programs write them: the picture is found, or named where it is not there."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worlds.quarters import (
    assert_quarters,
    picture,
    picture_bytes,
    plane,
    seen_from_above,
    vertex_colors,
    write_obj,
)
from transpose.errors import TransposeError
from transpose.worlds.mesh import read_mesh
from transpose.worlds.summary import facts_line


def scan(folder: Path, materials: str | bytes, picture_name: str | None = "tex.png", **obj: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(folder / "m.obj", **obj)  # type: ignore[arg-type]
    (folder / "m.mtl").write_bytes(materials.encode() if isinstance(materials, str) else materials)
    if picture_name:
        (folder / picture_name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(folder / picture_name)
    return folder / "m.obj"


@pytest.mark.parametrize(
    "line",
    [
        "map_Kd tex.png",
        "\tmap_Kd\ttex.png  ",
        "map_kd ./tex.png",
        "Kd 0.2 0.2 0.2\nmap_Kd tex.png",
        'map_Kd "tex.png"',
        "map_Kd -s 1 1 1 tex.png",
        "map_Kd -s 1.0 -o 0 0 0 -clamp off -imfchan m tex.png",
        "map_Kd -mm 0 1 -texres 512 -blendu on tex.png",
        "map_Kd -bm 1.0 tex.png",
        "map_Kd TEX.PNG",
        r"map_Kd C:\scan\tex.png",
        r"map_Kd C:\\scan\\tex.png",
        r"map_Kd \\server\scans\tex.png",
        "map_Kd /home/someone/scan/tex.png",
        "map_Kd file:///D:/scan/tex.png",
        "map_Kd ../other/tex.png",
        "map_Kd %74ex.png",
        "map_Ka tex.png",
        "map_Ke tex.png",
        "map_Ka gone.png\nmap_Kd tex.png",
        "map_Kd tex.png\nmap_Ka gone.png\nmap_bump gone.png",
        "map_Kd tex.jpg",
    ],
)
def test_pictures_are_found(tmp_path: Path, line: str) -> None:
    assert_quarters(read_mesh(scan(tmp_path, f"newmtl mat\n{line}\n")))


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("a picture.png", "a picture.png"),
        ("a%20picture.png", "a picture.png"),
        (r"textures\tex.png", "textures/tex.png"),
        ("tex.png", "textures/tex.png"),
        ("textures/tex.png", "tex.png"),
        ("tex.png", "m_textures/Tex.PNG"),
        ("tex.png", "../textures/tex.png"),
        ("mauer_\u00fc.png", "mauer_u\u0308.png"),
    ],
)
def test_pictures_lie_elsewhere(tmp_path: Path, written: str, there: str) -> None:
    assert_quarters(read_mesh(scan(tmp_path / "scan", f"newmtl mat\nmap_Kd {written}\n", there)))


def test_of_pictures_with_one_name_the_one_in_the_right_folder_is_taken(tmp_path: Path) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd D:\\out\\tile_2\\tex.png\n", "tile_2/tex.png")
    (tmp_path / "tile_1").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "tile_1" / "tex.png")
    assert_quarters(read_mesh(path))
    (tmp_path / "m.mtl").write_text("newmtl mat\nmap_Kd tex.png\n")
    with pytest.raises(TransposeError, match=r"not there: tex\.png"):
        read_mesh(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_text_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    mtl = "# Übersicht\r\nnewmtl mat\r\nmap_Kd tex.png\r\n".encode(encoding)
    path = scan(tmp_path, mtl)
    assert_quarters(read_mesh(path))
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert_quarters(read_mesh(path))


@pytest.mark.parametrize("mtl", ["M.MTL", "./m.mtl", r"C:\scan\m.mtl", "other.mtl", "scan of a wall.mtl"])
def test_the_file_of_materials_is_found(tmp_path: Path, mtl: str) -> None:
    assert_quarters(read_mesh(scan(tmp_path, "newmtl mat\nmap_Kd tex.png\n", mtl=mtl)))


@pytest.mark.parametrize("material", ["MAT", "mat ", "material_0", None])
def test_a_material_of_another_name_is_the_only_one(tmp_path: Path, material: str | None) -> None:
    assert_quarters(read_mesh(scan(tmp_path, "newmtl mat\nmap_Kd tex.png\n", material=material)))


def test_two_files_of_materials_in_one_line(tmp_path: Path) -> None:
    path = scan(tmp_path, "newmtl other\nKd 1 0 0\n", mtl="m.mtl n.mtl")
    (tmp_path / "n.mtl").write_text("newmtl mat\nmap_Kd tex.png\n")
    assert_quarters(read_mesh(path))


@pytest.mark.parametrize(
    ("mtl", "words"),
    [
        ("newmtl mat\nmap_Kd gone.png\n", r"gone\.png"),
        ("newmtl mat\nKd 1 1 1\nmap_Kd gone.png\n", r"gone\.png"),
        ("newmtl a\nmap_Kd tex.png\nnewmtl b\nmap_Kd tex.png\n", "material mat"),
        (None, r"material mat.*m\.mtl, is not there"),
    ],
)
def test_what_is_lost_is_refused_by_name(tmp_path: Path, mtl: str | None, words: str) -> None:
    path = scan(tmp_path, mtl or "")
    if mtl is None:
        (tmp_path / "m.mtl").unlink()
    with pytest.raises(TransposeError, match=words):
        read_mesh(path)


def test_what_is_lost_in_part_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd tex.png\nnewmtl roof\nmap_Kd roof.png\n")
    path.write_text(path.read_text() + "usemtl roof\n" + "f 1/1 2/2 3/3\n" * 128)
    world = read_mesh(path)
    assert [m for m in caplog.messages if "roof.png" in m and "50 % of its faces" in m] == caplog.messages
    assert world.facts["textures_missing"] == ["roof.png"]
    assert world.facts["colored_faces"] == 0.5


def test_a_mesh_without_any_colour_is_said_to_have_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_obj(tmp_path / "m.obj", None, material=None, with_uv=False)
    world = read_mesh(tmp_path / "m.obj")
    assert world.facts["colored_faces"] == 0
    assert "no textures, no colours; 0 % of the faces coloured" in facts_line(world)
    assert "neither textures nor colours" in caplog.text


@pytest.mark.parametrize("materials", ["newmtl mat\nKd 0.5 0.5 0.5\n", "newmtl mat\nKd 0.2 0.4 0.6\n"])
def test_a_mesh_of_one_colour_is_said_to_teach_nothing(
    tmp_path: Path, materials: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = read_mesh(scan(tmp_path, materials))
    assert [record.getMessage().count("one colour and no textures") for record in caplog.records] == [1]
    assert "no textures, one colour" in facts_line(world)


@pytest.mark.parametrize("scale", [1, 255, 65535])
@pytest.mark.parametrize("with_w", [False, True])
def test_vertex_colours_of_any_range(tmp_path: Path, scale: int, with_w: bool) -> None:
    write_obj(tmp_path / "m.obj", None, material=None, with_uv=False)
    lines = (tmp_path / "m.obj").read_text().splitlines()
    rgb = vertex_colors() / 255 * scale
    for k, row in enumerate(rgb):
        lines[k] += (" 1.0" if with_w else "") + " " + " ".join(f"{c:.6g}" for c in row) + (" 1.0" if with_w else "")
    (tmp_path / "m.obj").write_text("\n".join(lines))
    assert_quarters(read_mesh(tmp_path / "m.obj"))


def test_vertices_of_which_some_have_colours(tmp_path: Path) -> None:
    write_obj(tmp_path / "m.obj", None, material=None, with_uv=False)
    lines = (tmp_path / "m.obj").read_text().splitlines()
    lines = [f"{line} 1 0 0" if line.startswith("v") and k % 9 else line for k, line in enumerate(lines)]
    (tmp_path / "m.obj").write_text("\n".join(lines))
    colors = read_mesh(tmp_path / "m.obj").vertex_rgb_v3
    assert {tuple(c) for c in colors.tolist()} == {(255, 0, 0), (180, 180, 180)}


def test_scale_and_offset_of_a_map(tmp_path: Path) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd -s 0.5 0.5 1 -o 0.25 0.25 0 tex.png\n")
    wide = Image.new("RGB", (128, 128), (9, 9, 9))
    wide.paste(picture(), (32, 32))
    wide.save(tmp_path / "tex.png")
    assert_quarters(read_mesh(path))


def faces_as(path: Path, how: str) -> None:
    """The plane's faces in another writing."""
    vertices, faces = plane()
    lines = path.read_text().splitlines()
    head = [line for line in lines if not line.startswith("f ")]
    if how == "negative":
        n = len(vertices)
        head += [f"f {' '.join(f'{i - n}/{i - n}' for i in face)}" for face in faces]
    elif how == "polygons":
        quads = np.stack([faces[:64, 0], faces[:64, 1], faces[:64, 2], faces[64:, 2]], 1)
        head += [f"f {' '.join(f'{i + 1}/{i + 1}/1' for i in quad)}" for quad in quads[:40]]
        head += [
            f"f {' '.join(f'{i + 1}/{i + 1}' for i in face)}" for face in np.concatenate([faces[40:64], faces[104:]])
        ]
    elif how == "normals":
        head += ["vn 0 0 1", *(f"f {' '.join(f'{i + 1}/{i + 1}/1' for i in face)}  # a face" for face in faces)]
    elif how == "continued":
        head += [
            f"f {face[0] + 1}/{face[0] + 1} \\\n  {face[1] + 1}/{face[1] + 1} {face[2] + 1}/{face[2] + 1}"
            for face in faces
        ]
    path.write_text("\n".join(head))


@pytest.mark.parametrize("how", ["negative", "polygons", "normals", "continued"])
def test_faces_in_other_writings(tmp_path: Path, how: str) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd tex.png\n")
    faces_as(path, how)
    assert_quarters(read_mesh(path))


def test_faces_without_texture_coordinates_among_others(tmp_path: Path) -> None:
    path = scan(tmp_path, "newmtl mat\nKd 1 1 0\nmap_Kd tex.png\n")
    path.write_text(path.read_text() + "f 1 2 3\nf 1//1 2//1 3//1\n")
    world = read_mesh(path)
    assert_quarters(world)
    assert (world.face_texture_f == -1).sum() == 2
    assert world.facts["colored_faces"] == 1


@pytest.mark.parametrize("line", ["f 1 2 999", "f 1 2 x", "f 0 1 2", "v 1 2", "v 1 b 2"])
def test_broken_geometry_is_named(tmp_path: Path, line: str) -> None:
    write_obj(tmp_path / "m.obj", None, material=None, with_uv=False)
    (tmp_path / "m.obj").write_text((tmp_path / "m.obj").read_text() + line + "\n")
    with pytest.raises(TransposeError, match=r"m\.obj cannot be read"):
        read_mesh(tmp_path / "m.obj")


def deep(kind: str) -> bytes:
    """The picture, or its grey values, at more or other depth."""
    grey = np.asarray(picture().convert("L"), np.uint16) * 257
    image = {
        "grey 16": lambda: Image.fromarray(grey),
        "float": lambda: Image.fromarray(grey.astype(np.float32) / 65535),
        "palette": lambda: picture().quantize(8),
        "alpha": lambda: picture().convert("RGBA"),
        "cmyk": lambda: picture().convert("CMYK"),
    }[kind]()
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if kind in ("grey 16", "palette", "alpha") else "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["grey 16", "float", "palette", "alpha", "cmyk"])
def test_pictures_of_other_depths(tmp_path: Path, kind: str) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd tex.png\n")
    (tmp_path / "tex.png").write_bytes(deep(kind))
    if kind in ("grey 16", "float"):
        seen = seen_from_above(read_mesh(path)).astype(int)
        wanted = [82, 130, 52, 201]
        assert np.abs(seen - np.array(wanted)[:, None]).max() < 6, seen
    else:
        assert_quarters(read_mesh(path))


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    path = scan(tmp_path, "newmtl mat\nmap_Kd tex.png\n")
    (tmp_path / "tex.png").write_bytes(picture_bytes()[:100])
    with pytest.raises(TransposeError, match=r"tex\.png cannot be read"):
        read_mesh(path)


def test_options_of_other_programs_and_formats_that_are_not_read(tmp_path):
    write_obj(tmp_path / "a.obj")
    (tmp_path / "m.mtl").write_text("newmtl mat\nmap_Kd -colorspace sRGB -blendu on t.png\n")
    picture().save(tmp_path / "t.png")
    assert_quarters(read_mesh(tmp_path / "a.obj"))
    (tmp_path / "t.png").write_bytes(b"\x76\x2f\x31\x01" + bytes(100))
    with pytest.raises(TransposeError, match="OpenEXR image, which is not read here; convert it"):
        read_mesh(tmp_path / "a.obj")


def test_a_frame_that_is_not_read_is_told(tmp_path, caplog):
    write_obj(tmp_path / "a.obj", None, material=None, with_uv=False)
    (tmp_path / "a.rcInfo").write_text("<ModelExport/>")
    read_mesh(tmp_path / "a.obj")
    assert "a.rcInfo, which says where the mesh is on the map, is not read" in caplog.text
