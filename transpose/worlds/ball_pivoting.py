"""A mesh through the points themselves, by ball pivoting: walls and overhangs stay, and so do holes."""

from __future__ import annotations

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.optional_open3d import import_open3d

_MAX_POINTS = 12_000_000
_RADII = (1.0, 2.0, 4.0)  # of the ball, in spacings: from the surface's own grain to small gaps
_NORMAL_REACH = 5.0
_NORMAL_NEIGHBORS = 16


def ball_pivoted(xyz_n3: np.ndarray, rgb_n3: np.ndarray, spacing_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (v, 3) float32, faces (f, 3) int32 and colours (v, 3) uint8 of a surface through points.

    A ball rolls over the points, thinned to one a spacing, and each three it rests on become a triangle (Bernardini
    et al., The ball-pivoting algorithm, 1999); Open3D does the rolling. Normals point upwards, as whoever surveys
    from above sees them.

    Raises:
        TransposeError: there are too many points for memory, or the ball rests nowhere.
        MissingPackageError: Open3D is not installed.
    """
    if len(xyz_n3) > _MAX_POINTS:
        raise TransposeError(
            f"{len(xyz_n3)} points are too many for --surface ball (at most {_MAX_POINTS}); "
            "cut the cloud, thin it, or use --surface height"
        )
    o3d = import_open3d("to pivot a ball over points")
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz_n3.astype(np.float64)))
    cloud.colors = o3d.utility.Vector3dVector(rgb_n3.astype(np.float64) / 65535)
    cloud = cloud.voxel_down_sample(spacing_m)
    search = o3d.geometry.KDTreeSearchParamHybrid(_NORMAL_REACH * spacing_m, _NORMAL_NEIGHBORS)
    cloud.estimate_normals(search)
    cloud.orient_normals_to_align_with_direction((0.0, 0.0, 1.0))
    radii = o3d.utility.DoubleVector([spacing_m * factor for factor in _RADII])
    mesh = o3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(cloud, radii)
    mesh.remove_unreferenced_vertices()
    if len(mesh.triangles) == 0:
        raise TransposeError("ball pivoting found no surface; the points are too sparse, use --surface height")
    rgb_v3 = np.rint(np.asarray(mesh.vertex_colors) * 255).astype(np.uint8)
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.triangles, np.int32), rgb_v3
