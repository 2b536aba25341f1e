"""Renders a world by ray casting: one cast a view, every layer from its hits.

A ray caster finds the triangle that each pixel sees. Rays have z = 1 in the camera, so the distance along a ray is the
depth.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from transpose.geometry.cameras import CELL_STRIDE, Camera
from transpose.geometry.poses import Pose
from transpose.scenes.classes import UNKNOWN_CLASS
from transpose.worlds.ray_casting import RayHits, ray_caster
from transpose.worlds.textures import TextureSheets, color_levels, twice_texels
from transpose.worlds.view_rays import view_rays
from transpose.worlds.world import VERTEX_COLOR, World

_COARSE_POINTS = 1200
_MIN_COSINE = 0.1  # grazing surfaces are filtered as if seen at this angle, else they blur away
_SHADOW_OFFSET_M = 0.05


class Renderer:
    """Casts views of one world.

    Building takes a second per million triangles; a view of 640x480 pixels takes some tens of milliseconds. Several
    threads may cast at once, but take turns in Python: many views go in parallel by process. A `View` is for one
    thread.

    Args:
        world: to be seen.
        from_afar: see `ray_caster`.

    Raises:
        MissingPackageError: neither embreex nor Open3D is installed.
    """

    def __init__(self, world: World, from_afar: bool = False) -> None:
        self.world = world
        self._rays = ray_caster(world.vertices_v3, world.faces_f3, from_afar)
        self._textured = bool((world.face_texture_f != VERTEX_COLOR).any())
        self._vertex_colored = bool((world.face_texture_f == VERTEX_COLOR).any())

    def view(self, camera: Camera, pose: Pose) -> View:
        """What each pixel's centre sees, (height, width)."""
        return self._cast(camera, pose, stride=1)

    def cells(self, camera: Camera, pose: Pose) -> View:
        """What the cell points of a stride-8 map see, (rows, columns): labels are cast through exactly these points."""
        return self._cast(camera, pose, CELL_STRIDE)

    def glance(self, camera: Camera, pose: Pose) -> View:
        """A coarse view, of a thousand points or so: enough to judge whether a place is worth a view."""
        stride = max(1, round((camera.width * camera.height / _COARSE_POINTS) ** 0.5))
        return self._cast(camera, pose, stride)

    def _cast(self, camera: Camera, pose: Pose, stride: int) -> View:
        rays_hw3, ray_length_n = view_rays(camera, stride)
        origin_3 = (pose.center - self.world.origin_3).astype(np.float32)
        directions_n3 = rays_hw3.reshape(-1, 3) @ pose.R_wc.T.astype(np.float32)
        hits = self._rays.first_hits(np.broadcast_to(origin_3, directions_n3.shape), directions_n3)
        return View(self, camera, pose, rays_hw3.shape[:2], directions_n3, ray_length_n, hits)

    # Colours are prepared when the first view asks for them: whoever only looks at depth does not wait for them.

    @cached_property
    def _sheets(self) -> TextureSheets:
        return TextureSheets(self.world.textures)

    @cached_property
    def _twice_texels_f(self) -> np.ndarray:
        return twice_texels(self.world)

    @cached_property
    def _corner_rgb_lf9(self) -> list[np.ndarray]:
        # Corner colours stand side by side, so that a hit gathers one row instead of three.
        return [rgb_v3[self.world.faces_f3].reshape(-1, 9) for rgb_v3 in color_levels(self.world)]

    def surface_height(self, xy_n2: np.ndarray) -> np.ndarray:
        """Height (n,) of the topmost surface at places (n, 2), relative to the world's origin; NaN beside the world."""
        return self.surface_below(np.column_stack([xy_n2, np.full(len(xy_n2), self.world.bounds[1][2] + 1)]))

    def surface_below(self, points_n3: np.ndarray) -> np.ndarray:
        """Height (n,) of the first surface below points (n, 3), all relative to the world's origin; NaN of none."""
        down_n3 = np.broadcast_to(np.array([0, 0, -1], np.float32), points_n3.shape)
        hits = self._rays.first_hits(points_n3.astype(np.float32), down_n3)
        return np.where(hits.face_n >= 0, points_n3[:, 2] - hits.distance_n, np.nan)

    def is_lit(self, points_n3: np.ndarray, normal_n3: np.ndarray, direction_3: np.ndarray) -> np.ndarray:
        """Whether nothing stands between points (n, 3), relative to the world's origin, and a light far away.

        `normal_n3` are the surface's unit normals there: rays start a little off the surface that they leave.
        """
        starts_n3 = (points_n3 + normal_n3 * _SHADOW_OFFSET_M).astype(np.float32)
        rays_n3 = np.broadcast_to(np.asarray(direction_3, np.float32), starts_n3.shape)
        return ~self._rays.meets_anything(starts_n3, rays_n3)


