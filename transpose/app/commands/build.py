"""`transpose build`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from transpose.app.services.building import VillageRequest, build_village_world, save_built


@dataclass(frozen=True)
class BuildRgbd:
    """Fuse the depth of a section into a coloured mesh."""

    section: tyro.conf.Positional[Path]
    """SCENE/SECTION with depth."""
    out: Path
    """The world's folder."""
    voxel: float = 0.008
    """Edge of a voxel in metres."""
    max_depth: float = 4.0
    """Depth beyond this many metres is not trusted."""
    every: int = 1
    """Take each n-th frame only."""
    correct_depth: bool = True
    """Take the sensor's errors out of its depth, as far as points tell them that the photos triangulate."""

    def run(self) -> None:
        """Builds the world."""
        from transpose.app.services.building import fused_world
        from transpose.worlds.fusion import FusionOptions

        options = FusionOptions(voxel_m=self.voxel, max_depth_m=self.max_depth, every=self.every)
        save_built(self.out, lambda: fused_world(self.section, options, self.correct_depth))


@dataclass(frozen=True)
class BuildCloud:
    """Make a surface of a coloured point cloud: LAS, LAZ or PLY, in a metric map projection or none."""

    file: tyro.conf.Positional[Path]
    """The cloud."""
    out: Path
    """The world's folder."""
    surface: Literal["height", "ball"] = "height"
    """height: what is seen from above, gaps closed; ball: a mesh through the points, with walls and holes."""
    cell: float | None = None
    """Metres between the heights and colours of the surface; the spacing of the points by default."""
    gap: float | None = None
    """height: holes up to this many metres wide are closed; 16 spacings by default."""
    tolerance: float | None = None
    """height: flat parts may leave the points by this many metres to save triangles; half a spacing by default."""
    outlier_ratio: float = 3.0
    """Points farther from their neighbours than the mean plus this many standard deviations are left out; `inf` keeps
    all."""
    crs: str | None = None
    """Coordinate reference system of a file that does not name its own, such as EPSG:2056."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Which axis of a file without such a system points up; the world gets it as z. By default z."""

    def run(self) -> None:
        """Builds the world."""
        from transpose.app.console import progress
        from transpose.worlds.cloud import CloudOptions, build_cloud

        options = CloudOptions(
            self.cell,
            self.gap,
            self.tolerance,
            self.surface,
            outlier_ratio=self.outlier_ratio,
            crs=self.crs,
            up=self.up,
        )
        save_built(self.out, lambda: build_cloud(self.file, options, progress=progress))


@dataclass(frozen=True)
class BuildTerrain:
    """Drape orthophotos over a surface model: GeoTIFF tiles in a metric map projection."""

    dsm: tyro.conf.Positional[tuple[Path, ...]]
    """Tiles of heights."""
    ortho: tuple[Path, ...]
    """Tiles of colours; resolution and projection may be others than those of the heights."""
    out: Path
    """The world's folder."""
    las: tuple[Path, ...] = ()
    """Classified points, LAS or LAZ in the projection of the heights, for semantics."""
    cell: float | None = None
    """Metres between heights; those of the finest tile by default."""
    pixel: float | None = None
    """Metres per pixel of the texture; those of the finest orthophoto by default, if that fits into memory."""
    tolerance: float | None = None
    """Triangles may leave the heights by this many metres; a tenth of a cell by default."""
    detail_area: tuple[float, float, float, float] | None = None
    """West, south, east and north, in the projection, of where cameras will be; detail falls off with the distance."""
    max_triangles: int = 8_000_000
    """Tolerance grows until there are no more than these."""
    bands: tuple[int, int, int] | None = None
    """Bands of the orthophotos that are red, green and blue, counted from 1; by default as the files say."""
    color_range: tuple[float, float] | None = None
    """Numbers of the orthophotos that are black and white, where they are no 8-bit ones and do not tell."""

    def run(self) -> None:
        """Builds the world."""
        from transpose.worlds.terrain import TerrainOptions, build_terrain

        options = TerrainOptions(
            self.cell,
            self.pixel,
            self.tolerance,
            self.detail_area,
            self.max_triangles,
            self.bands,
            self.color_range,
        )
        save_built(self.out, lambda: build_terrain(self.dsm, self.ortho, self.las, options))


@dataclass(frozen=True)
class BuildMesh:
    """Take a textured or coloured mesh as it is: OBJ, GLB/glTF or PLY, or an OpenDroneMap project's."""

    file: tyro.conf.Positional[Path]
    """The mesh, or the folder of an OpenDroneMap project."""
    out: Path
    """The world's folder."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Which axis of the file points up; the world gets it as z. By default y in GLB and glTF, as the format prescribes,
    and z in others."""
    unit: Annotated[str | None, tyro.conf.arg(aliases=["--scale"])] = None
    """The file's unit: mm, cm, m, km, in, ft, us-ft, yd, or metres per unit as a number; the metre by default."""
    crs: str | None = None
    """The map that the mesh is in, once the origin is added, such as EPSG:32615."""
    origin: tuple[float, float, float] | None = None
    """Where the file's 0 0 0 is on the map: metres east, north and up. By default what the program that wrote the mesh
    left beside it says (OpenDroneMap, ContextCapture, DJI Terra, Metashape, Pix4D)."""
    as_wound: bool = False
    """The front of each triangle is where the file has it, also where most of the surface faces down, as of ceilings
    alone; else all are turned then."""
    texture_megapixels: float = 256.0
    """Textures that have more altogether are shrunk; each process that renders takes 7 MB for a megapixel."""

    def run(self) -> None:
        """Builds the world."""
        from transpose.worlds.mesh import read_mesh
        from transpose.worlds.mesh_frames import MeshFrame, unit_in_metres
        from transpose.worlds.odm import is_odm_project, read_odm

        unit_m = None if self.unit is None else unit_in_metres(self.unit)
        frame = MeshFrame(self.up, unit_m, self.origin, self.crs, self.as_wound)
        read = read_odm if is_odm_project(self.file) else read_mesh
        save_built(self.out, lambda: read(self.file, frame, 1e6 * self.texture_megapixels))


@dataclass(frozen=True)
class BuildOdm:
    """Take the textured mesh of an OpenDroneMap (WebODM) project, in the project's map."""

    project: tyro.conf.Positional[Path]
    """The project's folder, the one with odm_texturing, or what WebODM's all.zip unpacks to."""
    out: Path
    """The world's folder."""
    texture_megapixels: float = 256.0
    """Textures that have more altogether are shrunk; each process that renders takes 7 MB for a megapixel."""

    def run(self) -> None:
        """Builds the world."""
        from transpose.worlds.odm import read_odm

        save_built(self.out, lambda: read_odm(self.project, max_texels=1e6 * self.texture_megapixels))


@dataclass(frozen=True)
class BuildVillage(VillageRequest):
    """Make a procedural village, the world of the demo."""

    def run(self) -> None:
        """Builds the world."""
        build_village_world(self)


@dataclass(frozen=True)
class Build:
    """Build a world, a 3D model to render from."""

    what: (
        Annotated[BuildRgbd, tyro.conf.subcommand("rgbd")]
        | Annotated[BuildCloud, tyro.conf.subcommand("cloud")]
        | Annotated[BuildTerrain, tyro.conf.subcommand("terrain")]
        | Annotated[BuildMesh, tyro.conf.subcommand("mesh")]
        | Annotated[BuildOdm, tyro.conf.subcommand("odm")]
        | Annotated[BuildVillage, tyro.conf.subcommand("village")]
    )

    def run(self) -> None:
        """Builds it."""
        self.what.run()
