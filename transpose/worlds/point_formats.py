"""What to do with files whose points are not read: of other formats, or of other kinds."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import quoted

SAVE_AGAIN = "; open it with CloudCompare or MeshLab, and save it as PLY or LAS again"


def way_in(path: Path, ending: str) -> str:
    """What to do with a file of another format."""
    out, typed = quoted(path.with_suffix(".laz")), quoted(path)
    if ending in (".obj", ".glb", ".gltf", ".stl", ".fbx", ".dae", ".off"):
        return f"a mesh is taken by: transpose build mesh {typed}"
    if ending in (".tif", ".tiff", ".vrt"):
        return f"a surface model is taken by: transpose build terrain {typed} --ortho PICTURE"
    if ending in (".xyz", ".txt", ".csv", ".asc", ".pts", ".ptx"):
        return (
            f'make LAS of it: pdal translate -r readers.text --readers.text.header="X Y Z Red Green Blue" {typed} '
            f"{out}, or save it as LAS or PLY with CloudCompare"
        )
    if path.name == "ept.json":
        return f"make LAZ of it: pdal translate -r readers.ept {typed} {out}"
    if ending in (".pcd", ".e57", ".rcp", ".rcs", ".fls", ".zfs"):
        return f"make LAS of it: pdal translate {typed} {out}, or save it as LAS or PLY with CloudCompare"
    return "formats: .las, .laz, .ply"


def without_color(names: list[str]) -> str:
    """Why vertices have no colour, by their properties, and what to do."""
    if "f_dc_0" in names:
        return (
            "holds Gaussian splats, no points on surfaces; take the point cloud or mesh that the same program exports, "
            "or the photos that they were made of: transpose setup colmap"
        )
    if "rgb" in names or "rgba" in names:
        return f"has its colours packed into one number (PCL){SAVE_AGAIN}"
    return f"has no colour (properties: {', '.join(names)}); colour it from photos, or export it with its colours"
