"""Wide lenses and panoramas: against OpenCV, against the models' published formulas, and there and back."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry.camera_models import MODELS, projection_by_name, projection_of
from transpose.geometry.fisheye import FieldOfView, Fisheye
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection

small = st.floats(-0.02, 0.02)
tiny = st.floats(-0.003, 0.003)
SIZE = (640, 480)
PLACE = [200.0, 210.0, 310.0, 250.0]


def ahead(n: int = 60, widest_deg: float = 85.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    angle, about = rng.uniform(0, math.radians(widest_deg), n), rng.uniform(0, 2 * math.pi, n)
    return np.stack([np.sin(angle) * np.cos(about), np.sin(angle) * np.sin(about), np.cos(angle)], 1)


@given(small, small, tiny, tiny)
def test_points_land_where_opencvs_fisheye_puts_them(k1: float, k2: float, k3: float, k4: float) -> None:
    lens = projection_of("OPENCV_FISHEYE", [*PLACE, k1, k2, k3, k4], *SIZE)
    directions_n3 = ahead()
    K_33 = np.array([[200, 0, 310], [0, 210, 250], [0, 0, 1.0]])
    zero = np.zeros(3)
    expected, _ = cv2.fisheye.projectPoints(directions_n3[:, None], zero, zero, K_33, np.array([k1, k2, k3, k4]))
    assert np.allclose(lens.px_of_directions(directions_n3), expected[:, 0], atol=1e-9)


@given(st.tuples(small, small, tiny, tiny, small, small, small, tiny))
def test_points_land_where_opencvs_rational_model_puts_them(coefficients: tuple[float, ...]) -> None:
    lens = projection_of("FULL_OPENCV", [*PLACE, *coefficients], *SIZE)
    directions_n3 = ahead(widest_deg=30)
    K_33 = np.array([[200, 0, 310], [0, 210, 250], [0, 0, 1.0]])
    expected, _ = cv2.projectPoints(directions_n3, np.zeros(3), np.zeros(3), K_33, np.array(coefficients))
    assert np.allclose(lens.px_of_directions(directions_n3), expected[:, 0], atol=1e-9)


def thin_prism(u: float, v: float, k: list[float]) -> tuple[float, float]:
    """COLMAP's THIN_PRISM_FISHEYE, of a normalised point."""
    k1, k2, p1, p2, k3, k4, sx1, sy1 = k
    r = math.hypot(u, v)
    u, v = u * math.atan(r) / r, v * math.atan(r) / r
    r2 = u * u + v * v
    radial = k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
    return (
        u + u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + sx1 * r2,
        v + v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v) + sy1 * r2,
    )


def rad_tan_thin_prism(u: float, v: float, k: list[float]) -> tuple[float, float]:
    """Project Aria's Fisheye624, COLMAP's RAD_TAN_THIN_PRISM_FISHEYE."""
    r = math.hypot(u, v)
    theta = math.atan(r)
    radius = theta * (1 + sum(each * theta ** (2 * i + 2) for i, each in enumerate(k[:6])))
    x, y = u / r * radius, v / r * radius
    p0, p1, s0, s1, s2, s3 = k[6:]
    r2 = x * x + y * y
    dot = 2 * (p0 * x + p1 * y)
    return x + dot * x + p0 * r2 + s0 * r2 + s1 * r2**2, y + dot * y + p1 * r2 + s2 * r2 + s3 * r2**2


def field_of_view(u: float, v: float, k: list[float]) -> tuple[float, float]:
    r = math.hypot(u, v)
    factor = math.atan(2 * r * math.tan(k[0] / 2)) / (r * k[0])
    return u * factor, v * factor


def division(u: float, v: float, k: list[float]) -> tuple[float, float]:
    """The distorted radius d of the ray r: r = d / (1 + k d^2), solved by hand."""
    r = math.hypot(u, v)
    d = (1 - math.sqrt(1 - 4 * k[0] * r * r)) / (2 * k[0] * r)
    return u * d / r, v * d / r


