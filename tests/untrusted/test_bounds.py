"""Files that promise more than they hold: refused before anything is made room for."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transpose import runs
from transpose.errors import TransposeError
from transpose.scenes import files
from transpose.scenes.image_files import read_header
from transpose.scenes.setup.archives import unpack
from transpose.untrusted.arrays import load_array, load_arrays
from transpose.untrusted.images import MOST_PIXELS, too_many_pixels
from transpose.untrusted.tensors import UnknownGlobalError, load_tensors
from transpose.worlds.mesh import read_mesh

pytestmark = pytest.mark.usefixtures("little_memory")


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (20000, 20000), (2**31 - 1, 2**31 - 1), (300_000, 60)])
def test_images_of_a_few_bytes(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(width, height))
    with pytest.raises(TransposeError, match=r"a\.png is .*pixels"):
        files.read_image(path)
    with pytest.raises(TransposeError, match=r"a\.png is .*pixels"):
        files.read_depth(path)


def test_textures_of_a_few_bytes(tmp_path: Path) -> None:
    (tmp_path / "t.png").write_bytes(png(60000, 60000))
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd t.png\n", encoding="utf-8")
    obj = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"
    (tmp_path / "a.obj").write_text(obj, encoding="utf-8")
    with pytest.raises(TransposeError, match=r"t\.png.* pixels"):
        read_mesh(tmp_path / "a.obj")


def test_which_sizes_a_header_may_say() -> None:
    assert not too_many_pixels(16384, 16384, 800_000)  # a texture of one colour
    assert not too_many_pixels(4000, 4000, 100)
    assert "most that are read" in too_many_pixels(1, MOST_PIXELS + 1, 1 << 30)
    assert "made to do harm" in too_many_pixels(8000, 8000, 100)


def test_metadata_of_four_gigabytes(tmp_path: Path) -> None:
    whole = png(4, 4, bytes(13 * 4))
    for kind in (b"eXIf", b"iCCP", b"IHDR", b"tEXt"):
        (tmp_path / "a.png").write_bytes(whole[:33] + struct.pack(">I", 0xFFFFFFF0) + kind + whole[33:])
        try:
            read_header(tmp_path / "a.png")
            files.read_image(tmp_path / "a.png")
        except TransposeError as error:
            assert "a.png" in str(error)


def test_a_colour_profile_that_unpacks_to_too_much_is_left(tmp_path: Path) -> None:
    bomb = b"x\0\0" + zlib.compress(bytes(1 << 26))
    whole = png(4, 4, bytes(13 * 4))
    chunk = struct.pack(">I", len(bomb)) + b"iCCP" + bomb + struct.pack(">I", zlib.crc32(b"iCCP" + bomb))
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    assert read_header(tmp_path / "a.png").profile is None


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 2147483647)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': [('a', '<f4', (100000, 100000))], 'fortran_order': False, 'shape': (1,)}",
    "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((",
    "__import__('os').system('true')",
]


@pytest.mark.parametrize("header", HEADERS)
def test_arrays_that_are_not_there(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.npy").write_bytes(npy(header, bytes(64)))
    with pytest.raises(ValueError):
        load_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", npy(header, bytes(64)))
    with pytest.raises(TransposeError, match=r"a\.npz cannot be read"):
        files.read_depth(tmp_path / "a.npz")


def test_arrays_as_they_were_written(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.eye(3)),
        "c": np.array("x"),
        "d": np.array(3),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = load_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    np.save(tmp_path / "a.npy", arrays["b"])
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), np.eye(3))
    assert load_array(tmp_path / "a.npy").flags.writeable


def test_a_zip_whose_members_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"x" * 1000)
    data = path.read_bytes()
    for said in (struct.pack("<I", 0xFFFFFFF0), struct.pack("<I", 1 << 28)):
        at = data.rfind(b"PK\x01\x02") + 24  # the size in the table at the end
        path.write_bytes(data[:at] + said + data[at + 4 :])
        with pytest.raises(TransposeError, match=r"a\.zip is broken .*promises"):
            unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_zip_whose_members_share_their_bytes(tmp_path: Path) -> None:
    """Fifield's bomb (WOOT 2019): many names for one kernel, each unpacked for itself."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 20))
        first = archive.infolist()[0]
        for n in range(200):
            other = zipfile.ZipInfo(f"{n}")
            other.header_offset, other.CRC, other.compress_type = first.header_offset, first.CRC, first.compress_type
            other.compress_size, other.file_size = first.compress_size, first.file_size
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(TransposeError, match=r"a\.zip is broken"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_a_zip_that_leads_outside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    before = sorted(tmp_path.rglob("*"))
    try:
        unpack(tmp_path / "a.zip", tmp_path / "in" / "out")
    except TransposeError as error:
        assert "names a file outside" in str(error)
    new = set(tmp_path.rglob("*")) - set(before)
    assert all(path.is_relative_to(tmp_path / "in") for path in new) and not Path("/evil").exists()


class TestTensors:
    def test_as_they_were_written(self, tmp_path: Path) -> None:
        content = {"a": torch.arange(4), "b": [torch.ones(2, 2, dtype=torch.bfloat16), 3, "x"], "c": {1.5: None}}
        content["d"] = content["a"][::2]
        content["e"] = torch.nn.Parameter(torch.ones(1))
        for old in (False, True):
            torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
            found = load_tensors(tmp_path / "a.pt")
            assert torch.equal(found["a"], content["a"]) and torch.equal(found["d"], content["d"])
            assert torch.equal(found["b"][0], content["b"][0]) and found["c"] == content["c"]

    @pytest.mark.parametrize("old", [False, True])
    def test_of_a_few_bytes_that_stand_for_terabytes(self, tmp_path: Path, old: bool) -> None:
        torch.save(torch.ones(1).expand(10**6, 10**6), tmp_path / "a.dat", _use_new_zipfile_serialization=not old)
        with pytest.raises(TransposeError, match=r"a\.dat cannot be read .*repeats"):
            files.read_map(tmp_path / "a.dat")

    @pytest.mark.parametrize("strange", [torch.ones(2).to_sparse(), torch.ones(2, device="meta")])
    def test_of_other_kinds(self, tmp_path: Path, strange: torch.Tensor) -> None:
        torch.save({"format": 2, "kind": strange}, tmp_path / "model.pt")
        with pytest.raises(TransposeError, match=r"model\.pt"):
            runs.load_model(tmp_path)

    def test_storages_that_are_not_there(self, tmp_path: Path) -> None:
        torch.save(torch.zeros(200, dtype=torch.uint8), tmp_path / "a.dat", _use_new_zipfile_serialization=False)
        data = (tmp_path / "a.dat").read_bytes()
        assert data.count(b"K\xc8") >= 1
        (tmp_path / "a.dat").write_bytes(data.replace(b"K\xc8", b"J\xff\xff\xff\x7f", 1))
        with pytest.raises(TransposeError, match=r"a\.dat cannot be read"):
            files.read_map(tmp_path / "a.dat")

    @pytest.mark.parametrize(
        "built",
        [
            b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.",
            b"ctorch\nTensor\n(J\xff\xff\xff\x7ftR.",
            b"cos\nsystem\n(S'true'\ntR.",
        ],
    )
    def test_what_a_pickle_may_build(self, tmp_path: Path, built: bytes) -> None:
        torch.save({}, tmp_path / "a.pt")
        with zipfile.ZipFile(tmp_path / "a.pt") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, b"\x80\x02" + built if name.endswith("data.pkl") else data)
        with pytest.raises(UnknownGlobalError):
            load_tensors(tmp_path / "a.pt")
        with pytest.raises(TransposeError, match=r"a\.pt cannot be read: it asks for .*nothing in a checkpoint is run"):
            runs.load_foreign(tmp_path / "a.pt")


def test_a_profile_of_pillow_reads_no_more_than_the_file_has(tmp_path: Path) -> None:
    """Boxes of JPEG 2000 that promise gigabytes."""
    start = struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A) + struct.pack(">I4s", 0xFFFFFFF0, b"jp2h") + bytes(20)
    (tmp_path / "a.jp2").write_bytes(start)
    with pytest.raises(TransposeError, match=r"a\.jp2"):
        read_header(tmp_path / "a.jp2")


def test_small_pictures_are_read_in_little_memory(tmp_path: Path) -> None:
    """The bound of these tests is no bound of what is right."""
    made = io.BytesIO()
    Image.new("RGB", (3000, 2000)).save(made, "PNG")
    (tmp_path / "a.png").write_bytes(made.getvalue())
    assert files.read_image(tmp_path / "a.png").shape == (2000, 3000, 3)
