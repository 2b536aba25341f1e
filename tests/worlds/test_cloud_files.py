"""Point clouds as other programs write them: depth of colours, axes, units and maps."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.surveys import HOUSE_M, ORIGIN, SIZE_M, survey_points, write_las, write_ply
from transpose.errors import TransposeError
from transpose.geometry import Pose
from transpose.worlds.cloud import CloudOptions, build_cloud
from transpose.worlds.georeference import local_scale, metric_crs
from transpose.worlds.point_files import open_points
from transpose.worlds.registration import to_world_frame
from transpose.worlds.up_axes import UP_AXES, to_z_up
from transpose.worlds.world import World, WorldMetadata

pytest.importorskip("laspy", reason="the extra geo is not installed")
pyproj = pytest.importorskip("pyproj", reason="the extra geo is not installed")

XYZ, RGB, _ = survey_points(0.4)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_cloud(write_las(tmp_path_factory.mktemp("las") / "c.las", XYZ + ORIGIN, RGB * 257))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("transpose")]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_may_have_any_depth(tmp_path: Path, world: World, bits: int, caplog: pytest.LogCaptureFixture) -> None:
    stored = np.rint(RGB * (((1 << bits) - 1) / 255)).astype(np.uint16)
    built = build_cloud(write_las(tmp_path / "c.las", XYZ + ORIGIN, stored))
    assert np.abs(built.textures[0].astype(int) - world.textures[0]).max() <= 1
    assert len(warned(caplog)) == (bits not in (8, 16))
    assert not warned(caplog) or f"{bits}-bit" in warned(caplog)[0]


def test_shifted_colours_and_stray_bright_points(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    built = build_cloud(write_las(tmp_path / "s.las", XYZ + ORIGIN, RGB << 8))
    assert np.abs(built.textures[0].astype(int) - world.textures[0]).max() <= 2
    spoiled = RGB.copy()
    spoiled[7] = 60000
    built = build_cloud(write_las(tmp_path / "8.las", XYZ + ORIGIN, spoiled))
    assert np.abs(built.textures[0].astype(int) - world.textures[0]).mean() < 1
    assert "8-bit" in warned(caplog)[-1]


@pytest.mark.parametrize(("kind", "white"), [("f4", 1.0), ("f4", 255.0), ("f8", 255.0), ("u2", 4095), ("u2", 65535)])
def test_ply_colours_may_be_of_any_kind(tmp_path: Path, world: World, kind: str, white: float) -> None:
    colors = RGB * (white / 255)
    dtype = [(axis, "<f8") for axis in "xyz"] + [(name, "<" + kind) for name in ("red", "green", "blue")]
    rows = np.zeros(len(XYZ), dtype)
    for name, values in zip(rows.dtype.names or (), [*(XYZ + ORIGIN).T, *colors.T], strict=True):
        rows[name] = values
    names = {"f4": "float", "f8": "double", "u2": "ushort"}
    said = [f"property {names[kind] if i > 2 else 'double'} {name}" for i, name in enumerate(rows.dtype.names or ())]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *said, "end_header", ""]
    (tmp_path / "c.ply").write_bytes("\n".join(head).encode() + rows.tobytes())
    built = build_cloud(tmp_path / "c.ply")
    assert np.abs(built.vertex_rgb_v3.mean(0) - world.vertex_rgb_v3.mean(0)).max() < 6
    assert built.vertex_rgb_v3.max() > 240


def test_coarse_coordinates_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_map = XYZ + ORIGIN
    build_cloud(write_ply(tmp_path / "s.ply", in_map.astype(np.float32).astype(np.float64), RGB))
    assert "single precision" in caplog.text
    caplog.clear()
    build_cloud(write_ply(tmp_path / "d.ply", in_map, RGB))
    build_cloud(write_ply(tmp_path / "l.ply", XYZ.astype(np.float32).astype(np.float64), RGB))
    assert "single precision" not in caplog.text


def test_dark_points_of_eight_bits_stay_dark(tmp_path: Path) -> None:
    built = build_cloud(write_ply(tmp_path / "c.ply", XYZ, np.full_like(RGB, 9)))
    assert built.textures[0].max() == 9


def test_black_points_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_cloud(write_las(tmp_path / "c.las", XYZ + ORIGIN, np.where(XYZ[:, :1] < 4, 0, [[40000] * 3])))
    assert "20 % of the points are exactly black" in caplog.text


@pytest.mark.parametrize("up", UP_AXES)
def test_any_axis_may_point_up(tmp_path: Path, up: str) -> None:
    lying = XYZ @ to_z_up(up)  # the inverse of a rotation is its transpose, from the right
    built = build_cloud(write_ply(tmp_path / "c.ply", lying, RGB), CloudOptions(up=up))
    low, high = built.bounds
    assert (high - low)[:2] == pytest.approx([SIZE_M, SIZE_M], abs=0.9)
    assert (high + built.origin_3)[2] == pytest.approx(HOUSE_M, abs=0.1)
    assert built.facts["up"] == up
    assert np.linalg.det(to_z_up(up)) == pytest.approx(1)


def test_a_cloud_on_its_side_is_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lying = write_ply(tmp_path / "c.ply", XYZ @ to_z_up("y"), RGB)
    build_cloud(lying)
    assert "lies on its side if y is up (--up y)" in caplog.text
    caplog.clear()
    build_cloud(write_ply(tmp_path / "u.ply", XYZ, RGB))
    assert "z up are assumed: it is 2" in caplog.text
    assert "lies on its side" not in caplog.text
    with pytest.raises(TransposeError, match="z is up"):
        build_cloud(lying, CloudOptions(up="y", crs="EPSG:2056"))
    with pytest.raises(TransposeError, match="one of x, y"):
        CloudOptions(up="up")


def test_heights_in_feet_are_converted_as_the_file_says(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    feet = (XYZ + ORIGIN) * [1, 1, 3937 / 1200]
    built = build_cloud(write_las(tmp_path / "c.las", feet, RGB, crs="EPSG:2056+6360"))
    assert built.facts["crs"] == "EPSG:2056"
    for a, b in zip(built.bounds, world.bounds, strict=True):
        assert np.allclose(a + built.origin_3, b + world.origin_3, atol=2e-2)
    assert "converted to metres" in caplog.text


def _with_keys(path: Path, keys: dict[int, int], xyz: np.ndarray) -> Path:
    """A LAS 1.2 file that names its system by GeoTIFF keys."""
    import laspy
    from laspy.vlrs.known import GeoKeyDirectoryVlr

    header = laspy.LasHeader(point_format=3, version="1.2")
    header.offsets, header.scales = np.floor(xyz.min(0)), np.full(3, 0.001)
    numbers = [1, 1, 0, len(keys)] + [n for key, value in keys.items() for n in (key, 0, 1, value)]
    vlr = GeoKeyDirectoryVlr()
    vlr.parse_record_data(np.array(numbers, "<u2").tobytes())
    header.vlrs.append(vlr)
    las = laspy.LasData(header)
    las.x, las.y, las.z = xyz.T
    las.red, las.green, las.blue = RGB.T * 257
    las.write(path)
    return path


def test_geotiff_keys_of_units_count(tmp_path: Path, world: World) -> None:
    metres = {1024: 1, 3072: 2056}
    xyz = XYZ + ORIGIN
    assert build_cloud(_with_keys(tmp_path / "m.las", metres, xyz)).facts["crs"] == "EPSG:2056"
    feet = _with_keys(tmp_path / "f.las", {**metres, 4099: 9003}, xyz * [1, 1, 3937 / 1200])
    built = build_cloud(feet)
    assert (built.bounds[1] + built.origin_3)[2] == pytest.approx((world.bounds[1] + world.origin_3)[2], abs=0.02)
    with pytest.raises(TransposeError, match=r"another unit, US survey foot.*--crs"):
        build_cloud(_with_keys(tmp_path / "c.las", {**metres, 3076: 9003}, xyz))
    own = _with_keys(tmp_path / "u.las", {1024: 1, 2048: 4326, 3072: 32767}, xyz)
    with pytest.raises(TransposeError, match=r"user-defined.*--crs"):
        build_cloud(own)
    assert build_cloud(own, CloudOptions(crs="EPSG:2056")).facts["crs"] == "EPSG:2056"


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("EPSG:2263", r"US survey foot.*pdal translate .*in_srs=EPSG:2263 .*out_srs=EPSG:32618;.*EPSG:2263\+6360"),
        ("EPSG:2263+6360", r"US survey foot.*out_srs=EPSG:32618\+5703$"),
        ("EPSG:3857", r"metre is 0\.7\d\d m on the ground.*pdal translate .*out_srs=EPSG:32618$"),
        ("EPSG:4326", r"degrees.*out_srs=EPSG:32618$"),
        ("EPSG:5513", "point south and west"),
    ],
)
def test_clouds_in_other_maps_are_refused_with_the_command(tmp_path: Path, code: str, match: str) -> None:
    lon, lat = (15.0, 50.0) if code == "EPSG:5513" else (-74.0, 40.7)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", code, always_xy=True).transform(lon, lat)
    degrees = code == "EPSG:4326"
    xyz = XYZ * ([1e-5, 1e-5, 1] if degrees else 1) + [x, y, 30]
    path = write_las(tmp_path / "c.las", xyz, RGB, crs=code, scale=1e-7 if degrees else 1e-3)
    with pytest.raises(TransposeError, match=match):
        build_cloud(path)


def test_coordinates_outside_their_map_are_refused(tmp_path: Path) -> None:
    swapped = write_las(tmp_path / "s.las", (XYZ + ORIGIN)[:, [1, 0, 2]], RGB)
    with pytest.raises(TransposeError, match=r"outside the area of that system.*x and y in their order"):
        build_cloud(swapped)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("c.xyz", "pdal translate -r readers.text .*c.xyz .*c.laz"),
        ("c.e57", "pdal translate .*c.e57 .*c.laz, or .*CloudCompare"),
        ("c.pcd", "pdal translate .*c.pcd .*c.laz"),
        ("ept.json", "readers.ept"),
        ("c.glb", "build mesh"),
        ("c.tif", "build terrain"),
        ("c.bin", "formats: .las"),
    ],
)
def test_other_formats_are_refused_with_what_to_do(tmp_path: Path, name: str, match: str) -> None:
    (tmp_path / name).write_bytes(b"0")
    with pytest.raises(TransposeError, match=match):
        open_points(tmp_path / name)


def test_the_scale_of_a_map_is_measured_on_the_ground() -> None:
    for code, lat, expected in (("EPSG:32632", 46.0, 1 / 0.9996), ("EPSG:3857", 60.0, 0.5), ("EPSG:3395", 60.0, 0.5)):
        crs = pyproj.CRS(code)
        place = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(9.0, lat)
        assert local_scale(crs, np.array(place)) == pytest.approx([expected] * 2, rel=5e-3 if expected == 0.5 else 1e-5)


@given(st.floats(-80, 80), st.floats(-179, 179))
def test_mercator_grows_with_the_latitude(latitude: float, longitude: float) -> None:
    ellipsoid, sphere = pyproj.CRS("EPSG:3395"), pyproj.CRS("EPSG:3857")
    for crs in (ellipsoid, sphere):
        place = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
        most, least = local_scale(crs, np.array(place))
        assert most == pytest.approx(np.cos(np.radians(latitude)), rel=8e-3)
        assert most == pytest.approx(least, rel=1e-4 if crs is ellipsoid else 8e-3)


def test_national_grids_are_taken() -> None:
    for code, lon, lat in (
        ("EPSG:2154", -4.5, 48.4), ("EPSG:2154", 7.5, 43.7), ("EPSG:27700", -6.0, 50.1), ("EPSG:28992", 5.1, 52.1),
        ("EPSG:31467", 9.0, 50.0), ("EPSG:3006", 23.9, 66.0), ("EPSG:2180", 14.2, 53.0), ("EPSG:5514", 13.0, 50.0),
        ("EPSG:2193", 168.0, -46.5), ("EPSG:6677", 139.7, 35.7), ("EPSG:3031", 0.0, -71.0), ("EPSG:25833", 15.0, 69.0),
    ):  # fmt: skip
        place = pyproj.Transformer.from_crs("EPSG:4326", code, always_xy=True).transform(lon, lat)
        bounds = np.column_stack([np.array([place, place]), [0.0, 9.0]])
        assert metric_crs(code, Path("c.laz"), bounds) == code


def test_poses_in_a_map_whose_metre_is_none_are_refused(world: World) -> None:
    x, y = pyproj.Transformer.from_crs("EPSG:2056", "EPSG:3857", always_xy=True).transform(*ORIGIN[:2])
    T_wc = np.eye(4)
    T_wc[:3, 3] = x, y, 1420
    metadata = WorldMetadata("w", world.bounds, world.origin_3, world.facts)
    with pytest.raises(TransposeError, match="EPSG:32632"):
        to_world_frame("EPSG:3857", [Pose(T_wc)], metadata, Path("poses.json"))


@pytest.mark.parametrize(("every", "lines"), [(7, 1), (1000, 0)])
def test_points_without_a_place_are_counted(
    tmp_path: Path, world: World, every: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As depth cameras write them where they saw nothing; a handful is not worth a line."""
    xyz_n3 = XYZ + ORIGIN
    xyz_n3[::every, 2] = np.nan
    built = build_cloud(write_ply(tmp_path / "nan.ply", xyz_n3, RGB), CloudOptions(crs="EPSG:2056"))
    np.testing.assert_allclose(built.bounds, world.bounds, atol=0.5)
    said = [line for line in warned(caplog) if "are left out" in line]
    assert len(said) == lines
    assert not said or f"{len(XYZ[::every])} of {len(XYZ)} points" in said[0]