FORMULAS = {
    "THIN_PRISM_FISHEYE": (thin_prism, [0.03, -0.01, 0.002, -0.001, 0.004, -0.002, 0.003, -0.002]),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        rad_tan_thin_prism,
        [0.4, -0.5, 0.2, 0.05, -0.03, 0.01, 0.0004, -0.0002, -0.0009, 0.0001, 0.0002, -0.0001],
    ),
    "FOV": (field_of_view, [0.9]),
    "DIVISION": (division, [-0.2]),
}


@pytest.mark.parametrize("model", FORMULAS)
def test_points_land_where_the_published_formulas_put_them(model: str) -> None:
    formula, coefficients = FORMULAS[model]
    lens = projection_of(model, [*PLACE, *coefficients], *SIZE)
    for direction_3 in ahead(20, 60):
        x, y = formula(direction_3[0] / direction_3[2], direction_3[1] / direction_3[2], coefficients)
        expected = (200 * x + 310, 210 * y + 250)
        assert np.allclose(lens.px_of_directions(direction_3), expected, atol=1e-9)


WIDE = {
    "SIMPLE_RADIAL_FISHEYE": [200.0, 310, 250, 0.01],
    "RADIAL_FISHEYE": [200.0, 310, 250, 0.01, -0.002],
    "OPENCV_FISHEYE": [*PLACE, 0.02, -0.01, 0.003, -0.001],
    "SIMPLE_DIVISION": [200.0, 310, 250, -0.2],
    "SIMPLE_FISHEYE": [200.0, 310, 250],
    "FISHEYE": PLACE,
    **{model: [*PLACE, *coefficients] for model, (_, coefficients) in FORMULAS.items()},
}


@pytest.mark.parametrize("model", WIDE)
def test_there_and_back_up_to_the_corners(model: str) -> None:
    lens = projection_of(model, WIDE[model], *SIZE)
    px_n2 = np.stack(np.meshgrid(np.linspace(0, 640, 21), np.linspace(0, 480, 17)), -1).reshape(-1, 2)
    directions_n3 = lens.directions_of_px(px_n2)
    there_n = np.isfinite(directions_n3).all(1)
    assert there_n.mean() > 0.75
    assert np.allclose(np.linalg.norm(directions_n3[there_n], axis=1), 1)
    assert np.allclose(lens.px_of_directions(directions_n3[there_n]), px_n2[there_n], atol=1e-6)


@given(small, small, tiny, tiny, st.floats(0.3, 3.0))
def test_directions_are_found_again_whatever_their_length(
    k1: float, k2: float, k3: float, k4: float, length: float
) -> None:
    lens = projection_of("OPENCV_FISHEYE", [*PLACE, k1, k2, k3, k4], *SIZE)
    directions_n3 = ahead(widest_deg=70)
    found_n3 = lens.directions_of_px(lens.px_of_directions(directions_n3 * length))
    assert np.allclose(found_n3, directions_n3, atol=1e-9)


def test_a_fisheye_sees_beside_and_behind_itself() -> None:
    lens = Fisheye(1000, 1000, 200.0, 200.0, 500.0, 500.0)
    assert np.allclose(lens.px_of_directions(np.array([1.0, 0, 0])), (500 + 200 * math.pi / 2, 500))
    assert np.allclose(lens.px_of_directions(np.array([0.0, 1, -1])), (500, 500 + 200 * 3 * math.pi / 4))
    assert np.allclose(lens.px_of_directions(np.array([0.0, 0, 2])), (500, 500))


def test_there_is_no_pixel_beyond_the_fold_and_the_rim() -> None:
    folded = Fisheye(1000, 1000, 400.0, 400.0, 500.0, 500.0, (-0.2,))  # the radius grows up to 1.29 rad, 0.86
    assert np.isfinite(folded.px_of_directions(np.array([math.sin(1.28), 0, math.cos(1.28)]))).all()
    assert np.isnan(folded.px_of_directions(np.array([math.sin(1.30), 0, math.cos(1.30)]))).all()
    assert np.isnan(folded.directions_of_px(np.array([500 + 400 * 0.87, 500]))).all()
    rimmed = Fisheye(1000, 1000, 300.0, 300.0, 500.0, 500.0, rim_px=300.0)
    assert np.isnan(rimmed.px_of_directions(np.array([math.sin(1.01), 0, math.cos(1.01)]))).all()
    assert np.isnan(rimmed.directions_of_px(np.array([801.0, 500]))).all()
    assert rimmed.resized(500, 500).rim_px == pytest.approx(150)  # type: ignore[union-attr]


