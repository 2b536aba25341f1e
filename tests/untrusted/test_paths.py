"""Files that name others outside of their project, on a server or in a device: none of these is opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.scenes.files import write_image
from transpose.scenes.hloc.features import read_features
from transpose.scenes.hloc.matches import read_matches
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photo_files import existing, locate, plain_name, stem_of
from transpose.scenes.setup.photos import read_posed_photos
from transpose.scenes.video import video_facts
from transpose.untrusted.paths import below_project, is_file, is_folder
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_offsets import offset_beside
from transpose.worlds.rasters import opened
from transpose.worlds.texture_files import find_beside

PICTURE = np.full((4, 4, 3), 90, np.uint8)
OUTSIDE = [
    "../../secret.png",
    "x/../../../secret.png",
    "{root}/secret.png",
    "..\\..\\secret.png",
    "file://{root}/secret.png",
]
NEVER = [
    "/dev/zero",
    "/proc/self/environ",
    "a" * 5000,
    "a\0b",
    "",
    ".",
    "..",
    "../..",
    "http://127.0.0.1:9/a.png",
    "\udcff",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a file, with a picture two folders above it that it must not get."""
    folder = tmp_path / "project" / "mesh"
    folder.mkdir(parents=True)
    write_image(tmp_path / "secret.png", PICTURE)
    write_image(tmp_path / "project" / "textures" / "beside.png", PICTURE)
    return folder


@pytest.mark.parametrize("name", [*OUTSIDE[:3], *NEVER[:4], "", "../.."])
def test_names_that_are_not_followed(project: Path, name: str) -> None:
    path = below_project(project, name.format(root=project.parents[1]))
    assert path is None or not is_file(path)


def test_names_that_are_followed(project: Path) -> None:
    assert below_project(project, "a/b.png") == project / "a/b.png"
    assert is_file(below_project(project, "../textures/beside.png") or project)
    inside = str(project.parent / "textures" / "beside.png")
    assert below_project(project, inside) == Path(inside)
    assert below_project(project, f"{inside}/../../../secret.png") is None
    assert is_folder(project) and not is_folder(project / ("a" * 5000)) and not is_file(Path("a\0"))


@pytest.mark.parametrize("name", [*OUTSIDE, *NEVER])
def test_textures_outside(project: Path, name: str) -> None:
    name = name.format(root=project.parents[1])
    assert find_beside(project, name) == (None, None)
    (project / "a.mtl").write_text(f"newmtl m\nKd 1 0 0\nmap_Kd {name}\n", encoding="utf-8", errors="replace")
    obj = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"
    (project / "a.obj").write_text(obj, encoding="utf-8")
    try:
        assert not read_mesh(project / "a.obj").textures
    except TransposeError as error:
        assert "not there" in str(error)


@pytest.mark.parametrize("name", OUTSIDE)
def test_libraries_and_buffers_outside(project: Path, name: str) -> None:
    name = name.format(root=project.parents[1])
    content = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": name, "byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
    }
    (project / "a.gltf").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TransposeError, match="is not there"):
        read_mesh(project / "a.gltf")


