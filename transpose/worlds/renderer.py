"""Renders a world by ray casting: one cast a view, every layer from its hits.

Embree finds the triangle that each pixel sees. Rays have z = 1 in the camera, so the distance along a ray is the depth.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np
import torch
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from transpose.geometry.cameras import Camera, cell_points, pixel_centers
from transpose.geometry.poses import Pose
from transpose.worlds.textures import TextureSheet
from transpose.worlds.world import VERTEX_COLOR, World

_COLOR_LEVELS = 3
_MIN_COSINE = 0.1  # grazing surfaces are filtered as if seen at this angle, else they blur away
_SHADOW_OFFSET_M = 0.05


class Renderer:
    """Casts views of one world.

    Building takes a second per million triangles; a view of 640x480 pixels takes some tens of milliseconds. One
    instance serves one thread: many views go in parallel by process.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._scene = EmbreeScene(robust=False)  # a fifth faster; a ray slips through an edge once in a million
        TriangleMesh(self._scene, world.vertices_v3, world.faces_f3)
        self._twice_texels_f = _twice_texels(world)
        self._textured = bool((world.face_texture_f != VERTEX_COLOR).any())
        self._vertex_colored = bool((world.face_texture_f == VERTEX_COLOR).any())
        self._sheet = TextureSheet(world.textures) if self._textured else None
        # Corner colours stand side by side, so that a hit gathers one row instead of three.
        self._corner_rgb_lf9 = [
            rgb_v3[world.faces_f3].reshape(-1, 9) for rgb_v3 in (_color_levels(world) if self._vertex_colored else [])
        ]

    def view(self, camera: Camera, pose: Pose) -> View:
        """What each pixel's centre sees, (height, width)."""
        return self._cast(camera, pose, _pixel_rays(camera))

    def cells(self, camera: Camera, pose: Pose) -> View:
        """What the cell points of a stride-8 map see, (rows, columns): labels are cast through exactly these points."""
        return self._cast(camera, pose, _cell_rays(camera))

    def _cast(self, camera: Camera, pose: Pose, rays_hw3: np.ndarray) -> View:
        origin_3 = (pose.center - self.world.origin_3).astype(np.float32)
        directions_n3 = rays_hw3.reshape(-1, 3) @ pose.R_wc.T.astype(np.float32)
        hits = self._scene.run(
            np.broadcast_to(origin_3, directions_n3.shape).copy(), directions_n3, query="INTERSECT", output=1
        )
        return View(self, camera, pose, rays_hw3, directions_n3, hits)

    def surface_height(self, xy_n2: np.ndarray) -> np.ndarray:
        """Height (n,) of the topmost surface at places (n, 2), relative to the world's origin; NaN beside the world."""
        top = self.world.bounds[1][2] + 1
        starts_n3 = np.column_stack([xy_n2, np.full(len(xy_n2), top)]).astype(np.float32)
        down_n3 = np.broadcast_to(np.array([0, 0, -1], np.float32), starts_n3.shape).copy()
        hits = self._scene.run(starts_n3, down_n3, query="INTERSECT", output=1)
        return np.where(hits["primID"] >= 0, top - hits["tfar"], np.nan)

    def is_lit(self, points_n3: np.ndarray, normal_n3: np.ndarray, direction_3: np.ndarray) -> np.ndarray:
        """Whether nothing stands between points (n, 3), relative to the world's origin, and a light far away.

        `normal_n3` are the surface's unit normals there: rays start a little off the surface that they leave.
        """
        starts_n3 = (points_n3 + normal_n3 * _SHADOW_OFFSET_M).astype(np.float32)
        rays_n3 = np.broadcast_to(np.asarray(direction_3, np.float32), starts_n3.shape).copy()
        return self._scene.run(starts_n3, rays_n3, query="OCCLUDED") < 0


