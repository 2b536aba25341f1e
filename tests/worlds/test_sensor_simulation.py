"""Sun, haze and camera: laws that any day must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.worlds.domain_randomization import Appearance, sun_direction
from transpose.worlds.render_section import draw_appearance, render_frame
from transpose.worlds.renderer import Renderer
from transpose.worlds.sensor_simulation import relight, simulate_photo
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import vertex_colored_world

_SHAPE = (96, 128)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 226, (*_SHAPE, 3)).astype(np.uint8)


def flat_ground() -> np.ndarray:
    normal = np.zeros((*_SHAPE, 3), np.float32)
    normal[..., 2] = 1
    return normal


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_default_changes_nothing() -> None:
    image, depth, same = picture(), np.full(_SHAPE, 60.0, np.float32), Appearance()
    lit = relight(image, flat_ground(), np.ones(_SHAPE, bool), same)
    assert np.abs(lit.astype(int) - image).max() <= 1
    taken = simulate_photo(image, depth, same, rng())
    assert np.abs(taken.astype(int) - image).max() <= 1


def test_strength_zero_is_nearly_the_survey() -> None:
    image, day = picture(), Appearance.draw(rng(), strength=0.0)
    taken = simulate_photo(image, np.full(_SHAPE, 60.0, np.float32), day, rng())
    assert np.abs(taken.astype(int) - image).mean() < 2


def test_haze_raises_distant_pixels_towards_its_color() -> None:
    image = np.full((*_SHAPE, 3), 60, np.uint8)
    depth = np.broadcast_to(np.linspace(10, 2000, _SHAPE[1], dtype=np.float32), _SHAPE).copy()
    taken = simulate_photo(image, depth, Appearance(haze_visibility_m=1000.0, haze_rgb=(0.8, 0.8, 0.8)), rng())
    row = taken[0, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and row[0] < 75
    assert abs(row[-1] - round(0.8 * 255)) <= 2


def test_sky_is_painted_where_nothing_was_hit() -> None:
    image, depth = np.zeros((*_SHAPE, 3), np.uint8), np.full(_SHAPE, 50.0, np.float32)
    depth[:40] = np.nan
    day = Appearance(zenith_rgb=(0.3, 0.5, 0.8), haze_rgb=(0.8, 0.8, 0.8))
    taken = simulate_photo(image, depth, day, rng())
    assert taken[0, 0, 2] > taken[0, 0, 0] + 60
    assert taken[39].mean() > taken[0].mean()
    assert taken[40:].max() <= 2


def test_shadow_is_darker_than_light() -> None:
    image, lit = picture(), np.ones(_SHAPE, bool)
    lit[:, :64] = False
    day = Appearance(sun_strength=1.0, ambient_strength=0.5)
    out = relight(image, flat_ground(), lit, day)
    assert out[:, :64].mean() < 0.85 * out[:, 64:].mean()


def test_faces_turned_away_from_the_sun_get_none_of_it() -> None:
    day = Appearance(sun_azimuth_deg=90.0, sun_elevation_deg=30.0, sun_strength=1.0, ambient_strength=0.5)
    image, lit = picture(), np.ones(_SHAPE, bool)
    east, west = np.zeros((*_SHAPE, 3), np.float32), np.zeros((*_SHAPE, 3), np.float32)
    east[..., 0], west[..., 0] = 1, -1
    assert relight(image, east, lit, day).mean() > 1.3 * relight(image, west, lit, day).mean()
    assert np.array_equal(relight(image, west, lit, day), relight(image, west, ~lit, day))


def test_sky_is_not_relit() -> None:
    day = Appearance(sun_strength=1.0, ambient_strength=0.4)
    image = np.full((*_SHAPE, 3), 120, np.uint8)
    out = relight(image, np.zeros((*_SHAPE, 3), np.float32), np.zeros(_SHAPE, bool), day)
    assert np.abs(out.astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, (0, 1, 0)), (90, 0, (1, 0, 0)), (180, 0, (0, -1, 0)), (270, 90, (0, 0, 1))],
)
def test_sun_direction_is_clockwise_from_north(azimuth: float, elevation: float, expected: tuple) -> None:
    direction = sun_direction(Appearance(sun_azimuth_deg=azimuth, sun_elevation_deg=elevation))
    assert np.allclose(direction, expected, atol=1e-9)


def test_same_stream_gives_the_same_photo() -> None:
    image, depth = picture(), np.full(_SHAPE, 80.0, np.float32)
    depth[:10] = np.nan
    day, again = Appearance.draw(rng(5)), Appearance.draw(rng(5))
    assert day == again and day != Appearance.draw(rng(6))
    first, second = (simulate_photo(image, depth, day, rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, simulate_photo(image, depth, day, rng(8)))


@pytest.mark.parametrize("seed", range(12))
def test_photos_are_plausible(seed: int) -> None:
    source = rng(seed)
    frame = Appearance.draw(source).jittered(source)
    image, depth = picture(), np.full(_SHAPE, 70.0, np.float32)
    depth[:12] = np.nan
    out = simulate_photo(relight(image, flat_ground(), np.ones(_SHAPE, bool), frame), depth, frame, source)
    assert out.dtype == np.uint8 and out.shape == image.shape and out.flags["C_CONTIGUOUS"]
    assert 60 < out.mean() < 215 and (out == 255).mean() < 0.25 and (out == 0).mean() < 0.05


def test_jitter_keeps_the_day() -> None:
    day = Appearance.draw(rng(1))
    frame = day.jittered(rng(2))
    for name in ("sun_azimuth_deg", "sun_elevation_deg", "sun_strength", "haze_visibility_m", "saturation", "gamma"):
        assert getattr(day, name) == getattr(frame, name)
    assert frame.exposure_ev != day.exposure_ev and abs(frame.exposure_ev - day.exposure_ev) < 0.2


def test_motion_blurs_along_its_direction() -> None:
    image = np.zeros((*_SHAPE, 3), np.uint8)
    image[48, 64] = 255
    depth = np.full(_SHAPE, 50.0, np.float32)
    taken = simulate_photo(image, depth, Appearance(motion_px=8.0, motion_deg=0.0), rng())[..., 0]
    assert (taken[48, 60:69] > 0).all() and taken[45].max() == 0


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match="jpeg_quality"):
        Appearance(jpeg_quality=0)
    with pytest.raises(ValueError, match="visibility"):
        Appearance(haze_visibility_m=0.0)


def test_the_sun_stands_over_the_ground_whatever_axis_is_up() -> None:
    """A world fused in a camera's frame has -y up: it gets the light of the same world with z up."""
    corners = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
    faces, grey = np.array([[0, 1, 2], [0, 2, 3]]), np.full((4, 3), 128)
    camera, down_33 = Camera.from_focal(30, 32, 24), np.diag([1.0, -1, -1])
    turns = {(0, 0, 1): np.eye(3), (0, -1, 0): np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), (0, 0, -1): down_33}
    for seed in range(3):
        appearance = replace(draw_appearance(seed, 1.0), shot_noise=0.0, read_noise=0.0)
        seen = []
        for up, turn_33 in turns.items():
            world = vertex_colored_world("floor", corners @ turn_33.T, faces, grey, up_3=np.array(up, np.float64))
            pose = Pose(compose(turn_33 @ down_33, turn_33 @ np.array([0.0, 0, 5])))
            frame = render_frame(Renderer(world), Viewpoint(camera, pose), appearance, np.random.default_rng(0))
            seen.append(frame.rgb_hw3.astype(int))
        assert np.abs(seen[1] - seen[0]).max() <= 1 and np.abs(seen[2] - seen[0]).max() <= 1
