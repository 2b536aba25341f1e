"""The files of a frame: one reader and one writer for each format, with errors that name the file.

Formats are DSAC*'s and CrossLoc's: `rgb` PNG or JPEG, `poses` 4x4 camera-to-world text, `calibration` one focal length
or a 3x3 matrix, `depth` 16-bit PNG in millimetres or `.npz` in metres, `init` and `normal` a (3, rows, columns) tensor,
`semantics` a (height, width) array.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TypeVar

import cv2
import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, homogeneous, project_to_rotation, rigid_defect
from transpose.scenes.decoding import decoded
from transpose.scenes.image_files import header_of, read_header
from transpose.storage import read_text, refuse_pointer, replacing_file, save_tensors
from transpose.untrusted.arrays import load_array, load_arrays
from transpose.untrusted.images import too_many_pixels
from transpose.untrusted.tensors import load_tensors

PNG_DEPTH_LIMIT_M = 60.0
_FINEST_M = 1e-3  # of coordinates
_INVALID_PNG_DEPTH = (0, 65535)
_BETWEEN_NUMBERS = str.maketrans(dict.fromkeys(",;[]", " "))
_WINDOWS_NAN = re.compile(r"[-+]?1\.#(INF|IND|QNAN|SNAN)\d*", re.IGNORECASE)
_NOT_FINITE = re.compile(r"nan|inf|#ind", re.IGNORECASE)
T = TypeVar("T")
_FASTEST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
# Depth changes least from row to row; the filter that says so saves a quarter of the time where OpenCV lets one choose.
_DEPTH_PNG = [*_FASTEST_PNG]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _DEPTH_PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
_FULL_COLOR = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def read_image(path: Path, upright: bool = True) -> np.ndarray:
    """An RGB image, (height, width, 3) uint8 in sRGB, turned upright by its EXIF orientation, or as it is stored.

    Raises:
        TransposeError: it is missing, truncated, or no image that can be read; the message says what it is instead.
    """
    return decoded(path, _bytes(path), upright)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image after its EXIF orientation, from the header alone."""
    return read_header(path).upright_size


def stored_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image as its pixels are stored, whatever EXIF says of up."""
    header = read_header(path)
    return header.width, header.height


def is_turned(path: Path) -> bool:
    """Whether an image's EXIF orientation moves its pixels from where they are stored."""
    return read_header(path).orientation != 1


def write_image(path: Path, rgb_hw3: np.ndarray, jpeg_quality: int | None = None) -> None:
    """Writes an RGB image as PNG, or as JPEG with the given quality and colour at full resolution."""
    options = _FASTEST_PNG if jpeg_quality is None else [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality, *_FULL_COLOR]
    _encode(path, ".png" if jpeg_quality is None else ".jpg", rgb_hw3[:, :, ::-1], options)


def read_pose(path: Path) -> Pose:
    """A 4x4 camera-to-world pose, or 3x4. The rotation is projected onto SO(3) after a check that it nearly is one."""
    values = read_numbers(path)
    if not np.isfinite(values).all():
        raise TransposeError(f"{path} holds NaN or infinite numbers")
    try:
        T_wc = homogeneous(values[0] if len(values) == 1 else values)
    except ValueError as error:
        raise TransposeError(f"{path}: {error}") from None
    if (defect := rigid_defect(T_wc)) is not None:
        raise TransposeError(f"{path} is not a rigid pose: {defect}")
    T_wc[:3, :3] = project_to_rotation(T_wc[:3, :3])
    return Pose(T_wc)


def read_numbers(path: Path) -> np.ndarray:
    """A table of numbers (rows, columns), float64; some may be NaN or infinite, in the words of Windows too.

    Commas, semicolons and brackets may stand between them, as spreadsheets and NumPy write tables.

    Raises:
        TransposeError: the file is missing or empty, or its rows are no numbers or of several lengths.
    """
    text = _WINDOWS_NAN.sub("nan", read_text(path, "replace")).translate(_BETWEEN_NUMBERS)
    try:
        rows = [[float(word) for word in row.split()] for row in text.splitlines() if row.strip()]
        values = np.atleast_2d(np.array(rows))
    except ValueError:
        raise TransposeError(f"{path} does not hold a table of numbers") from None
    if values.size == 0:
        raise TransposeError(f"{path} is empty")
    return values


