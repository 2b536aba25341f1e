"""What a mesh file holds, read but not yet placed: parts of one appearance each, in the file's own axes and unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_COARSE = 0.02  # of a metre, mostly: an OBJ's or a double's digits show less


@dataclass(frozen=True)
class MeshPart:
    """Triangles of one appearance.

    Attributes:
        vertices_v3: float64, in the file's axes and unit.
        faces_f3: int64 vertex indices.
        rgb_v3: uint8 sRGB colours of the vertices, or of the material; None where the file gives none.
        uv_f32: texture coordinates of the faces' corners, (faces, 3, 2); (0, 0) is the picture's top left corner.
        picture_hw3: uint8 RGB, None where the part has no picture that could be read.
        missing: why a picture is missing that the file names, None where none is.
    """

    vertices_v3: np.ndarray
    faces_f3: np.ndarray
    rgb_v3: np.ndarray | None = None
    uv_f32: np.ndarray | None = None
    picture_hw3: np.ndarray | None = None
    missing: str | None = None

    @property
    def is_textured(self) -> bool:
        """Whether its faces show a picture."""
        return self.picture_hw3 is not None and self.uv_f32 is not None


@dataclass(frozen=True)
class MeshContent:
    """A file's parts and what the file, or its format, says of their frame.

    Attributes:
        parts: at least one triangle altogether, or the file is refused by whoever joins them.
        up: the axis that points up, x, y, z, -x, -y or -z.
        up_from: who says so, in words.
        unit_from: who says that its unit is the metre, in words.
        origin_3: where the file itself puts its (0, 0, 0), or None.
        notes: what was left out or guessed, a clause each, for one warning.
    """

    parts: list[MeshPart]
    up: str = "z"
    up_from: str = "assumed; else --up"
    unit_from: str = "assumed; else --unit"
    origin_3: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def too_coarse(vertices_v3: np.ndarray) -> str | None:
    """What to say of 32-bit vertices so far from 0 that a step between two numbers is seen; None where none is."""
    step = float(np.spacing(np.float32(np.abs(vertices_v3).max(initial=0))))
    if step <= _COARSE:
        return None
    return (
        f"so far from 0, its coordinates, 32-bit numbers, go in steps of {step:.2g}, which its shape is rounded to; "
        "export it in a local frame (--origin says where that is), or as OBJ"
    )


def only_used(vertices_v3: np.ndarray, faces_f3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vertices that faces use, the faces by their numbers, and which of all vertices they are."""
    used_v, faces_k = np.unique(faces_f3.reshape(-1), return_inverse=True)
    return vertices_v3[used_v], faces_k.reshape(-1, 3), used_v
