import numpy as np
import pytest

from tests.conftest import looking_down
from transpose.geometry import Camera
from transpose.geometry.poses import Pose
from transpose.worlds.recolor import Photo, RecolorOptions, recolored
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import vertex_colored_world

CAMERA = Camera.from_focal(300, 320, 240)


def grid(count: int = 101, half_m: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(-half_m, half_m, count), np.linspace(-half_m, half_m, count))
    i = np.arange(count * count).reshape(count, count)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return np.stack([x, y, 0.03 * np.sin(9 * x)], -1).reshape(-1, 3), faces


def photo_of(vertices: np.ndarray, faces: np.ndarray, rgb: np.ndarray, pose: Pose, gain: float = 1.0) -> Photo:
    view = Renderer(vertex_colored_world("t", vertices, faces, rgb)).view(CAMERA, pose)
    return Photo((view.rgb_hw3 * gain).astype(np.uint8), np.nan_to_num(view.depth_hw), CAMERA, pose)


def stripes(vertices: np.ndarray) -> np.ndarray:
    wave = np.sin(60 * vertices[:, 0]) * np.sin(45 * vertices[:, 1])
    return np.stack([110 + 80 * wave, 110 - 50 * wave, 100 + 0 * wave], -1)


def recolored_from(vertices: np.ndarray, faces: np.ndarray, photos: list[Photo], power: float = 4.0) -> np.ndarray:
    return recolored(vertices, faces, photos, lambda p: p, RecolorOptions(detail_power=power)).astype(float)


def test_colours_come_back_from_photos_and_unseen_vertices_are_grey() -> None:
    vertices, faces = grid()
    true = stripes(vertices)
    poses = [looking_down(0.05 * i, 0, 0.6 + 0.1 * i, 40 * i, -85) for i in range(3)]
    far = np.concatenate([vertices, [[50.0, 50, 0]]])
    out = recolored_from(far, faces, [photo_of(vertices, faces, true, pose) for pose in poses])
    inside = np.abs(vertices[:, :2]).max(1) < 0.15
    assert np.abs(out[:-1][inside] - true[inside]).mean() < 3
    assert (out[-1] == 128).all()
    assert np.array_equal(out, recolored_from(far, faces, [photo_of(vertices, faces, true, pose) for pose in poses]))


def test_what_hides_a_surface_does_not_colour_it() -> None:
    vertices, faces = grid()
    true = stripes(vertices)
    pose = looking_down(0, 0, 0.8, 0, -90)
    lid = np.array([[-0.1, -0.1, 0.3], [0.1, -0.1, 0.3], [0.1, 0.1, 0.3], [-0.1, 0.1, 0.3]])
    n = len(vertices)
    both = np.concatenate([vertices, lid])
    both_faces = np.concatenate([faces, [[n, n + 1, n + 2], [n, n + 2, n + 3]]])
    hidden = photo_of(both, both_faces, np.concatenate([true, np.tile([255.0, 0, 0], (4, 1))]), pose)
    out = recolored_from(vertices, faces, [hidden])
    under = np.abs(vertices[:, :2]).max(1) < 0.08
    assert (out[under] == 128).all()


def test_detail_is_that_of_the_near_photo_and_tone_that_of_both() -> None:
    vertices, faces = grid(201, 0.9)  # wide enough to fill both photos
    true = stripes(vertices)
    near = photo_of(vertices, faces, true, looking_down(0, 0, 0.6, 0, -90))
    flat = photo_of(vertices, faces, np.full_like(true, 100.0), looking_down(0, 0, 1.2, 0, -90), gain=0.5)
    inside = np.abs(vertices[:, :2]).max(1) < 0.15
    contrast = [recolored_from(vertices, faces, [near, flat], power)[inside, 0].std() for power in (0.5, 4.0)]
    assert contrast[1] > 1.05 * contrast[0]
    mean = recolored_from(vertices, faces, [near, flat])[inside, 0].mean()
    assert true[inside, 0].mean() * 0.5 < mean < true[inside, 0].mean() * 0.95


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="max_error_m"):
        RecolorOptions(max_error_m=0.2, max_unlikely_m=0.1)
