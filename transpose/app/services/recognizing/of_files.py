"""Files by what their first bytes say, whatever their names do."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

from transpose.app.services.recognizing.kinds import NearMiss, Recognized, model_kind, photos_kind
from transpose.app.services.recognizing.rasters import HEADS as TIFF_HEADS
from transpose.app.services.recognizing.rasters import raster_with_its_partner
from transpose.scenes.image_kinds import is_image, what_it_is_instead
from transpose.storage import head_of

_MOST_JSON_BYTES = 1 << 28
_FILM_ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp")
_OBJ_WORDS = ("v", "f", "mtllib", "usemtl", "vt", "vn", "o", "g", "s")
MODEL_ENDINGS = (".obj", ".glb", ".gltf", ".ply", ".las", ".laz")


def file_kind(path: Path) -> Recognized | NearMiss | None:
    """What a file is."""
    head = head_of(path)
    if head.startswith(b"version https://git-lfs"):
        return NearMiss(f"{path} is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head.startswith(b"LASF"):
        return _named(path, model_kind("cloud", "a point cloud", "a LAS header", path), (".las", ".laz"))
    if head.startswith(b"glTF"):
        return _named(path, model_kind("mesh", "a mesh (GLB)", "a binary glTF header", path), (".glb",))
    if head.startswith((b"ply\n", b"ply\r")):
        return _ply(path, head)
    if head.startswith(TIFF_HEADS):
        return raster_with_its_partner(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _json(path)
    return _by_its_lines(path, head) or _picture_or_film(path, head)


def _named(path: Path, found: Recognized, endings: tuple[str, ...]) -> Recognized | NearMiss:
    """What was found, where the file is named as its readers ask for."""
    if path.suffix.lower() in endings:
        return found
    return NearMiss(f"{path} holds {found.what} by its content ({found.saw}); rename it to {path.stem}{endings[0]}")


def _archive(path: Path) -> Recognized | NearMiss:
    with contextlib.suppress(OSError, zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if "metadata" in names and any(name.startswith("rgbd/") for name in names):
            return photos_kind("record3d", "a recording of Record3D", "an archive with metadata and rgbd/", path)
        if any(name.endswith("data.pkl") for name in names):
            return _model_file(path)
    return NearMiss(f"{path} is an archive; unpack it and name the folder")


def _model_file(path: Path) -> Recognized | NearMiss:
    """A file of PyTorch."""
    if path.name == "model.pt":
        return Recognized("run", "a trained run", "its model.pt", "run", path.parent)
    return NearMiss(f"{path} is a file of PyTorch; a checkpoint of another program is taken by: transpose convert")


def _ply(path: Path, head: bytes) -> Recognized | NearMiss:
    lines = head.split(b"end_header")[0].decode("latin-1").splitlines()
    words = [line.split() for line in lines]
    count = {line[1]: line[2] for line in words if line[:1] == ["element"] and len(line) > 2}
    names = {line[-1] for line in words if line[:1] == ["property"]}
    if "f_dc_0" in names:
        return NearMiss(
            f"{path} holds Gaussian splats, no surface; name the mesh or point cloud that the same program exports, or "
            "the folder of the photos that they were made of"
        )
    if count.get("face", "0") not in ("0", "00"):
        found = model_kind("mesh", "a mesh (PLY)", f"a PLY header with {count['face']} faces", path)
    else:
        found = model_kind("cloud", "a point cloud (PLY)", f"a PLY header with {count.get('vertex')} points", path)
    return _named(path, found, (".ply",))


def _json(path: Path) -> Recognized | NearMiss | None:
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if "frames" in content:
        saw = f"{path.name} with frames"
        return photos_kind("nerfstudio", "a Nerfstudio or Instant-NGP project", saw, path)
    if "asset" in content and ("meshes" in content or "nodes" in content):
        return _named(path, model_kind("mesh", "a mesh (glTF)", "a glTF asset", path), (".gltf",))
    if "vertices" in content and "triangles" in content and path.name == "world.json":
        return Recognized("world", "a world", "world.json", "world", path.parent)
    return None


def _by_its_lines(path: Path, head: bytes) -> Recognized | NearMiss | None:
    """A mesh of lines of text, OBJ."""
    if b"\0" in head:
        return None
    lines = [line.split() for line in head.decode("latin-1").splitlines()[:-1] or head.decode("latin-1").splitlines()]
    said = [line[0] for line in lines if line and not line[0].startswith("#")]
    corners = sum(line[0] == "v" and 4 <= len(line) <= 8 for line in lines if line)
    if corners and all(word in _OBJ_WORDS or word.startswith(("map_", "l", "p")) for word in said):
        return _named(path, model_kind("mesh", "a mesh (OBJ)", "lines of vertices (v x y z)", path), (".obj",))
    return None


def _picture_or_film(path: Path, head: bytes) -> Recognized | NearMiss | None:
    instead = what_it_is_instead(head, path.suffix)
    if instead.startswith("a film") or (path.suffix.lower() in _FILM_ENDINGS and head):
        return photos_kind("video", "a video", "the header of a film", path)
    if instead:
        return NearMiss(f"{path} is {instead}")
    if is_image(path):
        return NearMiss(
            f"{path} is one picture; name a model of the place, or a folder of photos. A photo's place is told by: "
            "transpose localize RUN PHOTO"
        )
    return None
