"""Whole files, small ones, for `readers.py`: written by the libraries that people write them with, or by hand."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

from fuzzing.sandbox import Files

SIZE = (16, 12)
POSE = "1 0 0 0.5\n0 1 0 -1e-3\n0 0 1 2\n0 0 0 1\n"
_RNG = np.random.default_rng(0)
PICTURE_HW3 = _RNG.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def encoded(kind: str, picture: np.ndarray = PICTURE_HW3, mode: str | None = None, **options: Any) -> bytes:
    """A picture as a file of Pillow's."""
    made, image = io.BytesIO(), Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(made, kind, **options)
    return made.getvalue()


def exif(orientation: int = 6) -> bytes:
    """What a phone writes: which way up, focal lengths, and a place."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "Apple"
    tags.get_ifd(0x8769).update(
        {0x920A: 4.2, 0xA405: 26, 0xA404: 1.5, 0xA002: 16, 0xA003: 12, 0xA20E: 100.0, 0xA210: 3}
    )
    tags.get_ifd(0x8825).update({1: "N", 2: (46.0, 31.0, 7.5), 3: "E", 4: (6.0, 34.0, 2.0), 5: 0, 6: 400.5})
    return tags.tobytes()


def profile() -> bytes:
    """A colour profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photos() -> list[Files]:
    """JPEG in the forms that cameras and programs write."""
    cmyk = encoded("JPEG", mode="CMYK")
    plain = encoded("JPEG", exif=exif())
    return [
        {"a.jpg": data}
        for data in (
            plain,
            plain[:-2],
            encoded("JPEG", mode="L", quality=30),
            encoded("JPEG", progressive=True, icc_profile=profile(), exif=exif(3)),
            cmyk,
        )
    ]


def pngs() -> list[Files]:
    """PNG of all depths."""
    deep = _RNG.integers(0, 65536, (12, 16), dtype=np.uint16)
    return [
        {"a.png": data}
        for data in (
            encoded("PNG", exif=exif(8)),
            encoded("PNG", mode="P"),
            encoded("PNG", mode="1"),
            encoded("PNG", mode="RGBA", icc_profile=profile()),
            encoded("PNG", deep),
        )
    ]


def tiffs() -> list[Files]:
    """TIFF, packed in several ways."""
    real = _RNG.random((12, 16)).astype(np.float32)
    return [
        {"a.tif": data}
        for data in (
            encoded("TIFF"),
            encoded("TIFF", compression="tiff_lzw"),
            encoded("TIFF", compression="tiff_deflate", tiffinfo={0x0112: 6}),
            encoded("TIFF", mode="L"),
            encoded("TIFF", mode="1", compression="group4"),
            encoded("TIFF", (real * 255).astype(np.uint8), compression="packbits"),
        )
    ]


def other_images() -> list[Files]:
    """The other formats of photos."""
    jp2 = cv2.imencode(".jp2", cv2.resize(PICTURE_HW3, (64, 64)))[1].tobytes()
    kinds = {
        "a.bmp": encoded("BMP"),
        "a.gif": encoded("GIF", mode="P"),
        "a.jp2": jp2,
        "b.bmp": encoded("BMP", mode="P"),
    }
    kinds |= {"a.webp": encoded("WEBP", exif=exif()), "b.webp": encoded("WEBP", lossless=True)}
    with suppress(KeyError, OSError):  # a Pillow without it
        kinds["a.avif"] = encoded("AVIF", speed=10)
    return [{name: data} for name, data in kinds.items()]


def npz(**arrays: np.ndarray) -> bytes:
    """An .npz."""
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An .npy."""
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def depth_png() -> bytes:
    """Millimetres."""
    return encoded("PNG", np.full((12, 16), 1500, np.uint16))


def pt(content: Any, legacy: bool = False) -> bytes:
    """A file of PyTorch's."""
    import torch

    made = io.BytesIO()
    torch.save(content, made, _use_new_zipfile_serialization=not legacy)
    return made.getvalue()


def archive(packing: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """A ZIP; `__` in a name is a slash, `_x` its last dot."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return made.getvalue()


def las_files(ending: str) -> list[Files]:
    """A few points in a map, of LAS 1.2 with GeoTIFF keys and LAS 1.4 with WKT."""
    import laspy
    import pyproj

    found = []
    for point_format, version in ((2, "1.2"), (7, "1.4")):
        header = laspy.LasHeader(point_format=point_format, version=version)
        header.offsets, header.scales = np.array([2570000.0, 1135000.0, 400.0]), np.full(3, 0.001)
        header.add_crs(pyproj.CRS.from_epsg(2056))
        las = laspy.LasData(header)
        las.x, las.y, las.z = 2570000 + np.arange(20.0), 1135000 + np.arange(20.0), 400 + np.arange(20.0) % 3
        for name in ("red", "green", "blue"):
            las[name] = np.arange(20) * 3000
        las.classification = np.full(20, 2)
        made = io.BytesIO()
        las.write(made, do_compress=ending == "laz")
        found.append({f"a.{ending}": made.getvalue()})
    return found


def geotiff(folder: Path, array: np.ndarray, **more: Any) -> bytes:
    """A GeoTIFF in Swiss coordinates."""
    import rasterio
    from rasterio.transform import from_origin

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "a.tif"
    said = {"crs": "EPSG:2056", "transform": from_origin(2570000, 1135020, 2, 2), **more}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(array),
        height=array.shape[1],
        width=array.shape[2],
        dtype=array.dtype,
        **said,
    ) as file:
        file.write(array)
    return path.read_bytes()


def h5_file(path: Path, groups: dict[str, dict[str, np.ndarray]], libver: str) -> bytes:
    """An HDF5 file of groups with arrays."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=libver) as file:
        for name, arrays in groups.items():
            group = file.create_group(name)
            for each, values in arrays.items():
                group.create_dataset(each, data=values)
    return path.read_bytes()
