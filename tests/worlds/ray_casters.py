"""The ray casters that are installed, and the twin that each of them is compared with."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from transpose.errors import MissingPackageError
from transpose.geometry import Camera, Pose
from transpose.worlds.ray_casting import EmbreexCaster, Open3dCaster, RayCaster
from transpose.worlds.world import World

CASTERS = ("embreex", "open3d")


def caster_named(name: str) -> Callable[..., RayCaster]:
    """The class of a caster; skips the test where its package is missing."""
    if name == "embreex":
        if find_spec("embreex") is None:
            pytest.skip("embreex is not installed")
        return EmbreexCaster
    try:
        Open3dCaster(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    except MissingPackageError:
        pytest.skip("Open3D is not installed")
    return Open3dCaster


def trace_slowly(
    world: World, camera: Camera, pose: Pose, px_n2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference twin: every ray against every triangle (Moeller-Trumbore): depth, face, colour."""
    v0, v1, v2 = np.moveaxis(world.vertices_v3[world.faces_f3].astype(np.float64), 1, 0)
    depth, face, rgb = [], [], []
    for ray in camera.unproject(px_n2) @ pose.R_wc.T:
        h = np.cross(ray, v2 - v0)
        with np.errstate(divide="ignore", invalid="ignore"):
            f = 1 / ((v1 - v0) * h).sum(1)
            s = pose.center - v0
            u = f * (s * h).sum(1)
            q = np.cross(s, v1 - v0)
            v = f * (q @ ray)
            t = f * ((v2 - v0) * q).sum(1)
            t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
        best = int(np.argmin(t))
        depth.append(t[best])
        face.append(best)
        colors = world.vertex_rgb_v3[world.faces_f3[best]].astype(float)
        rgb.append((1 - u[best] - v[best]) * colors[0] + u[best] * colors[1] + v[best] * colors[2])
    return np.array(depth), np.array(face), np.array(rgb)
