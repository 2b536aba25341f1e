"""The pinhole views of wide images: filled, turned as they say, and together showing what the photo shows."""

import math

import numpy as np
import pytest

from transpose.geometry.camera_models import projection_of
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.fisheye import Fisheye
from transpose.geometry.lens import Lens
from transpose.geometry.pinhole_views import pinhole_for, pinhole_views
from transpose.geometry.projection import Projection

ACTION_CAMERA = projection_of("OPENCV_FISHEYE", [570, 570, 640, 360, 0.02, -0.01, 0.001, 0], 1280, 720)
UPRIGHT = projection_of("OPENCV_FISHEYE", [570, 570, 360, 640, 0.02, -0.01, 0.001, 0], 720, 1280)
CIRCULAR = Fisheye(1000, 1000, 318.0, 318.0, 500.0, 500.0, rim_px=500.0)
NARROW = Fisheye(640, 480, 500.0, 500.0, 322.0, 238.0, (0.02,))
PANORAMA = projection_of("EQUIRECTANGULAR", [], 800, 400)
RATIONAL = projection_of("FULL_OPENCV", [500, 500, 640, 360, 0.5, 0.1, 0, 0, 0.01, 0.8, 0.2, 0.03], 1280, 720)
NAMES = {
    "action camera": (ACTION_CAMERA, ["left", "right"]),
    "held upright": (UPRIGHT, ["up", "down"]),
    "circular": (CIRCULAR, ["front", "left", "right", "up", "down"]),
    "narrow": (NARROW, [""]),
    "panorama": (PANORAMA, ["front", "right", "back", "left", "up", "down"]),
    "rational": (RATIONAL, ["left", "right"]),
    "field of view": (projection_of("FOV", [500, 500, 640, 360, 0.9], 1280, 720), ["left", "right"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_pixel_of_every_view_comes_from_the_photo(name: str) -> None:
    projection, names = NAMES[name]
    views = pinhole_views(projection)
    assert [view.name for view in views] == names
    for view in views:
        assert np.allclose(view.R_lv @ view.R_lv.T, np.eye(3)) and np.linalg.det(view.R_lv) > 0
        assert (view.camera.cx, view.camera.cy) == (view.camera.width / 2, view.camera.height / 2)
        rays_hw3 = view.camera.unproject(pixel_centers(view.camera.width, view.camera.height)) @ view.R_lv.T
        px_hw2 = projection.px_of_directions(rays_hw3)
        assert np.isfinite(px_hw2).all()
        assert (px_hw2 >= 0).all() and (px_hw2 <= (projection.width, projection.height)).all()
        half = math.degrees(math.atan(max(view.camera.width, view.camera.height) / 2 / view.camera.fx))
        assert half < 56


@pytest.mark.parametrize("name, least", [("action camera", 0.9), ("circular", 0.95), ("panorama", 0.999)])
def test_views_show_nearly_all_that_the_photo_shows(name: str, least: float) -> None:
    projection, _ = NAMES[name]
    px_n2 = np.random.default_rng(0).uniform(0, (projection.width, projection.height), (4000, 2))
    directions_n3 = projection.directions_of_px(px_n2)
    directions_n3 = directions_n3[np.isfinite(directions_n3).all(1)]
    shown_n = np.zeros(len(directions_n3), bool)
    for view in pinhole_views(projection):
        px_n2 = view.camera.project(directions_n3 @ view.R_lv)
        with np.errstate(invalid="ignore"):
            shown_n |= ((px_n2 >= 0) & (px_n2 <= (view.camera.width, view.camera.height))).all(1)
    assert shown_n.mean() > least


def test_views_look_where_their_names_say() -> None:
    ahead = {view.name: view.R_lv[:, 2] for view in pinhole_views(PANORAMA)}
    assert np.allclose(ahead["front"], (0, 0, 1)) and np.allclose(ahead["back"], (0, 0, -1))
    assert np.allclose(ahead["right"], (1, 0, 0)) and np.allclose(ahead["left"], (-1, 0, 0))
    assert np.allclose(ahead["up"], (0, -1, 0)) and np.allclose(ahead["down"], (0, 1, 0))  # OpenCV's y is down
    for projection in (ACTION_CAMERA, CIRCULAR):
        for view in pinhole_views(projection):
            x, y, _ = view.R_lv[:, 2]
            assert {"left": x < 0, "right": x > 0, "up": y < 0, "down": y > 0}.get(view.name, True)
            if view.name in ("front", "left", "right"):
                assert view.R_lv[1, 1] == pytest.approx(1)  # upright


def test_a_pinhole_camera_stays_what_it_is() -> None:
    lens = Lens(64, 48, 50.0, 51.0, 30.0, 25.0)
    (view,) = pinhole_views(lens)
    assert (view.name, view.camera) == ("", lens.camera)
    bent = Lens(64, 48, 50.0, 51.0, 30.0, 25.0, k1=0.02)
    for (only,) in ((view,), pinhole_views(bent)):
        assert np.array_equal(only.R_lv, np.eye(3))


@pytest.mark.parametrize("projection", [ACTION_CAMERA, NARROW, RATIONAL])
def test_one_camera_of_a_size_that_is_asked_for(projection: Projection) -> None:
    camera = pinhole_for(projection, 320, 180)
    px_hw2 = projection.px_of_directions(camera.unproject(pixel_centers(320, 180)))
    assert np.isfinite(px_hw2).all()
    assert (px_hw2 >= 0).all() and (px_hw2 <= (projection.width, projection.height)).all()


def test_a_lens_that_folds_is_refused() -> None:
    with pytest.raises(ValueError, match="folds"):
        pinhole_views(Fisheye(640, 480, 500.0, 500.0, 320.0, 240.0, (-3000.0,)))


@pytest.mark.parametrize("name", ["action camera", "held upright", "circular"])
def test_neighbours_overlap_and_views_reach_the_border(name: str) -> None:
    """Between two views side by side, every direction is in one of them, and some degrees are in both."""
    projection, _ = NAMES[name]
    views = pinhole_views(projection)
    upright = name == "held upright"
    angle_n = np.radians(np.arange(-89.0, 89.1, 0.5))
    zero_n = 0 * angle_n
    rays_n3 = np.stack(
        [zero_n if upright else np.sin(angle_n), np.sin(angle_n) if upright else zero_n, np.cos(angle_n)], 1
    )
    px_n2 = projection.px_of_directions(rays_n3)
    with np.errstate(invalid="ignore"):
        shown_n = ((px_n2 > 1) & (px_n2 < np.array([projection.width, projection.height]) - 1)).all(1)
    count_n = np.zeros(len(angle_n), int)
    for view in views:
        seen_n2 = view.camera.project(rays_n3 @ view.R_lv)
        with np.errstate(invalid="ignore"):
            count_n += ((seen_n2 >= 0) & (seen_n2 <= (view.camera.width, view.camera.height))).all(1)
    assert (count_n[shown_n] >= 1).mean() > 0.98
    assert 4 <= (count_n == 2).sum() <= 60
    assert (count_n[~shown_n] == 0).all() or (px_n2[~shown_n & (count_n > 0)] > -1).all()


@pytest.mark.parametrize("aside", [-140.0, 140.0])
def test_a_principal_point_aside_makes_views_of_different_reach(aside: float) -> None:
    lens = projection_of("OPENCV_FISHEYE", [570, 570, 640 + aside, 360, 0.02, -0.01, 0.001, 0], 1280, 720)
    left, right = pinhole_views(lens)
    reach_deg = {}
    for view in (left, right):
        x, _, z = view.R_lv[:, 2]
        middle_deg = abs(math.degrees(math.atan2(x, z)))
        reach_deg[view.name] = middle_deg + math.degrees(math.atan(view.camera.width / 2 / view.camera.fx))
    wide, narrow = ("left", "right") if aside > 0 else ("right", "left")
    assert reach_deg[wide] > reach_deg[narrow] + 15
    for name, sign in (("left", -1), ("right", 1)):  # as far as the image shows something, to a quarter of a degree
        angle_n = np.radians(np.arange(0, 90.01, 0.05))
        px_n2 = lens.px_of_directions(np.stack([sign * np.sin(angle_n), 0 * angle_n, np.cos(angle_n)], 1))
        inside_n = (px_n2[:, 0] >= 0) & (px_n2[:, 0] <= 1280)
        shown_deg = 0.05 * (int((~inside_n).argmax()) if not inside_n.all() else len(angle_n))
        assert shown_deg - 4 < reach_deg[name] <= shown_deg + 0.3


def test_a_principal_point_outside_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="principal point lies outside"):
        pinhole_views(Fisheye(640, 480, 200.0, 200.0, -50.0, 240.0))