class View:
    """The hits of one cast; each layer is computed when it is asked for. NaN (or class 0) where nothing is seen."""

    def __init__(
        self,
        renderer: Renderer,
        camera: Camera,
        pose: Pose,
        rays_hw3: np.ndarray,
        directions_n3: np.ndarray,
        hits: dict[str, np.ndarray],
    ) -> None:
        self._renderer, self._camera, self._pose = renderer, camera, pose
        self._rays_hw3, self._directions_n3, self._hits = rays_hw3, directions_n3, hits
        self.shape = rays_hw3.shape[:2]
        self._face_n = hits["primID"]
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
        return np.where(self._hit_n, self._hits["tfar"], np.float32(np.nan)).reshape(self.shape)

    @cached_property
    def back_share(self) -> float:
        """Share of the hits that are the back of a surface."""
        facing_n = self._facing_n[self._hit_n]
        return float((facing_n > 0).mean()) if len(facing_n) else 0.0

    @cached_property
    def local_points_hw3(self) -> np.ndarray:
        """Points relative to the world's origin, float32 metres."""
        origin_3 = (self._pose.center - self._renderer.world.origin_3).astype(np.float32)
        points_n3 = self._directions_n3 * self.depth_hw.reshape(-1, 1)
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
        normal_n3 = self._hits["Ng"]
        length_n = np.sqrt(np.einsum("ni,ni->n", normal_n3, normal_n3))
        scale_n = np.where(self._hit_n, -np.sign(self._facing_n), 0) / np.maximum(length_n, 1e-30)
        normal_n3 = normal_n3 * scale_n.astype(np.float32)[:, None]
        return normal_n3.reshape(*self.shape, 3)

    @cached_property
    def normals_hw3(self) -> np.ndarray:
        """Unit normals in the camera's frame; zero where nothing is seen."""
        return self.world_normals_hw3 @ self._pose.R_wc.astype(np.float32)

    @cached_property
    def semantics_hw(self) -> np.ndarray:
        """Class ids, uint8; 0 (sky) where nothing is seen or the world has no classes."""
        world = self._renderer.world
        if not world.has_classes:
            return np.zeros(self.shape, np.uint8)
        return (
            np.where(self._hit_n, np.take(world.face_class_f, self._face_n, mode="clip"), 0)
            .astype(np.uint8)
            .reshape(self.shape)
        )

    @cached_property
    def rgb_hw3(self) -> np.ndarray:
        """Colour without light or shadow, uint8, filtered by the pixel's footprint; black where nothing is seen."""
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
        rgb_n3 += 0.5
        rgb_n3 = rgb_n3.astype(np.uint8)
        if not self._all_hit:
            rgb_n3[~self._hit_n] = 0
        return rgb_n3.reshape(*self.shape, 3)

    @cached_property
    def _facing_n(self) -> np.ndarray:
        """Ray times the hit's unnormalised normal: its sign tells front (negative) from back."""
        return np.einsum("ni,ni->n", self._hits["Ng"], self._directions_n3)

    @cached_property
    def _texels_per_pixel_n(self) -> np.ndarray:
        """Texels along one side of each pixel's footprint.

        The footprint's area is (depth / focal)^2 |ray| / cosine, with the slant limited; the normal that Embree returns
        is as long as twice the face's area, which turns metres into texels.
        """
        normal_n3, rays_n3 = self._hits["Ng"], self._rays_hw3.reshape(-1, 3)
        ray_length_n = np.sqrt(np.einsum("ni,ni->n", rays_n3, rays_n3))
        twice_area_n = np.sqrt(np.einsum("ni,ni->n", normal_n3, normal_n3))
        slanted_n = np.maximum(np.abs(self._facing_n), _MIN_COSINE * twice_area_n * ray_length_n)
        texels_n = np.take(self._renderer._twice_texels_f, self._face_n, mode="clip") * ray_length_n
        texels_n /= np.maximum(slanted_n, 1e-30)
        depth_n = np.where(self._hit_n, self._hits["tfar"], 0)
        return depth_n * np.sqrt(texels_n) / math.sqrt(self._camera.fx * self._camera.fy)

    def _texture_colors(self) -> np.ndarray:
        renderer = self._renderer
        assert renderer._sheet is not None
        face_n = np.maximum(self._face_n, 0)
        uv_n32 = np.take(renderer.world.corner_uv_f32, face_n, axis=0)
        uv_n2 = torch.bmm(self._weights(self._all_n), torch.from_numpy(uv_n32))[:, 0].numpy()
        level_n = np.log2(np.maximum(self._texels_per_pixel_n, 1))
        texture_n = np.maximum(np.take(renderer.world.face_texture_f, face_n), 0)
        return renderer._sheet.sample(texture_n, uv_n2, level_n)

    def _vertex_colors(self, index: slice | np.ndarray) -> np.ndarray:
        levels = self._renderer._corner_rgb_lf9
        face_n = self._face_n[index]
        corners_n9 = np.take(levels[0], face_n, axis=0, mode="clip")
        vertices_per_pixel_n = self._texels_per_pixel_n[index]
        for level in range(1, len(levels)):
            far_n = np.flatnonzero(vertices_per_pixel_n > 1.5 * 2 ** (level - 1))
            if len(far_n) == 0:
                break
            corners_n9[far_n] = np.take(levels[level], face_n[far_n], axis=0, mode="clip")
        corners_n33 = torch.from_numpy(corners_n9).view(-1, 3, 3).float()
        return torch.bmm(self._weights(index), corners_n33)[:, 0].numpy()

    def _weights(self, index: slice | np.ndarray) -> torch.Tensor:
        """Barycentric weights (n, 1, 3) of the three corners."""
        u_n, v_n = self._hits["u"][index], self._hits["v"][index]
        weights_n3 = np.empty((len(u_n), 3), np.float32)
        weights_n3[:, 1], weights_n3[:, 2] = u_n, v_n
        np.subtract(1 - u_n, v_n, out=weights_n3[:, 0])
        return torch.from_numpy(weights_n3)[:, None]


