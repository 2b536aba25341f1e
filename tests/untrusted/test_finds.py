"""What the fuzzer has found, each as small as it can be: a piece of a whole file, and what stands in its place."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
import torch

from tests.untrusted.test_readers import READERS, sandbox

HUGE, DEEP = b"9" * 5000, b"[" * 100_000
JSON, YAML = "camera files (YAML, JSON, COLMAP)", "camera files (YAML, JSON, COLMAP)"
ODM, NVM, ROOMS = "OpenDroneMap's photos", "Cambridge (NVM)", "12-Scenes (info, split)"
FINDS = [
    # Numbers that are none, or that no number type holds.
    ("mesh (OBJ, MTL)", "a.obj", b"-4/-4", b"-inf"),
    ("mesh (OBJ, MTL)", "a.obj", b"v 1 0 0\n", b"v 1e300 0 0\n"),
    ("mesh (OBJ, MTL)", "a.mtl", b"-s 2 2 1", b"-s - . 1"),
    ("mesh (GLB)", "a.glb", b"[1, 2, 3]", b"[1e999]  "),
    ("mesh (glTF)", "a.gltf", b"[1, 2, 3]", b"[1" + b"0" * 400 + b"]"),
    ("mesh (glTF)", "a.gltf", b"[1.0, 2.0, 0.0]", b"[1.0, 2.0, 0.0, 1.0]"),
    ("mesh (glTF)", "a.gltf", b'"count": 4', b'"count": -4'),
    (JSON, "a.json", b"640", b"0"),
    (JSON, "a.json", b"500", HUGE),
    (JSON, "a.json", b"500", b"1" + b"0" * 400),
    ("poses.json", "poses.json", b"0.5", b"1" + b"0" * 400),
    ("transforms.json", "transforms.json", b"20.0", b"1" + b"0" * 400),
    ("transforms.json", "transforms.json", b"20.0", HUGE),
    ("COLMAP (text)", "cameras.txt", b"640", b"1" + b"0" * 400),
    ("COLMAP (text)", "images.txt", b"2.5 7 3", b"2.5 -" + b"9" * 30 + b" 3"),
    ("COLMAP (binary)", "cameras.bin", struct.pack("<QQ", 640, 480), b"\xff" * 16),
    (ROOMS, "info.txt", b"500 0", b"500- 0"),
    (ROOMS, "info.txt", b"500 0", b"1.2.3 0"),
    (ROOMS, "info.txt", b"500 0", b"-500 0"),
    (ROOMS, "info.txt", b" 1.0\n", b"\n"),
    (ROOMS, "split.txt", b"357", HUGE),
    (NVM, "a.nvm", b"\n1\n0.5", b"\n4294967295\n0.5"),
    ("results of a test", "frames_scene_s.jsonl", b'"inliers": 9', b'"inliers": 2147483648'),
    ("results of a test", "frames_scene_s.jsonl", b'"inliers": 9', b'"inliers": 1e999'),
    # Brackets without end.
    (JSON, "a.json", b"640", DEEP),
    (YAML, "a.yaml", b"[0.1, 0, 0, 0]", b"[" * 5000 + b"]" * 5000),
    ("mesh (glTF)", "a.gltf", b'"scene": 0', b'"scene": ' + DEEP),
    ("scene.json, section.json", "scene.json", b"true", DEEP),
    # Things of another kind.
    ("scene.json, section.json", "scene.json", b'{"frames": 1, "depth": "npz_m", "rendered_from": "w"}', b'["frames"]'),
    ("scene.json, section.json", "scene.json", b'"w"', b'"\\udcff"'),
    ("transforms.json", "transforms.json", b'["images/a.png"]', b"[7]"),
    ("transforms.json", "transforms.json", b'["images/a.png"]', b"7"),
    (ODM, "cameras.json", b'{"c"', b'["c", {"c"'),
    (ODM, "reconstruction.json", b'"shots": {', b'"shots": 7, "x": {'),
    (ODM, "reconstruction.json", b'{"camera": "c"}', b"null"),
    (ODM, "shots.geojson", b'"features": [', b'"features": 7, "x": ['),
    ("world folder", "world.json", b'"facts": {', b'"facts": 7, "x": {'),
    ("world folder", "world.json", b'"textures": 1', b'"textures": "1"'),
    ("world folder", "world.json", b'"origin": [', b'"origin": [7, '),
    ("Stray Scanner's tables", "odometry.csv", b" 000001,", b" " + b"9" * 300 + b","),
    ("Stray Scanner's tables", "odometry.csv", b" 000001,", b" -1,"),
    # Headers of clouds.
    ("cloud (PLY)", "a.ply", b"element vertex 3", b"element vertex 0x3"),
    ("cloud (PLY)", "a.ply", b"property double y", b"property double x"),
    ("cloud (PLY)", "a.ply", b"property double y", b"property"),
    ("cloud (PLY)", "a.ply", b"format", b"format\nformat"),
]


def in_place(name: str, file: str, old: bytes, new: bytes, folder: Path) -> list[str]:
    """What comes of each whole file that holds the piece, after the exchange."""
    reader = READERS[name]
    outcomes = []
    for files in reader.seeds(folder / "seeds"):
        held = next((each for each in files if each.endswith(file) and old in files[each]), None)
        if held is not None:
            sandbox.write_case(folder / "case", {**files, held: files[held].replace(old, new)})
            outcomes.append(sandbox.outcome(reader, folder / "case"))
    return outcomes


@pytest.mark.parametrize(("name", "file", "old", "new"), FINDS)
def test_finds(name: str, file: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    outcomes = in_place(name, file, old, new, tmp_path)
    assert outcomes and set(outcomes) <= {"accepted", "refused"}


@pytest.mark.parametrize("ending", ["las", "laz"])
@pytest.mark.parametrize(
    ("at", "new"),
    [(100, b"\xff" * 4), (96, b"\xff" * 4), (107, b"\xff" * 4), (235, b"\xff" * 8 + b"\1\0\0\0"), (247, b"\xff" * 8)],
)
def test_las_headers_that_promise_too_much(tmp_path: Path, ending: str, at: int, new: bytes) -> None:
    reader = READERS[f"cloud ({ending.upper()})"]
    for files in reader.seeds(tmp_path):
        (name, data), *_ = files.items()
        if (at >= 235) != (data[25] >= 4) and at > 100:  # each version has its count of points in another place
            continue
        sandbox.write_case(tmp_path / "case", {name: data[:at] + new + data[at + len(new) :]})
        assert sandbox.outcome(reader, tmp_path / "case") == "refused"


def test_a_tensor_where_a_number_should_stand(tmp_path: Path) -> None:
    reader = READERS["run folder"]
    files = reader.seeds(tmp_path)[0]
    content = torch.load(io.BytesIO(files["model.pt"]), weights_only=True)
    for strange in (torch.zeros(0), torch.zeros(2, 2)):
        for unit in ({"metric": True, "extent": strange, "learned": 1.0}, {"metric": strange, "learned": strange}):
            made = io.BytesIO()
            torch.save({**content, "unit": unit}, made)
            sandbox.write_case(tmp_path / "case", {**files, "model.pt": made.getvalue()})
            assert sandbox.outcome(reader, tmp_path / "case") == "refused"


def test_films_whose_images_are_none(tmp_path: Path) -> None:
    reader, seeds = READERS["videos"], READERS["videos"].seeds(tmp_path / "seeds")
    for case in (157, 3, 4, 5):
        files = sandbox.broken_files(sandbox.case_stream(7, reader, case), reader, seeds)
        sandbox.write_case(tmp_path / "case", files)
        assert sandbox.outcome(reader, tmp_path / "case") in ("accepted", "refused")


def test_laz_whose_layers_are_larger_than_their_chunk(tmp_path: Path) -> None:
    reader = READERS["cloud (LAZ)"]
    data = next(files["a.laz"] for files in reader.seeds(tmp_path) if files["a.laz"][25] == 4)
    (points,), (row,) = struct.unpack_from("<I", data, 96), struct.unpack_from("<H", data, 105)
    at = points + 8 + row + 4
    for layer in range(9):
        here = at + 4 * layer
        broken = data[:here] + b"\xff\xff\xff\x7f" + data[here + 4 :]
        sandbox.write_case(tmp_path / "case", {"a.laz": broken})
        assert sandbox.outcome(reader, tmp_path / "case") == "refused"


def test_laz_whose_chunks_are_larger_than_the_file(tmp_path: Path) -> None:
    """lazrs makes room for a chunk before it reads one, and ends the process where it gets none."""
    reader = READERS["cloud (LAZ)"]
    for files in reader.seeds(tmp_path):
        data = files["a.laz"]
        (points,) = struct.unpack_from("<I", data, 96)
        (table,) = struct.unpack_from("<q", data, points)
        record = data.index(b"laszip encoded") + 52 - 2
        broken = {
            "chunks": data[: table + 4] + b"\xff\xff\xff\x7f" + data[table + 8 :],
            "table": data[:points] + struct.pack("<q", 2**40) + data[points + 8 :],
            "points of a chunk": data[: record + 12] + b"\x00\x00\x00\x70" + data[record + 16 :],
            "bytes of a chunk": data[: table + 8] + b"\xff" * (len(data) - table - 8),
        }
        for what, bytes_ in broken.items():
            sandbox.write_case(tmp_path / "case", {"a.laz": bytes_})
            assert sandbox.outcome(reader, tmp_path / "case") in ("accepted", "refused"), what