@pytest.mark.parametrize(
    ("properties", "match"),
    [
        ("property float f_dc_0", "Gaussian splats"),
        ("property uint rgb", "packed into one number .*CloudCompare"),
        ("property list uchar uint view_indices", "view_indices; open it with CloudCompare"),
        ("property float nx", "has no colour .*colour it from photos"),
    ],
)
def test_vertices_of_other_kinds_are_refused_by_name(tmp_path: Path, properties: str, match: str) -> None:
    head = ["ply", "format ascii 1.0", "element vertex 1", *(f"property float {axis}" for axis in "xyz"), properties]
    (tmp_path / "c.ply").write_text("\n".join([*head, "end_header", "0 0 0 1 0"]) + "\n")
    with pytest.raises(TransposeError, match=match):
        open_points(tmp_path / "c.ply")


def test_names_of_properties_may_be_capitals(tmp_path: Path) -> None:
    names = ["X", "Y", "Z", "Red", "Green", "Blue"]
    head = ["ply", "format ascii 1.0", "element vertex 1", *(f"property float {name}" for name in names), "end_header"]
    (tmp_path / "c.ply").write_text("\n".join([*head, "1 2 3 0.5 0 1"]) + "\n")
    (points,) = open_points(tmp_path / "c.ply").chunks()
    assert points.xyz_n3.tolist() == [[1, 2, 3]]
    assert points.rgb_n3.tolist() == [[0.5, 0, 1]]


def test_points_on_a_grid_are_not_called_coarse(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grid = np.stack(np.meshgrid(np.arange(20) * 0.5, np.arange(20) * 0.5, [0.0]), -1).reshape(-1, 3)
    build_cloud(write_las(tmp_path / "c.las", grid + ORIGIN, np.full(grid.shape, 30000)))
    assert "single precision" not in caplog.text