@lru_cache(maxsize=8)
def _pixel_rays(camera: Camera) -> np.ndarray:
    return camera.unproject(pixel_centers(camera.width, camera.height)).astype(np.float32)


@lru_cache(maxsize=8)
def _cell_rays(camera: Camera) -> np.ndarray:
    return camera.unproject(cell_points(camera.width, camera.height)).astype(np.float32)


def _twice_texels(world: World) -> np.ndarray:
    """Twice the texels (or vertices, for vertex colours) that each face covers, (faces,) float32."""
    sizes_t2 = np.array([[t.shape[1], t.shape[0]] for t in world.textures] or [[1, 1]], np.float32)
    uv_f32 = world.corner_uv_f32 * sizes_t2[world.face_texture_f][:, None]
    a_f2, b_f2 = uv_f32[:, 1] - uv_f32[:, 0], uv_f32[:, 2] - uv_f32[:, 0]
    twice_f = np.abs(a_f2[:, 0] * b_f2[:, 1] - a_f2[:, 1] * b_f2[:, 0])
    # Two faces of a vertex-coloured mesh make a square with one vertex.
    return np.where(world.face_texture_f == VERTEX_COLOR, np.float32(1), twice_f).astype(np.float32)


def _color_levels(world: World) -> list[np.ndarray]:
    """Vertex colours, and the same averaged over ever wider neighbourhoods: the mip levels of a mesh."""
    from scipy.sparse import coo_matrix, diags, eye

    count = len(world.vertices_v3)
    edges_n2 = np.concatenate([world.faces_f3[:, [0, 1]], world.faces_f3[:, [1, 2]], world.faces_f3[:, [2, 0]]])
    ones_n = np.ones(len(edges_n2), np.float32)
    adjacency = coo_matrix((ones_n, (edges_n2[:, 0], edges_n2[:, 1])), shape=(count, count)).tocsr()
    adjacency = adjacency + adjacency.T + eye(count, format="csr", dtype=np.float32)
    mean = diags(1 / np.asarray(adjacency.sum(1)).ravel()) @ adjacency
    rgb_v3 = world.vertex_rgb_v3.astype(np.float32)
    levels = [world.vertex_rgb_v3]
    for level in range(1, _COLOR_LEVELS):
        for _ in range(4 ** (level - 1)):  # the width of repeated averaging grows with the root of the rounds
            rgb_v3 = mean @ rgb_v3
        levels.append(rgb_v3.round().astype(np.uint8))
    return levels
