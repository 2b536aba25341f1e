"""The files that a mesh names: libraries of materials, pictures, buffers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from transpose.errors import TransposeError
from transpose.worlds.mtl_files import as_text, find_libraries, read_mtl
from transpose.worlds.texture_files import find_beside

_MOST_JSON_BYTES = 1 << 28
_HEAD_BYTES = 1 << 20  # of an OBJ, in which its libraries are named


def companions(mesh: Path) -> list[Path]:
    """What a mesh file consists of beside itself, of what is there, each file once.

    Args:
        mesh: an OBJ, whose libraries are looked for in its first megabyte, or a glTF; other kinds hold everything.
    """
    named = {".obj": _of_obj, ".gltf": _of_gltf}.get(mesh.suffix.lower())
    return [] if named is None else list(dict.fromkeys(named(mesh)))


def _of_obj(mesh: Path) -> Iterator[Path]:
    with mesh.open("rb") as file:
        lines = as_text(file.read(_HEAD_BYTES)).splitlines()
    words = [line.strip().replace("\t", " ").partition(" ") for line in lines if "mtllib" in line]
    for library in find_libraries(mesh, (name.strip() for key, _, name in words if key == "mtllib")).files:
        yield library
        with contextlib.suppress(TransposeError):
            for material in read_mtl(library).values():
                picture, _ = find_beside(mesh.parent, material.picture) if material.picture else (None, None)
                if picture is not None:
                    yield picture


def _of_gltf(mesh: Path) -> Iterator[Path]:
    if mesh.stat().st_size > _MOST_JSON_BYTES:
        return
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError):
        content = json.loads(mesh.read_bytes())
        for said in [*content.get("buffers", []), *content.get("images", [])]:
            uri = said.get("uri", "data:")
            found, _ = (None, None) if uri.startswith("data:") else find_beside(mesh.parent, uri)
            if found is not None:
                yield found
