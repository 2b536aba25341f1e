"""Small surveyed worlds in real Swiss coordinates, written as the files that surveyors hand out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ORIGIN = np.array([2_570_000.0, 1_135_000.0, 1400.0])
SIZE_M = 20.0
HOUSE = (6.0, 12.0, 8.0, 13.0)  # x from, x to, y from, y to
HOUSE_M = 5.0


def on_house(xy_n2: np.ndarray) -> np.ndarray:
    return (xy_n2[:, 0] > HOUSE[0]) & (xy_n2[:, 0] < HOUSE[1]) & (xy_n2[:, 1] > HOUSE[2]) & (xy_n2[:, 1] < HOUSE[3])


def surface(xy_n2: np.ndarray) -> np.ndarray:
    """A tilted plane with a flat-roofed house on it, relative to `ORIGIN`."""
    ground = 0.1 * xy_n2[:, 0] - 0.05 * xy_n2[:, 1]
    return np.where(on_house(xy_n2), HOUSE_M, ground)


def colors(xy_n2: np.ndarray) -> np.ndarray:
    """Red grows eastwards, green northwards; roofs are blue. 8 bits."""
    rgb = np.stack([xy_n2[:, 0] / SIZE_M * 255, xy_n2[:, 1] / SIZE_M * 255, np.zeros(len(xy_n2))], axis=1)
    rgb[on_house(xy_n2)] = (0, 0, 255)
    return rgb.astype(np.uint16)


def survey_points(spacing_m: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 3) relative to `ORIGIN`, colours and ASPRS classes, in an order without any order."""
    rng = np.random.default_rng(seed)
    axis = np.arange(spacing_m / 2, SIZE_M, spacing_m)
    xy = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    xy += rng.uniform(-0.3, 0.3, xy.shape) * spacing_m
    xy = rng.permutation(xy)
    classes = np.where(on_house(xy), 6, np.where(xy[:, 0] > 15, 5, 2)).astype(np.uint8)
    return np.column_stack([xy, surface(xy)]), colors(xy), classes


def write_las(
    path: Path,
    xyz_n3: np.ndarray,
    rgb_n3: np.ndarray | None,
    class_n: np.ndarray | None = None,
    crs: str | None = "EPSG:2056",
    scale: float = 0.001,
) -> Path:
    """Coordinates as they are to be in the file."""
    import laspy
    import pyproj

    header = laspy.LasHeader(point_format=6 if rgb_n3 is None else 7, version="1.4")
    header.offsets, header.scales = np.floor(xyz_n3.min(0)), np.full(3, scale)
    if crs:
        header.add_crs(pyproj.CRS.from_user_input(crs))
    las = laspy.LasData(header)
    las.x, las.y, las.z = xyz_n3.T
    if rgb_n3 is not None:
        las.red, las.green, las.blue = rgb_n3.T
    if class_n is not None:
        las.classification = class_n
    las.write(path)
    return path


def write_ply(path: Path, xyz_n3: np.ndarray, rgb_n3: np.ndarray, kind: str = "binary_little_endian") -> Path:
    order = ">" if kind == "binary_big_endian" else "<"
    rows = np.zeros(len(xyz_n3), [(a, order + "f8") for a in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")])
    for axis, values in zip("xyz", xyz_n3.T, strict=True):
        rows[axis] = values
    for channel, values in zip(("red", "green", "blue"), rgb_n3.T, strict=True):
        rows[channel] = values
    names = [f"property double {a}" for a in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    header = "\n".join(["ply", f"format {kind} 1.0", f"element vertex {len(rows)}", *names, "end_header", ""])
    if kind == "ascii":
        body = "\n".join(" ".join(str(v) for v in row.tolist()) for row in rows).encode()
    else:
        body = rows.tobytes()
    path.write_bytes(header.encode() + body)
    return path


def grid_points(bounds: tuple[float, float, float, float], cell_m: float) -> tuple[np.ndarray, int, int]:
    """Middles (n, 2) of the cells of a raster within (west, south, east, north), row by row from the north."""
    west, south, east, north = bounds
    rows, columns = round((north - south) / cell_m), round((east - west) / cell_m)
    x = west + (np.arange(columns) + 0.5) * cell_m
    y = north - (np.arange(rows) + 0.5) * cell_m
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), rows, columns


def write_raster(
    path: Path,
    bands: np.ndarray,
    bounds: tuple[float, float, float, float],
    crs: str | None = "EPSG:2056",
    **more: float,
) -> Path:
    """A GeoTIFF of bands (k, rows, columns); `bounds` are relative to `ORIGIN`."""
    import rasterio
    from rasterio.transform import from_bounds

    count, rows, columns = bands.shape
    west, south, east, north = np.array(bounds) + ORIGIN[[0, 1, 0, 1]]
    profile = {
        "driver": "GTiff", "count": count, "height": rows, "width": columns, "dtype": bands.dtype.name, "crs": crs,
        "transform": from_bounds(west, south, east, north, columns, rows), **more,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
    return path


def write_dsm(path: Path, bounds: tuple[float, float, float, float], cell_m: float = 0.5, **more: float) -> Path:
    xy, rows, columns = grid_points(bounds, cell_m)
    height = (surface(xy) + ORIGIN[2]).astype(np.float32).reshape(1, rows, columns)
    return write_raster(path, height, bounds, **more)


def write_ortho(path: Path, bounds: tuple[float, float, float, float], pixel_m: float = 0.1, **more: float) -> Path:
    xy, rows, columns = grid_points(bounds, pixel_m)
    rgb = colors(xy).astype(np.uint8).reshape(rows, columns, 3)
    return write_raster(path, np.moveaxis(rgb, -1, 0), bounds, **more)
