from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from tests.conftest import looking_down
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_frames import MeshFrame
from transpose.worlds.renderer import Renderer

CORNERS = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)  # v upwards, as mesh files have it


def quarters() -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, :16], image[:16, 16:], image[16:, :16], image[16:, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return Image.fromarray(image)


def textured() -> trimesh.Trimesh:
    visual = trimesh.visual.TextureVisuals(UV, trimesh.visual.material.SimpleMaterial(image=quarters()))
    return trimesh.Trimesh(CORNERS, FACES, visual=visual, process=False)


@pytest.mark.parametrize("ending", ["obj", "glb"])
def test_textures_come_out_the_right_way_up(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"quad.{ending}"
    textured().export(path)
    world = read_mesh(path, MeshFrame(up="z"))
    # A camera above that looks down with north up sees the texture as it was drawn.
    view = Renderer(world).view(Camera.from_focal(64, 64, 64), looking_down(0, 0, 2, 0, -90)).rgb_hw3
    for (y, x), color in {(20, 20): (255, 0, 0), (20, 44): (0, 255, 0), (44, 20): (0, 0, 255)}.items():
        assert np.abs(view[y, x].astype(int) - color).max() < 12, (y, x, view[y, x])


def test_vertex_colours_axes_and_units(tmp_path: Path) -> None:
    colors = np.array([[255, 0, 0, 255]] * 4, np.uint8)
    trimesh.Trimesh(CORNERS[:, [0, 2, 1]], FACES, vertex_colors=colors, process=False).export(tmp_path / "m.ply")
    world = read_mesh(tmp_path / "m.ply", MeshFrame(up="y", unit_m=3.0))
    low, high = world.bounds
    assert np.allclose(low, [-3, -3, 0])
    assert np.allclose(high, [3, 3, 0])
    assert (world.vertex_rgb_v3 == [255, 0, 0]).all()


def test_a_georeferenced_mesh_keeps_its_digits(tmp_path: Path) -> None:
    far = np.array([2_600_000.0, 1_200_000.0, 500.0])
    lines = [f"v {x:.3f} {y:.3f} {z:.3f}" for x, y, z in CORNERS * 0.25 + far]
    (tmp_path / "m.obj").write_text("\n".join([*lines, "f 1 2 3", "f 1 3 4"]))
    world = read_mesh(tmp_path / "m.obj")
    assert np.allclose(world.origin_3, far)
    assert np.ptp(world.vertices_v3[:, 0]) == pytest.approx(0.5, abs=1e-3)


def panels(count: int, path: Path) -> None:
    """An OBJ with MTL whose square panels each have a texture of their own, 64 x 64."""
    lines, materials = [f"mtllib {path.stem}.mtl"], []
    for k in range(count):
        Image.fromarray(np.full((64, 64, 3), (5 * k, 99, 255 - 5 * k), np.uint8)).save(path.parent / f"{k}.PNG")
        materials += [f"newmtl m{k}", f"map_Kd {k}.PNG"]
        lines += [f"v {x + 2 * k} {y} {z}" for x, y, z in CORNERS] + [f"vt {u} {v}" for u, v in UV]
        lines += [f"usemtl m{k}"] + [
            f"f {' '.join(f'{4 * k + i + 1}/{4 * k + i + 1}' for i in face)}" for face in FACES
        ]
    path.with_suffix(".mtl").write_text("\n".join(materials))
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("ending", ["OBJ", "GLB", "PLY"])
def test_suffixes_in_capitals_are_read(tmp_path: Path, ending: str) -> None:
    mesh = textured() if ending != "PLY" else trimesh.Trimesh(CORNERS, FACES, process=False)
    mesh.export(tmp_path / f"m.{ending.lower()}")
    (tmp_path / f"m.{ending.lower()}").rename(tmp_path / f"m.{ending}")
    assert len(read_mesh(tmp_path / f"m.{ending}").faces_f3) == 2


def test_too_many_textures_are_shrunk_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    panels(20, tmp_path / "m.obj")
    whole = read_mesh(tmp_path / "m.obj", max_texels=20 * 64 * 64)
    assert not caplog.messages
    assert [t.shape for t in whole.textures] == [(64, 64, 3)] * 20
    world = read_mesh(tmp_path / "m.obj", max_texels=20 * 16 * 16)
    (said,) = caplog.messages
    assert "20 textures of up to 64 x 64 (0 megapixels) are shrunk to up to 16 x 16" in said
    assert [t.shape for t in world.textures] == [(16, 16, 3)] * 20
    camera, pose = Camera.from_focal(64, 640, 48), looking_down(19, 0, 5, 0, -90)
    views = [Renderer(each).view(camera, pose) for each in (whole, world)]
    assert views[0].seen_hw.sum() > 3000
    assert np.array_equal(views[0].rgb_hw3, views[1].rgb_hw3)  # each panel is of one colour


def test_a_texture_that_parts_share_is_kept_once(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for k in range(3):
        place = np.eye(4)
        place[0, 3] = 3 * k
        scene.add_geometry(textured(), geom_name="panel", node_name=f"panel {k}", transform=place)
    scene.export(tmp_path / "m.glb")
    world = read_mesh(tmp_path / "m.glb")
    assert len(world.faces_f3) == 6
    assert len(world.textures) == 1


def test_a_broken_texture_is_named(tmp_path: Path) -> None:
    panels(1, tmp_path / "m.obj")
    data = (tmp_path / "0.PNG").read_bytes()
    (tmp_path / "0.PNG").write_bytes(data[: len(data) // 2])
    with pytest.raises(TransposeError, match=r"0\.PNG cannot be read"):
        read_mesh(tmp_path / "m.obj")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.obj", "v 0 0 0\n", "no triangles|cannot be read"),
        ("m.ply", "ply\nbroken", "cannot be read"),
        ("m.glb", "", "cannot be read"),
        ("m.stl", "", "no mesh that can be read"),
    ],
)
def test_broken_meshes_are_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TransposeError, match=words):
        read_mesh(tmp_path / name)
    with pytest.raises(TransposeError, match="does not exist"):
        read_mesh(tmp_path / "nothing.obj")
