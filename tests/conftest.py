"""What several tests share: a small world, cameras, and the real data where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.randomness import stream
from transpose.worlds.viewpoints import rotation_from_angles
from transpose.worlds.world import World, vertex_colored_world

# A shared machine stalls now and then; no test is about time. The same examples are drawn at every run, so that only a
# change makes a test fail; HYPOTHESIS_PROFILE=exploring draws others.
settings.register_profile("patient", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("exploring", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))

SHARED = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def kitchen_source() -> Path:
    source = SHARED / "kitchen"
    if not source.is_dir():
        pytest.skip(f"the kitchen data is not at {source}")
    return source


@pytest.fixture
def tum_source() -> Path:
    source = SHARED / "tum_fr1_rpy"
    if not source.is_dir():
        pytest.skip(f"the TUM RGB-D recording is not at {source}")
    return source


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device that solvers and networks compute on; a test that asks for it runs once on each that is there."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param)


@pytest.fixture
def camera() -> Camera:
    return Camera.from_focal(90.0, 128, 96)


@pytest.fixture(scope="session")
def box_world() -> World:
    """A floor of coloured squares with boxes on it, 8 x 8 m, seen well from 3 to 6 m."""
    rng = stream(0, "box world")
    n = 33
    x, y = np.meshgrid(np.linspace(-4, 4, n), np.linspace(-4, 4, n))
    vertices = [np.stack([x, y, 0 * x], -1).reshape(-1, 3)]
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces = [np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])]
    quad = np.array([[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7]])
    quad = np.concatenate([quad, [[0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]]])
    for k in range(10):
        corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
        corners = (corners - [0.5, 0.5, 0]) * rng.uniform(0.3, 1.0, 3) + [*rng.uniform(-3, 3, 2), 0]
        faces.append(quad + n * n + 8 * k)
        vertices.append(corners)
    vertices_v3 = np.concatenate(vertices)
    colors = rng.integers(0, 256, (len(vertices_v3), 3))
    return vertex_colored_world("boxes", vertices_v3, np.concatenate(faces), colors)


def looking_down(x: float, y: float, height: float, yaw: float = 0.0, pitch: float = -80.0) -> Pose:
    return Pose(compose(rotation_from_angles(yaw, pitch, 0.0), np.array([x, y, height])))
