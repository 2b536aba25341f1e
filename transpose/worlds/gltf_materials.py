"""What glTF's materials look like without light: a picture or a colour, and which texture coordinates it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.gltf_files import GltfFile
from transpose.worlds.texture_files import KTX2_REMEDY, decoded

_SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"
_PLAIN_PICTURES = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
_REPEAT = 10497
_BASIS = "KHR_texture_basisu"
# Programs that are known to write linear 8-bit vertex colours, as glTF has it.
_LINEAR_WRITERS = re.compile(
    r"blender|gltf-?transform|gltfpack|gltfexporter|three|babylon|obj2gltf|unity", re.IGNORECASE
)
_TRIMESH_GREY = 0.4  # what trimesh writes under a texture whose material says no colour, and means nothing by


@dataclass(frozen=True)
class Appearance:
    """How the faces of a primitive look.

    Attributes:
        rgb_linear_3: the colour, linear, by which a picture or vertex colours are multiplied.
        is_said: whether the file says this colour, rather than leave it at white.
        picture_hw3: uint8 sRGB or None.
        texture_set: the number of the texture coordinates.
        uv_23: from these coordinates to the picture's, (2, 3).
        missing: which picture is not there, or None.
        repeats: whether the picture repeats beyond its borders, as worlds' textures do.
    """

    rgb_linear_3: np.ndarray
    is_said: bool = False
    picture_hw3: np.ndarray | None = None
    texture_set: int = 0
    uv_23: np.ndarray | None = None
    missing: str | None = None
    repeats: bool = True


def srgb_of_linear(rgb_n3: np.ndarray) -> np.ndarray:
    """Linear light from 0 to 1 as uint8 sRGB."""
    rgb_n3 = np.clip(rgb_n3, 0, 1)
    encoded = np.where(rgb_n3 <= 0.0031308, 12.92 * rgb_n3, 1.055 * rgb_n3 ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def linear_of_srgb(rgb_n3: np.ndarray) -> np.ndarray:
    """sRGB from 0 to 1 as linear light."""
    return np.where(rgb_n3 <= 0.04045, rgb_n3 / 12.92, ((rgb_n3 + 0.055) / 1.055) ** 2.4)


class GltfMaterials:
    """The materials of a file; pictures are read once.

    Attributes:
        notes: what was left out or guessed, for a warning.
    """

    def __init__(self, file: GltfFile) -> None:
        self._file = file
        self._generator = str(file.json["asset"].get("generator", ""))
        self._pictures: dict[tuple[int, bytes], np.ndarray | None] = {}
        self.notes: list[str] = []

    def note(self, words: str) -> None:
        """Takes a note, once."""
        if words not in self.notes:
            self.notes.append(words)

    def appearance(self, index: int | None) -> Appearance:
        """Of the material of a number, or of a primitive without material.

        Raises:
            TransposeError: its picture is of a format that is not read, or broken.
        """
        if index is None:
            return Appearance(np.ones(3))
        material = self._file.listed("materials")[index]
        plain = material.get("pbrMetallicRoughness", {})
        specular = material.get("extensions", {}).get(_SPECULAR_GLOSSINESS, {})
        rgb_3 = np.array(
            (plain.get("baseColorFactor") or specular.get("diffuseFactor") or [1, 1, 1, 1])[:3], np.float64
        )
        glow_3 = np.array(material.get("emissiveFactor", [0, 0, 0]), np.float64)
        info = plain.get("baseColorTexture") or specular.get("diffuseTexture")
        if not rgb_3.any() and "emissiveTexture" in material:  # black but for what it emits, as unlit scans are written
            info = None
        if info is None and (info := material.get("emissiveTexture")) is not None:
            rgb_3 = glow_3 if glow_3.any() else np.ones(3)
        elif info is None:
            rgb_3 = rgb_3 + glow_3
        elif "trimesh" in self._generator and np.allclose(rgb_3, _TRIMESH_GREY, atol=1e-3):
            rgb_3 = np.ones(3)
        is_said = bool(glow_3.any()) or "baseColorFactor" in plain or "diffuseFactor" in specular
        if info is None:
            return Appearance(rgb_3, is_said)
        return self._textured(material, info, rgb_3, is_said)

    def _textured(self, material: dict[str, Any], info: dict[str, Any], rgb_3: np.ndarray, is_said: bool) -> Appearance:
        moved = info.get("extensions", {}).get("KHR_texture_transform", {})
        texture_set = int(moved.get("texCoord", info.get("texCoord", 0)))
        image, name = self._image_of(info["index"])
        picture_hw3 = None if image is None else self._picture(image, rgb_3)
        if picture_hw3 is None:
            return Appearance(rgb_3, is_said, missing=name)
        if material.get("alphaMode", "OPAQUE") != "OPAQUE" and self._is_seen_through(image):
            self.note("transparent parts of its textures are drawn as if they were not")
        sampler = self._file.listed("textures")[info["index"]].get("sampler")
        wraps = {} if sampler is None else self._file.listed("samplers")[sampler]
        repeats = {wraps.get("wrapS", _REPEAT), wraps.get("wrapT", _REPEAT)} == {_REPEAT}
        return Appearance(np.ones(3), True, picture_hw3, texture_set, _uv_transform(moved), repeats=repeats)

    def _image_of(self, index: int) -> tuple[int | None, str]:
        """The image of a texture, and how to call it; None where the texture names none that is there."""
        texture = self._file.listed("textures")[index]
        extensions = texture.get("extensions", {})
        candidates = [texture.get("source"), *(extensions.get(name, {}).get("source") for name in _PLAIN_PICTURES)]
        named = [int(image) for image in candidates if image is not None]
        readable = [image for image in named if self._bytes(image) is not None]
        basis = extensions.get(_BASIS, {}).get("source")
        # A plain picture beside the Basis one is what programs fall back to that cannot read that.
        if plain := [image for image in readable if not self._is_ktx2(image)]:
            return plain[0], ""
        if readable or basis is not None:
            raise TransposeError(
                f"{self._file.path}: its textures are KTX2 pictures ({_BASIS}), which are not read; {KTX2_REMEDY}"
            )
        if unknown := next((name for name in extensions if name not in _PLAIN_PICTURES), None):
            raise TransposeError(
                f"{self._file.path}: its textures are of {unknown}, which is not read; use PNG or JPEG"
            )
        if not named:
            return None, f"the picture of texture {index}"
        return None, self._file.listed("images")[named[0]].get("uri", f"image {named[0]}")

    def _is_ktx2(self, image: int) -> bool:
        return (self._bytes(image) or b"")[:8] == b"\xabKTX 20\xbb"

    def _bytes(self, image: int) -> bytes | None:
        said = self._file.listed("images")[image]
        if "bufferView" in said:
            return self._file.view(said["bufferView"])[0]
        return self._file.resource(said["uri"]) if "uri" in said else None

    def _picture(self, image: int, rgb_3: np.ndarray) -> np.ndarray | None:
        """An image times a linear colour."""
        key = image, rgb_3.tobytes()
        if key not in self._pictures:
            data = self._bytes(image)
            said = self._file.listed("images")[image]
            uri = said.get("uri", "")
            name = f"{said.get('name') or (uri if not uri.startswith('data:') else '') or image} of {self._file.path}"
            self._pictures[key] = None if data is None else tinted(decoded(data, name), rgb_3)
        return self._pictures[key]

    def _is_seen_through(self, image: int | None) -> bool:
        """Whether an image has pixels that are rather transparent than not."""
        import io

        from PIL import Image

        with Image.open(io.BytesIO(self._bytes(image) or b"" if image is not None else b"")) as picture:
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                return False
            return bool((np.asarray(picture.convert("RGBA").getchannel("A")) < 128).mean() > 0.01)

    def vertex_colors(self, index: int) -> np.ndarray:
        """The linear colours (vertices, 3) of an accessor.

        glTF means linear light. Programs that write 8 bits mostly mean sRGB, whatever glTF says: in 8 linear bits, what
        is dark would lie in a few steps. So these are taken for sRGB unless the file names a writer known to do better.
        """
        said = self._file.listed("accessors")[index]
        values_n3 = np.asarray(self._file.values(index)[:, :3], np.float64)
        if said["componentType"] != 5126 and not said.get("normalized"):  # a mistake that some writers make
            values_n3 = values_n3 / (255.0 if said["componentType"] == 5121 else 65535.0)
        if said["componentType"] == 5126 and values_n3.max(initial=0) > 1.5:
            self.note("its vertex colours are real numbers over 1, taken for 0 to 255")
            return linear_of_srgb(np.clip(values_n3 / 255, 0, 1))
        if said["componentType"] != 5121 or _LINEAR_WRITERS.search(self._generator):
            return values_n3
        if "trimesh" not in self._generator and not np.isin(values_n3, (0.0, 1.0)).all():
            self.note("its 8-bit vertex colours are taken for sRGB, as most programs write them, not for linear light")
        return linear_of_srgb(values_n3)


def tinted(picture_hw3: np.ndarray, rgb_linear_3: np.ndarray) -> np.ndarray:
    """A picture whose light is multiplied by a linear colour."""
    if np.allclose(rgb_linear_3, 1, atol=1e-3):
        return picture_hw3
    level_256 = linear_of_srgb(np.arange(256) / 255)
    table_3 = [srgb_of_linear(level_256 * factor) for factor in rgb_linear_3]
    return np.stack([table_3[c][picture_hw3[..., c]] for c in range(3)], axis=-1)


def _uv_transform(moved: dict[str, Any]) -> np.ndarray:
    """The matrix (2, 3) of KHR_texture_transform: scaled, then turned counter-clockwise as seen, then moved."""
    (sx, sy), (ox, oy) = moved.get("scale", (1, 1)), moved.get("offset", (0, 0))
    c, s = np.cos(moved.get("rotation", 0.0)), np.sin(moved.get("rotation", 0.0))
    return np.array([[c * sx, s * sy, ox], [-s * sx, c * sy, oy]])