def test_a_panoramas_middle_is_ahead_and_its_right_is_right() -> None:
    panorama = Panorama(400, 200)
    for direction, px in {(0, 0, 1): (200, 100), (1, 0, 0): (300, 100), (-1, 0, 0): (100, 100)}.items():
        assert np.allclose(panorama.px_of_directions(np.array(direction)), px)
    assert panorama.px_of_directions(np.array([0.0, 1, 0]))[1] == 200  # OpenCV's y is down
    px_n2 = np.random.default_rng(0).uniform((0, 5), (400, 195), (50, 2))
    assert np.allclose(panorama.px_of_directions(panorama.directions_of_px(px_n2)), px_n2)


@pytest.mark.parametrize("model", [*WIDE, "OPENCV", "FULL_OPENCV", "EQUIRECTANGULAR"])
def test_a_photo_of_half_the_size_has_half_the_pixels(model: str) -> None:
    parameters = {"EQUIRECTANGULAR": [], "OPENCV": [*PLACE, 0, 0, 0, 0], "FULL_OPENCV": [*PLACE, *[0.01] * 8]}
    lens: Projection = projection_of(model, (WIDE | parameters)[model], 960, 480)
    directions_n3 = ahead(20, 40)
    half = lens.resized(480, 240)
    assert np.allclose(2 * half.px_of_directions(directions_n3), lens.px_of_directions(directions_n3))
    assert half.focal_px == pytest.approx(lens.focal_px / 2)


@pytest.mark.parametrize("model", [*WIDE, "EQUIRECTANGULAR"])
def test_the_resolution_is_that_of_the_middle(model: str) -> None:
    lens = projection_of(model, WIDE.get(model, []), 960, 480)
    aside_n3 = np.array([[1e-4, 0, 1], [-1e-4, 0, 1], [0, 1e-4, 1], [0, -1e-4, 1]])
    px_n2 = lens.px_of_directions(aside_n3)
    across, down = (px_n2[0] - px_n2[1])[0], (px_n2[2] - px_n2[3])[1]
    assert math.sqrt(across * down) / 2e-4 == pytest.approx(lens.focal_px, rel=1e-3)


def test_parameters_by_name_are_those_in_order() -> None:
    for model, names in MODELS.items():
        values = {name: 200.0 if name.startswith("f") else 0.001 * (i + 1) for i, name in enumerate(names)}
        values |= {name: at for name, at in (("cx", 310.0), ("cy", 200.0)) if name in names}
        by_name = projection_by_name(model, values, 640, 320)
        assert by_name == projection_of(model, list(values.values()), 640, 320)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: FieldOfView(*SIZE, *PLACE, omega=0.0), "omega must be"),
        (lambda: Panorama(640, 480), "twice as wide as high"),
        (lambda: Fisheye(*SIZE, -1.0, *PLACE[1:]), "focal lengths must be positive"),
        (lambda: Fisheye(*SIZE, *PLACE, (math.nan,)), "finite"),
        (lambda: projection_of("OPENCV_FISHEYE", PLACE, *SIZE), r"8 parameters \(fx, fy, cx, cy, k1"),
    ],
)
def test_lenses_that_are_none_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("model", [model for model in MODELS if model not in ("EQUIRECTANGULAR", "FOV")])
def test_what_is_not_said_is_in_the_middle_and_not_distorted(model: str) -> None:
    lens = projection_by_name(model, {"f": 200.0}, 640, 480)
    px_n2 = lens.px_of_directions(np.array([[0.0, 0, 1], [1e-3, 0, 1], [0, 1e-3, 1]]))
    assert np.allclose(px_n2[0], (320, 240))
    assert np.allclose(px_n2[1:] - px_n2[0], 0.2 * np.eye(2), atol=1e-5)
