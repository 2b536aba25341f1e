"""What is shown of a place, and pictures of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import make_section
from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose, transform
from transpose.viewing.colors import ramp
from transpose.viewing.content import Content, read_content
from transpose.viewing.folders import Chosen, choose
from transpose.viewing.frame_view import frame_view
from transpose.viewing.picture import draw_picture, ellipsoid_lines, first_view, lines_of, looking, picture_camera
from transpose.viewing.points import Points, coverage_points, landmark_points
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World, load_world


@pytest.fixture
def content(place: Path) -> Content:
    return read_content(choose(place / "results"), Renderer(load_world(place / "world")))


def test_estimates_have_lines_to_the_truth(content: Content) -> None:
    assert [(group.name, len(group)) for group in content.groups] == [
        ("test", 5),
        ("train_x", 5),
        ("estimates of test", 4),
    ]
    assert content.errors is not None and content.errors.refused == 1 and len(content.errors.ellipsoids) == 4
    length_n = np.linalg.norm(content.errors.lines_n23[:, 1] - content.errors.lines_n23[:, 0], axis=1)
    assert np.allclose(length_n, [0.01, 0.02, 0.03, 0.05])


def test_a_broken_image_costs_no_other(place: Path) -> None:
    """It was tested, and got no pose."""
    sorted((place / "scene" / "test" / "rgb").iterdir())[3].write_bytes(b"\xff\xd8 no image")
    content = read_content(choose(place / "results"), Renderer(load_world(place / "world")))
    assert [len(group) for group in content.groups] == [4, 5, 4]
    assert content.errors is not None and content.errors.refused == 1


def test_what_was_trained_on_does_not_hide_the_estimates(content: Content) -> None:
    assert [group.visible for group in content.groups] == [True, False, True]


def test_results_of_another_section_are_refused(place: Path) -> None:
    with pytest.raises(TransposeError, match=r"holds no results of train_x of .*frames_scene_test\.jsonl"):
        read_content(choose(place / "results", scene=place / "scene" / "train_x"))


def test_without_a_world_positions_are_about_a_round_place_among_the_cameras(tmp_path: Path) -> None:
    section, far_3 = make_section(tmp_path / "scene", "far"), np.array([576_715.4, 5_188_162.2, 12.0])
    for frame in section.frames:
        pose = Pose(compose(frame.pose.R_wc, frame.pose.center + far_3))
        np.savetxt(frame.paths["poses"], pose.T_wc)
    content = read_content(Chosen(scene=section.scene, sections=("far",)))
    assert content.origin_3.tolist() == [576_700.0, 5_188_200.0, 0.0]
    assert np.abs(content.centers_n3).max() < 100


def test_all_shown_cameras_are_in_the_first_view(content: Content) -> None:
    pose, _ = first_view(content)
    camera = picture_camera()
    px_n2 = camera.project(transform(pose.T_cw, content.centers_n3))
    assert (px_n2 > 0).all() and (px_n2 < (camera.width, camera.height)).all()
    assert pose.R_wc[:, 1] @ content.up_3 < 0  # upright: OpenCV's y is down


def test_points_alone_are_looked_at(content: Content) -> None:
    alone = replace(content, world=None, groups=())
    points_n3 = np.random.default_rng(0).uniform((20, 30, 1), (60, 50, 4), (500, 3))
    points = Points(points_n3, np.zeros((500, 3), np.uint8), np.ones(500), "landmarks")
    pose, _ = first_view(alone, [points])
    px_n2, camera = picture_camera().project(transform(pose.T_cw, points_n3)), picture_camera()
    inside_n = ((px_n2 > 0) & (px_n2 < (camera.width, camera.height))).all(1)
    assert inside_n.mean() > 0.95 and np.ptp(px_n2[:, 0]) > camera.width / 3


def test_a_view_straight_down_is_a_pose() -> None:
    pose = looking(np.array([0.0, 0.0, 5.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    assert np.allclose(pose.R_wc.T @ pose.R_wc, np.eye(3)) and np.linalg.det(pose.R_wc) > 0
    assert np.allclose(pose.R_wc[:, 2], (0, 0, -1))


def test_ellipsoid_lines_lie_on_the_ellipsoid(content: Content) -> None:
    assert content.errors is not None
    ellipsoids = content.errors.ellipsoids
    lines_n23 = ellipsoid_lines(ellipsoids, 10.0).reshape(len(ellipsoids), -1, 3)
    local_nk3 = np.einsum("nij,nki->nkj", ellipsoids.R_n33, lines_n23 - ellipsoids.centers_n3[:, None])
    assert np.allclose(((local_nk3 / (10 * ellipsoids.radii_n3[:, None])) ** 2).sum(-1), 1)


def test_a_surface_hides_lines_behind_it(content: Content, box_world: World) -> None:
    pose = looking(np.array([0.0, 0.0, 6.0]), np.zeros(3), np.array([0.0, 1.0, 0.0]))
    camera = picture_camera(160, 100)
    (some, *_) = lines_of(content, content.groups[:1])
    drawn = {}
    for height in (3.0, -2.0):
        moved = replace(some, lines_n23=some.lines_n23 + np.array([0.0, 0.0, height]), color=(255, 0, 255))
        drawn[height] = draw_picture(box_world, False, [moved], [], camera, pose)
    plain = draw_picture(box_world, False, [], [], camera, pose)
    assert (drawn[3.0] != plain).any() and (drawn[-2.0] == plain).all()


def test_photo_and_render_are_laid_over_each_other(content: Content, place: Path) -> None:
    view = frame_view(content.groups[2], 1, Renderer(load_world(place / "world")))
    assert view.render_hw3 is not None and view.render_hw3.shape == view.photo_hw3.shape
    assert (view.blended(0.0) == view.photo_hw3).all() and (view.blended(1.0) == view.render_hw3).all()
    assert "error 0.02 m" in view.facts and "frame-1" in view.facts
    assert (frame_view(content.groups[0], 1, None).blended(0.7) == 40).all()


def test_a_lost_photo_is_one_line(content: Content) -> None:
    content.groups[0].frames[0].paths["rgb"].unlink()
    with pytest.raises(TransposeError):
        frame_view(content.groups[0], 0, None)


def test_coverage_is_of_the_surface_that_was_seen(content: Content) -> None:
    points = coverage_points(content.sections[0], content.origin_3)
    assert points is not None and len(points.points_n3) == len(points.rgb_n3) == len(points.amount_n) > 0
    assert points.amount_n.min() >= 1 and "64" in points.legend


def test_a_run_without_landmarks_shows_none(place: Path, content: Content) -> None:
    assert landmark_points(place / "run", content.origin_3, content.groups[2]) is None


def test_larger_amounts_are_lighter() -> None:
    rgb_n3 = ramp(np.linspace(0, 12, 50), 10.0)
    light_n = rgb_n3 @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light_n) >= 0).all() and (rgb_n3[-1] == rgb_n3[-5]).all()