class View:
    """The hits of one cast; each layer is computed when it is asked for. NaN (or sky) where nothing is seen."""

    def __init__(
        self,
        renderer: Renderer,
        camera: Camera,
        pose: Pose,
        shape: tuple[int, int],
        directions_n3: np.ndarray,
        ray_length_n: np.ndarray,
        hits: RayHits,
    ) -> None:
        self._renderer, self._camera, self._pose, self.shape = renderer, camera, pose, shape
        self._directions_n3, self._ray_length_n, self._hits = directions_n3, ray_length_n, hits
        self._face_n = hits.face_n
        self._hit_n = self._face_n >= 0
        self._all_hit = bool(self._hit_n.all())
        self._all_n = slice(None)

    @cached_property
    def seen_hw(self) -> np.ndarray:
        """Where the world is seen at all."""
        return self._hit_n.reshape(self.shape)

    @cached_property
    def depth_hw(self) -> np.ndarray:
        """Metres along z, float32."""
        return np.where(self._hit_n, self._hits.distance_n, np.float32(np.nan)).reshape(self.shape)

    @cached_property
    def back_fraction(self) -> float:
        """Fraction of the hits that are the back of a surface."""
        facing_n = self._facing_n[self._hit_n]
        return float((facing_n > 0).mean()) if len(facing_n) else 0.0

    @cached_property
    def local_points_hw3(self) -> np.ndarray:
        """Points relative to the world's origin, float32 metres."""
        origin_3 = (self._pose.center - self._renderer.world.origin_3).astype(np.float32)
        points_n3 = _scaled(self._directions_n3, self.depth_hw.reshape(-1))
        points_n3 += origin_3
        return points_n3.reshape(*self.shape, 3)

    @cached_property
    def coordinates_hw3(self) -> np.ndarray:
        """World coordinates, float64 where the origin demands it, else float32."""
        origin_3 = self._renderer.world.origin_3
        return self.local_points_hw3 + origin_3 if origin_3.any() else self.local_points_hw3

    @cached_property
    def world_normals_hw3(self) -> np.ndarray:
        """Unit normals of the surface in the world's frame, turned towards the camera; zero where nothing is seen."""
        scale_n = np.copysign(1 / np.maximum(self._twice_area_n, 1e-30), -self._facing_n)
        if not self._all_hit:
            scale_n[~self._hit_n] = 0
        return _scaled(self._hits.normal_n3, scale_n).reshape(*self.shape, 3)

    @cached_property
    def normals_hw3(self) -> np.ndarray:
        """Unit normals in the camera's frame; zero where nothing is seen."""
        return self.world_normals_hw3 @ self._pose.R_wc.astype(np.float32)

    @cached_property
    def semantics_hw(self) -> np.ndarray:
        """Class ids, uint8; all 0 where the world has no classes.

        Where nothing is seen, rays above the horizon see the sky (0); those below it look through a hole or past the
        edge of the model, and nobody knows at what (`UNKNOWN_CLASS`).
        """
        world = self._renderer.world
        if not world.has_classes:
            return np.zeros(self.shape, np.uint8)
        class_n = np.take(world.face_class_f, self._face_n, mode="clip")
        if not self._all_hit:
            missed_n = np.flatnonzero(~self._hit_n)
            rises_n = np.take(self._directions_n3, missed_n, axis=0) @ world.up_3.astype(np.float32) > 0
            class_n[missed_n] = np.where(rises_n, 0, UNKNOWN_CLASS)
        return class_n.reshape(self.shape)

    @cached_property
    def rgb_hw3(self) -> np.ndarray:
        """Colour without light or shadow, uint8, filtered over the pixel's area; black where nothing is seen."""
        renderer = self._renderer
        if not renderer._textured:
            rgb_n3 = self._vertex_colors(self._all_n)
        else:
            # Texture colours for every pixel, then the few that belong to faces without texture.
            rgb_n3 = self._texture_colors()
            if renderer._vertex_colored:
                texture_n = np.take(renderer.world.face_texture_f, self._face_n, mode="clip")
                plain_n = np.flatnonzero(texture_n == VERTEX_COLOR)
                rgb_n3[plain_n] = self._vertex_colors(plain_n)
        if not self._all_hit:
            rgb_n3[~self._hit_n] = 0
        return rgb_n3.reshape(*self.shape, 3)

    @cached_property
    def _facing_n(self) -> np.ndarray:
        """Ray times the hit's unnormalised normal: its sign tells front (negative) from back."""
        return _dot(self._hits.normal_n3, self._directions_n3)

    @cached_property
    def _twice_area_n(self) -> np.ndarray:
        """Twice the area of the face that was hit: the length of the normal of its hit."""
        return np.sqrt(_dot(self._hits.normal_n3, self._hits.normal_n3))

    @cached_property
    def _texels_per_pixel_n(self) -> np.ndarray:
        """Texels (or vertices) within each pixel's footprint.

        The footprint's area is (depth / focal)^2 |ray| / cosine, with the slant limited; the face's own area turns
        square metres into texels. Two faces of a vertex-coloured mesh make a square with one vertex.
        """
        length_n = self._ray_length_n
        texels_n = np.maximum(np.abs(self._facing_n), _MIN_COSINE * self._twice_area_n * length_n)
        np.divide(length_n, np.maximum(texels_n, 1e-30, out=texels_n), out=texels_n)
        if self._renderer._textured:
            texels_n *= np.take(self._renderer._twice_texels_f, self._face_n, mode="clip")
        depth_n = self._hits.distance_n if self._all_hit else np.where(self._hit_n, self._hits.distance_n, 0)
        texels_n *= depth_n * depth_n
        texels_n /= self._camera.fx * self._camera.fy
        return texels_n

    def _texture_colors(self) -> np.ndarray:
        world = self._renderer.world
        face_n = np.maximum(self._face_n, 0)
        uv_n6 = np.take(world.corner_uv_f32.reshape(-1, 6), face_n, axis=0)
        uv_n2 = np.empty((len(face_n), 2), np.float32)
        self._interpolate(uv_n6, self._all_n, uv_n2)
        level_n = 0.5 * np.log2(np.maximum(self._texels_per_pixel_n, 1))
        texture_n = np.maximum(np.take(world.face_texture_f, face_n), 0)
        return self._renderer._sheets.sample(texture_n, uv_n2, level_n)

    def _vertex_colors(self, index: slice | np.ndarray) -> np.ndarray:
        levels = self._renderer._corner_rgb_lf9
        face_n = self._face_n[index]
        corners_n9 = np.take(levels[0], face_n, axis=0, mode="clip")
        vertices_per_pixel_n = self._texels_per_pixel_n[index]
        for level in range(1, len(levels)):
            far_n = np.flatnonzero(vertices_per_pixel_n > (1.5 * 2 ** (level - 1)) ** 2)
            if len(far_n) == 0:
                break
            corners_n9[far_n] = np.take(levels[level], face_n[far_n], axis=0, mode="clip")
        rgb_n3 = np.empty((len(face_n), 3), np.uint8)
        self._interpolate(corners_n9, index, rgb_n3, rounding=0.5)
        return rgb_n3

    def _interpolate(
        self, corners_nk: np.ndarray, index: slice | np.ndarray, out_nc: np.ndarray, rounding: float = 0.0
    ) -> None:
        """Barycentric mean of what stands at the three corners, (n, 3 channels), into `out_nc` (n, channels)."""
        u_n, v_n = self._hits.u_n[index], self._hits.v_n[index]
        first_n = 1 - u_n - v_n
        channels = out_nc.shape[1]
        for c in range(channels):
            value_n = corners_nk[:, c] * first_n
            value_n += corners_nk[:, channels + c] * u_n
            value_n += corners_nk[:, 2 * channels + c] * v_n
            np.add(value_n, np.float32(rounding), out=out_nc[:, c], casting="unsafe")


# NumPy's loops are quick along pixels and slow along three numbers, hence these two.


def _scaled(a_n3: np.ndarray, scale_n: np.ndarray) -> np.ndarray:
    scaled_n3 = np.empty_like(a_n3)
    for c in range(3):
        np.multiply(a_n3[:, c], scale_n, out=scaled_n3[:, c])
    return scaled_n3


def _dot(a_n3: np.ndarray, b_n3: np.ndarray) -> np.ndarray:
    return (a_n3 * b_n3) @ np.ones(3, np.float32)