@pytest.mark.parametrize("name", [*OUTSIDE, *NEVER[:4]])
def test_photos_outside(project: Path, name: str) -> None:
    name = name.format(root=project.parents[1])
    frame = {"file_path": name, "transform_matrix": np.eye(4).tolist(), "depth_file_path": name}
    content = {"w": 4, "h": 4, "fl_x": 4.0, "frames": [frame]}
    (project / "transforms.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TransposeError, match="photos of section train are missing"):
        setup_nerfstudio(project, project.parents[1] / "out")
    assert not (project.parents[1] / "out").exists()
    posed = {"camera": {"width": 4, "height": 4, "focal_px": 4}, "poses": {name: {"T_wc": np.eye(4).tolist()}}}
    (project / "poses.json").write_text(json.dumps(posed), encoding="utf-8")
    with pytest.raises(TransposeError, match="are missing"):
        existing(read_posed_photos(project)[1], "train")


def test_photos_that_are_named_from_the_root_of_the_project(project: Path) -> None:
    """Instant-NGP may write them so; and a folder that a person names is where its photos are."""
    write_image(project / "images" / "a.png", PICTURE)
    whole = str(project / "images" / "a.png")
    assert locate([whole], [project]) == {whole: Path(whole)}
    elsewhere = "/home/somebody/scan/images/a.png"
    assert locate([elsewhere], [project]) == {elsewhere: project / "images" / "a.png"}
    assert locate(["a.png"], [project / "images"]) == {"a.png": project / "images" / "a.png"}


def test_two_lost_photos_stay_two(project: Path) -> None:
    paths = locate(["../../a.png", "../../b.png", "/c.png"], [project])
    assert len(set(paths.values())) == 3 and all(path.parent == project for path in list(paths.values())[:2])


@pytest.mark.parametrize("name", [*OUTSIDE, "/etc/passwd", "../../../x.png"])
def test_names_of_frames_lead_nowhere(name: str) -> None:
    stem = stem_of(plain_name(name))
    assert "/" not in stem and not stem.startswith("..")


class TestRasters:
    @staticmethod
    def vrt(folder: Path, source: str, relative: int = 1, more: str = "") -> Path:
        text = '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
        text += f'{more}<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        text += "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        path = folder / "a.tif"
        path.write_text(text, encoding="utf-8")
        return path

    @pytest.mark.parametrize(
        "source", ["../../secret.png", "/etc/passwd", "/vsicurl/http://127.0.0.1:9/a.tif", "/vsizip/../../a.zip/a.tif"]
    )
    @pytest.mark.parametrize("relative", [0, 1])
    def test_outside(self, project: Path, source: str, relative: int) -> None:
        pytest.importorskip("rasterio")
        with pytest.raises(TransposeError, match="which is not in its project"):
            opened(self.vrt(project, source, relative))

    def test_a_mosaic_of_a_mosaic(self, project: Path) -> None:
        pytest.importorskip("rasterio")
        self.vrt(project, "../../secret.png").rename(project / "inner.vrt")
        with pytest.raises(TransposeError, match=r"inner\.vrt names \.\./\.\./secret\.png"):
            opened(self.vrt(project, "inner.vrt"))
        with pytest.raises(TransposeError, match="not followed"):
            opened(self.vrt(project, "a.tif"))

    def test_code_and_servers(self, project: Path) -> None:
        pytest.importorskip("rasterio")
        code = "<PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        with pytest.raises(TransposeError, match="computes its pixels"):
            opened(self.vrt(project, "b.tif", more=code))
        for text in ("<GDAL_WMS><Service/></GDAL_WMS>", '{"type": "Catalog"}', "<x>", "[]"):
            (project / "a.tif").write_text(text, encoding="utf-8")
            with pytest.raises(TransposeError, match="says where others are"):
                opened(project / "a.tif")

    def test_within_the_project(self, project: Path) -> None:
        pytest.importorskip("rasterio")
        with opened(self.vrt(project, "../textures/beside.png")) as source:
            assert source.read(1).shape == (4, 4)


class TestFeatures:
    def test_kept_in_other_files(self, project: Path) -> None:
        h5py = pytest.importorskip("h5py")
        (project.parents[1] / "raw").write_bytes(b"secret" * 100)
        with h5py.File(project / "a.h5", "w") as file:
            outer = [(str(project.parents[1] / "raw"), 0, 48)]
            file.create_group("a").create_dataset("keypoints", (3, 2), "f8", external=outer)
        with pytest.raises(TransposeError, match="kept in another file"):
            read_features(project / "a.h5")

    def test_links_to_other_files(self, project: Path) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(project.parents[1] / "secret.h5", "w") as file:
            file.create_dataset("a/b/matches0", data=np.zeros(3, np.int16))
        with h5py.File(project / "m.h5", "w") as file:
            file["a"] = h5py.ExternalLink(str(project.parents[1] / "secret.h5"), "/a")
        with pytest.raises(TransposeError, match="kept in another file"):
            read_matches(project / "m.h5", [("a", "b")])

    def test_sizes_without_bytes(self, project: Path) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(project / "a.h5", "w") as file:
            file.create_group("a").create_dataset("keypoints", (2**31, 2), "f8", chunks=(1024, 2))
        with pytest.raises(TransposeError, match="more than the file can hold"):
            read_features(project / "a.h5")


def test_xml_that_multiplies(project: Path) -> None:
    """A billion laughs, and a file of this machine as an entity."""
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(12))
    bomb = f'<!DOCTYPE m [<!ENTITY l0 "ha">{laughs}]><m><SRSOrigin>&l12;</SRSOrigin></m>'
    other = '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><m><SRSOrigin>&x;</SRSOrigin></m>'
    for text in (bomb, other, "<SRSOrigin>" * 20_000):
        (project / "metadata.xml").write_text(text, encoding="utf-8")
        with pytest.raises(TransposeError, match=r"metadata\.xml"):
            offset_beside(project / "a.obj")


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n", "<MPD/>"]
)
def test_films_that_are_lists_of_others(project: Path, text: str) -> None:
    """FFmpeg follows them, whatever their name, also to servers."""
    (project / "rgb.mp4").write_text(text, encoding="utf-8")
    with pytest.raises(TransposeError, match=r"rgb\.mp4 is not a video that can be read here \(a text"):
        video_facts(project / "rgb.mp4")