def is_lost(path: Path) -> bool:
    """Whether a pose file says that its frame has no pose: by NaN or infinite numbers, as ScanNet and 12-Scenes do."""
    if not _NOT_FINITE.search(read_text(path, "replace")):  # which is quick
        return False
    return not np.isfinite(read_numbers(path)).all()


def write_pose(path: Path, pose: Pose) -> None:
    """Writes a pose with all its digits, in one step."""
    _write_numbers(path, pose.T_wc, "%.17g")


def read_camera(path: Path, width: int, height: int) -> Camera:
    """Intrinsics: one focal length in pixels (principal point in the middle) or a 3x3 matrix in continuous pixels.

    A fourth row `k1 k2 0` under the matrix is radial distortion.
    """
    values = read_numbers(path)
    if not np.isfinite(values).all():
        raise TransposeError(f"{path} holds NaN or infinite numbers")
    try:
        if values.size == 1:
            return Camera.from_focal(float(values.reshape(-1)[0]), width, height)
        if values.shape == (3, 3):
            return Camera.from_K(values, width, height)
        if values.shape == (4, 3):
            k1, k2, _ = values[3].tolist()
            return replace(Camera.from_K(values[:3], width, height), k1=k1, k2=k2)
    except ValueError as error:
        raise TransposeError(f"{path}: {error}") from None
    raise TransposeError(f"{path}: expected one focal length or a 3x3 matrix, found shape {values.shape}")


def write_camera(path: Path, camera: Camera) -> None:
    """Writes the focal length alone where that says it all (DSAC*'s format), else the 3x3 matrix (ACE's).

    Distortion has no place in either; where there is some, it is a fourth row of the matrix.
    """
    if camera.k1 or camera.k2:
        _write_numbers(path, np.vstack([camera.K_33, [camera.k1, camera.k2, 0.0]]), "%.10g")
        return
    plain = Camera.from_focal(camera.fx, camera.width, camera.height)
    _write_numbers(path, np.array([[camera.fx]]) if camera == plain else camera.K_33, "%.10g")


def read_depth(path: Path) -> np.ndarray:
    """Depth along z in metres, (height, width) float32; NaN where unknown."""
    if path.suffix.lower() == ".npz":
        depth_hw: np.ndarray = _load(path, lambda: load_arrays(path)["depth"].astype(np.float32))
        if depth_hw.ndim != 2:
            raise TransposeError(f"{path} has depth of shape {depth_hw.shape}, not (height, width)")
        return np.where(is_depth(depth_hw), depth_hw, np.float32(np.nan))
    data = _bytes(path)
    if header_of(data) is None:
        refuse_pointer(path)
    return depth_of_png(path, data)


def depth_of_png(path: PurePath, data: bytes) -> np.ndarray:
    """The same of the bytes of a 16-bit image in millimetres; `path` is for messages."""
    millimetres = _decoded_grey(path, data)
    if millimetres is None or millimetres.dtype != np.uint16 or millimetres.ndim != 2:
        raise TransposeError(f"{path} is not a 16-bit depth image (empty, truncated or another format)")
    depth_hw = millimetres.astype(np.float32) / 1000
    depth_hw[np.isin(millimetres, _INVALID_PNG_DEPTH)] = np.nan
    return depth_hw


def decoded_grey(path: Path) -> np.ndarray | None:
    """Numbers of an image as they are stored, such as depth; None where OpenCV decodes nothing.

    Raises:
        TransposeError: it is missing, or promises more pixels than it can have.
    """
    return _decoded_grey(path, _bytes(path))


def _decoded_grey(path: PurePath, data: bytes) -> np.ndarray | None:
    header = header_of(data)
    if header is not None and (harm := too_many_pixels(header.width, header.height, len(data))):
        raise TransposeError(f"{path} is {harm}")
    try:
        decoded_hw: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # of an empty file, or more pixels than it takes
        return None
    return decoded_hw


def is_depth(depth: np.ndarray) -> np.ndarray:
    """Which numbers are depths: positive and finite. Sensors and programs mark what they do not know by all others."""
    known: np.ndarray = (depth > 0) & (depth < np.inf)  # NaN is neither
    return known


