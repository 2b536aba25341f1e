"""The line of facts and the picture by which a person checks a world."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.worlds.quarters import COLORS, picture, plane, vertex_colors, write_obj
from transpose.scenes import files
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_frames import MeshFrame
from transpose.worlds.summary import facts_line, preview
from transpose.worlds.world import World, load_world, save_world, vertex_colored_world


def world_of_quarters() -> World:
    return vertex_colored_world("plane", *plane(), vertex_colors())


def test_the_facts_of_a_mesh(tmp_path: Path) -> None:
    write_obj(tmp_path / "m.obj")
    (tmp_path / "m.mtl").write_text("newmtl mat\nmap_Kd tex.png\nnewmtl roof\nmap_Kd roof.png\n")
    picture().save(tmp_path / "tex.png")
    with (tmp_path / "m.obj").open("a") as file:
        file.write("usemtl roof\n" + "f 1/1 2/2 3/3\n" * 128)
    said = facts_line(read_mesh(tmp_path / "m.obj", MeshFrame(unit_m=0.3048, origin_3=(500.0, 600.0, 7.0))))
    for words in (
        "256 triangles",
        "extent 0.6096 x 0.6096 x 0 m",
        "unit is 0.3048 m, --unit",
        "up z of the file (assumed; else --up)",
        "1 texture (0.0041 megapixels, on 50 % of the faces), 1 missing (roof.png)",
        "50 % of the faces coloured",
        "no map, origin 500 600 7 from --origin",
    ):
        assert words in said, said
    assert "\n" not in said


def test_the_facts_of_other_worlds() -> None:
    world = world_of_quarters()
    assert "up z (by construction); no textures, vertex colours; 100 % of the faces coloured; no map" in facts_line(
        world
    )
    on_map = replace(world, origin_3=np.array([2.6e6, 1.2e6, 400.0]), facts={"crs": "EPSG:2056"})
    assert "up z (the map)" in facts_line(on_map)
    assert "map EPSG:2056, origin 2600000 1200000 400" in facts_line(on_map)
    compound = 'COMPOUNDCRS["WGS 84 / UTM zone 32N + EGM96 height",PROJCRS["WGS 84 / UTM zone 32N"]]'
    assert "map WGS 84 / UTM zone 32N + EGM96 height" in facts_line(replace(on_map, facts={"crs": compound}))
    held = replace(world, up_3=np.array([0.0, -0.8, 0.6]))
    assert "up (0.00, -0.80, 0.60) (as cameras were held)" in facts_line(held)


def test_the_preview_shows_the_world_from_above_and_from_the_south(tmp_path: Path) -> None:
    world = replace(world_of_quarters(), origin_3=np.array([2.6e6, 1.2e6, 400.0]))
    shown = preview(world)
    assert shown.shape == (480, 960, 3)
    above, slanted = shown[:, :480], shown[:, 480:]
    wanted = np.array([above[360, 120], above[360, 360], above[120, 120], above[120, 360]]).astype(int)
    assert np.abs(wanted - COLORS).max() <= 2
    # From the south, south is below and foreshortened.
    assert np.abs(slanted[300, 120].astype(int) - COLORS[0]).max() <= 2
    assert np.abs(slanted[180, 360].astype(int) - COLORS[3]).max() <= 2
    assert (slanted[60, 240] == shown[0, 0]).all()
    folder = save_world(world, tmp_path / "w", shown)
    assert np.array_equal(files.read_image(folder / "preview.png"), shown)
    assert load_world(folder).name == "plane"


def test_the_preview_of_a_world_whose_up_is_another_axis() -> None:
    vertices, faces = plane()
    world = vertex_colored_world("plane", vertices[:, [0, 2, 1]] * [1, 1, -1], faces, vertex_colors())
    above = preview(replace(world, up_3=np.array([0.0, 1.0, 0.0])))[:, :480]
    seen = np.array([above[360, 120], above[360, 360], above[120, 120], above[120, 360]]).astype(int)
    assert np.abs(seen - COLORS).max() <= 2