def read_array(path: Path) -> np.ndarray:
    """Numbers (height, width) of an `.npy` file, float32."""
    array_hw = _load(path, lambda: load_array(path).astype(np.float32))
    if array_hw.ndim == 3 and 1 in (array_hw.shape[0], array_hw.shape[2]):
        array_hw = array_hw[0] if array_hw.shape[0] == 1 else array_hw[..., 0]
    if array_hw.ndim != 2:
        raise TransposeError(f"{path} has shape {array_hw.shape}, not (height, width)")
    return array_hw


def write_depth(path_without_suffix: Path, depth_hw: np.ndarray, as_png: bool) -> None:
    """Writes depth in metres (NaN unknown) as millimetres in a 16-bit PNG, or as float32 `.npz` of any range."""
    known = is_depth(depth_hw)
    if as_png:
        depth_hw = np.where(known, depth_hw, 0)
        if depth_hw.max(initial=0) >= PNG_DEPTH_LIMIT_M:
            raise ValueError(f"depth of {depth_hw.max():.1f} m does not go into a PNG; write .npz")
        millimetres = np.rint(depth_hw * 1000).astype(np.uint16)
        _encode(path_without_suffix.with_name(path_without_suffix.name + ".png"), ".png", millimetres, _DEPTH_PNG)
    else:
        with replacing_file(path_without_suffix.with_name(path_without_suffix.name + ".npz")) as temporary:
            with temporary.open("wb") as file:
                np.savez_compressed(file, depth=np.where(known, depth_hw, np.nan).astype(np.float32))


def read_map(path: Path) -> np.ndarray:
    """A label map saved by torch, such as `init` (3, rows, columns); float32, or float64 where it was written so;
    all-invalid cells as NaN.

    DSAC* marks an invalid cell by zeros, CrossLoc by -1; both become NaN here.
    """
    tensor = _load(path, lambda: load_tensors(path))
    if not isinstance(tensor, torch.Tensor):
        raise TransposeError(f"{path} holds {type(tensor).__name__}, not a tensor")
    map_chw = (tensor if tensor.dtype == torch.float64 else tensor.float()).detach().numpy().copy()
    if map_chw.ndim == 2:
        map_chw = map_chw[None]
    if map_chw.ndim != 3:
        raise TransposeError(f"{path} has shape {map_chw.shape}, not (channels, rows, columns)")
    map_chw[:, (map_chw == 0).all(0) | (map_chw == -1).all(0)] = np.nan
    return map_chw


def write_map(path: Path, map_chw: np.ndarray) -> None:
    """Writes a label map as a float32 tensor, or as float64 where float32 would round by millimetres, as coordinates of
    a map projection; cells that are not finite become zeros, DSAC*'s mark for invalid."""
    map_chw = np.where(np.isfinite(map_chw).all(0), map_chw, 0)
    coarse = np.spacing(np.float32(np.abs(map_chw).max(initial=0))) > _FINEST_M
    save_tensors(path, torch.from_numpy(map_chw.astype(np.float64 if coarse else np.float32)))


def read_semantics(path: Path) -> np.ndarray:
    """Class ids (height, width) uint8; -1 becomes 255."""
    ids_hw = _load(path, lambda: load_array(path).astype(np.int64).astype(np.uint8))
    ids_hw = ids_hw if ids_hw.ndim == 2 else np.squeeze(ids_hw)
    if ids_hw.ndim != 2:
        raise TransposeError(f"{path} has shape {ids_hw.shape}, not (height, width)")
    return ids_hw


def write_semantics(path: Path, classes_hw: np.ndarray) -> None:
    """Writes class ids as a uint8 array."""
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, classes_hw.astype(np.uint8))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except OSError as error:
        raise TransposeError(f"{path} cannot be read ({error.strerror})") from None


def _load(path: Path, load: Callable[[], T]) -> T:
    try:
        return load()
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except MemoryError:
        raise
    except Exception as error:  # NumPy and PyTorch raise what they like on files that are something else altogether
        refuse_pointer(path)
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise TransposeError(f"{path} cannot be read ({what})") from None


def _write_numbers(path: Path, values_rc: np.ndarray, format_: str) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text(
            "".join(" ".join(format_ % value for value in row) + "\n" for row in values_rc), encoding="utf-8"
        )


def _encode(path: Path, suffix: str, image: np.ndarray, options: list[int]) -> None:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise TransposeError(f"{path}: the image could not be encoded as {suffix}")
    with replacing_file(path) as temporary:
        temporary.write_bytes(data.tobytes())
