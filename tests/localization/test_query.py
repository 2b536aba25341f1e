"""What is known of an image's camera: how well, and whether it fits the image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.localization.checkpoints import CAMERA, checkpoint
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, normalized_error
from transpose.localization import Query, SceneCoordinateLocalizer
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import CameraErrors, calibrated, systematic_part
from transpose.localization.query import GUESSED_FOCAL, UNKNOWN_FOCAL
from transpose.localization.systematic import SystematicErrors
from transpose.runs import LearnedCamera
from transpose.scenes.exif import ExifFocal, focal_from_exif
from transpose.solvers import PoseEstimate, solve_pnp

ERRORS = SystematicErrors()
DISTORTED = Camera(4000, 3000, 3000.0, 3000.0, 2010.0, 1490.0, -0.05)


def image(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (np.zeros((96, 128), np.uint8), "RGB image"),
        (np.zeros((96, 128, 4), np.uint8), "RGB image"),
        (np.zeros((96, 128, 3), np.float32), "uint8"),
        (np.zeros((0, 128, 3), np.uint8), "empty"),
    ],
)
def test_what_is_no_image_is_refused(wrong: np.ndarray, message: str) -> None:
    with pytest.raises(TransposeError, match=message):
        Query.of(CAMERA, wrong, focal_px=100.0)


def test_image_and_camera_of_different_size_are_an_error() -> None:
    for camera in (CAMERA.resized(100, 96), CAMERA.resized(128, 100)):
        with pytest.raises(TransposeError, match=r"image is 128 x 96 pixels, its camera .* one size"):
            SceneCoordinateLocalizer(checkpoint()).localize(image(128, 96), camera)
    with pytest.raises(TransposeError, match="one size"):
        Query(image(128, 96), CAMERA, depth_hw=np.ones((5, 5), np.float32))


def test_what_is_no_camera_or_no_depth_in_metres_is_refused() -> None:
    for wrong in (525.0, np.eye(3)):
        with pytest.raises(TransposeError, match=r"camera is a transpose.geometry.Camera, not .*Query.of"):
            Query(image(128, 96), wrong)
    for begun in ("photo.jpg", image(128, 96)):
        with pytest.raises(TransposeError, match=r"begin with .*localizer.checkpoint.camera, not"):
            Query.of(begun, image(128, 96))
    with pytest.raises(TransposeError, match="in metres, not uint16: divide millimetres by 1000"):
        Query(image(128, 96), CAMERA, depth_hw=np.full((96, 128), 1500, np.uint16))


def test_the_most_certain_knowledge_of_a_camera_is_taken() -> None:
    agreeing, differing = ExifFocal(3020.0, 0.02), ExifFocal(2500.0, 0.02)
    assert Query.of(DISTORTED, image(4000, 3000), CAMERA.resized(4000, 3000)).source == "calibration"
    by_focal = Query.of(DISTORTED, image(4000, 3000), focal_px=2000.0, exif=differing)
    assert (by_focal.camera, by_focal.source) == (Camera.from_focal(2000.0, 4000, 3000), "option")
    # Within EXIF's rounding it may be the run's own camera, with its centre and its distortion; or another one.
    own = Query.of(DISTORTED, image(4000, 3000), exif=agreeing)
    assert (own.camera, own.source, own.is_calibrated) == (DISTORTED, "training", False)
    assert own.focal_sigma == pytest.approx(np.hypot(3000 / 3020 - 1, 0.02 / np.sqrt(3)))
    # One of two, with a digital zoom and without: the image has to tell.
    either = Query.of(DISTORTED, image(4000, 3000), exif=ExifFocal(4300.0, 0.42, ambiguous=True))
    assert (either.camera.fx, either.source) == (4300.0, "estimated")
    assert either.focal_sigma == pytest.approx(np.log(1.42))  # each of the two is one standard deviation away
    perhaps_own = Query.of(DISTORTED, image(4000, 3000), exif=ExifFocal(3200.0, 0.08, ambiguous=True))
    assert (perhaps_own.camera, perhaps_own.source) == (DISTORTED, "training") and perhaps_own.focal_sigma > 0.04
    assert Query.of(DISTORTED, image(2000, 1500), exif=ExifFocal(1510.0, 0.02)).camera == DISTORTED.resized(2000, 1500)
    other = Query.of(DISTORTED, image(4000, 3000), exif=differing)
    assert (other.camera.fx, other.camera.k1, other.source) == (2500.0, 0.0, "exif")
    assert other.focal_sigma == pytest.approx(0.02 / np.sqrt(3))
    assert Query.of(DISTORTED, image(3000, 4000), exif=agreeing).source == "exif"  # another shape
    for size in ((4000, 3000), (2000, 1500)):  # of the same size too: many cameras have it
        guess = Query.of(DISTORTED, image(*size))
        assert (guess.source, guess.focal_sigma, guess.is_calibrated) == ("training", GUESSED_FOCAL, False)
    other_shape = Query.of(DISTORTED, image(3000, 4000))  # as wide along the diagonal
    assert (other_shape.source, other_shape.focal_sigma, other_shape.camera.fx) == ("estimated", UNKNOWN_FOCAL, 3000.0)
    withheld = Query.of(DISTORTED, image(4000, 3000), focal_px="auto", exif=differing)
    assert (withheld.source, withheld.focal_sigma, withheld.camera) == ("estimated", UNKNOWN_FOCAL, DISTORTED)
    with pytest.raises(TransposeError, match="number of pixels"):
        Query.of(DISTORTED, image(4000, 3000), focal_px=0.0)


def test_a_focal_length_alone_says_nothing_of_the_principal_point() -> None:
    """Who gives it has not measured where the optical axis meets the image."""
    known = Query.of(DISTORTED, image(4000, 3000), camera=DISTORTED.resized(4000, 3000))
    focal_alone = Query.of(DISTORTED, image(4000, 3000), focal_px=3000.0)
    assert (known.is_calibrated, focal_alone.is_calibrated) == (True, False)
    centers = [CameraErrors.of(query, ERRORS, "landmarks").center for query in (known, focal_alone)]
    assert centers == [ERRORS.modelled, ERRORS.uncalibrated_center]
    assert CameraErrors.of(focal_alone, ERRORS, "landmarks").focal == ERRORS.modelled


def test_a_camera_that_was_merely_assumed_says_nothing_of_a_photo_s() -> None:
    """Else a photo is placed as if renders with a made-up focal length had been taken by its camera."""
    assumed, agreeing = LearnedCamera(DISTORTED, "assumed"), ExifFocal(3020.0, 0.02)
    guess = Query.of(assumed, image(2000, 1500))
    assert (guess.source, guess.focal_sigma, guess.camera) == (
        "estimated",
        UNKNOWN_FOCAL,
        DISTORTED.resized(2000, 1500),
    )
    by_exif = Query.of(assumed, image(4000, 3000), exif=agreeing)
    assert (by_exif.source, by_exif.camera) == ("exif", Camera.from_focal(3020.0, 4000, 3000))
    assert Query.of(assumed, image(4000, 3000), focal_px=2000.0).source == "option"
    for origin in ("rendered", "calibration", "given", "unknown"):
        known = LearnedCamera(DISTORTED, origin)  # type: ignore[arg-type]
        assert Query.of(known, image(4000, 3000)).focal_sigma == GUESSED_FOCAL
        assert Query.of(known, image(4000, 3000), exif=agreeing).source == "training"


def test_exif_says_how_far_it_is_rounded(tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 30))
    exif = photo.getexif()
    exif.get_ifd(0x8769)[0xA405] = 26
    photo.save(tmp_path / "a.jpg", exif=exif)
    found = focal_from_exif(tmp_path / "a.jpg")
    assert found is not None
    assert found.focal_px == pytest.approx(26 * 50 / np.hypot(36, 24))
    assert found.rounding == pytest.approx(0.5 / 26)


def test_poses_of_ill_known_cameras_have_larger_covariances() -> None:
    points_n3 = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    found = Candidate.by(
        "landmarks", PoseEstimate(Pose(np.eye(4)), "ok", np.ones(50, bool)), points_n3, points_n3[:, :2]
    )
    queries = [Query(image(128, 96), CAMERA, *how) for how in ((), ("exif", 0.01), ("training", 0.15))]  # type: ignore[arg-type]
    parts = [systematic_part(found, CAMERA, CameraErrors.of(query, ERRORS, "matches")) for query in queries]
    sizes = [np.trace(part_66[3:, 3:]) for part_66 in parts]
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_focal_length_off_by_exifs_rounding_is_within_the_covariance() -> None:
    """26 mm may be 25.5: poses solved with the wrong focal length are off, and their covariance says so."""
    rng = np.random.default_rng(0)
    truth = Camera.from_focal(500.0, 640, 480)
    rounding, nees = 0.5 / 26, []
    for _ in range(60):
        points_n3 = rng.uniform((-3, -2, 4), (3, 2, 9), (150, 3))
        px_n2 = truth.project(points_n3) + rng.normal(0, 0.5, (150, 2))
        assumed = Camera.from_focal(500.0 * (1 + rng.uniform(-rounding, rounding)), 640, 480)
        query = Query(image(640, 480), assumed, "exif", ExifFocal(1.0, rounding).sigma)
        nees.append(_normalized_error(points_n3, px_n2, query))
    assert 1.0 < np.median(nees) < 8.0  # chi-square of six: 5.3; the principal point is right here


def _normalized_error(points_n3: np.ndarray, px_n2: np.ndarray, query: Query) -> float:
    found = Candidate.by("matches", solve_pnp(px_n2, points_n3, query.camera), points_n3, px_n2)
    estimate = calibrated(found, query.camera, lambda _: 1.0, CameraErrors.of(query, ERRORS, "matches"))
    assert estimate.pose is not None and estimate.covariance_66 is not None
    return normalized_error(estimate.pose, Pose(np.eye(4)), estimate.covariance_66)


def test_a_risk_is_taken_with_one_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points_n3 = rng.uniform((-1, -1, 2), (1, 1, 4), (200, 3))
    px_n2 = CAMERA.project(points_n3) + rng.normal(0, 0.3, (200, 2))
    localizer = SceneCoordinateLocalizer(checkpoint())
    found = Candidate.by("coordinates", solve_pnp(px_n2, points_n3, CAMERA), points_n3, px_n2)
    monkeypatch.setattr(localizer, "_chosen", lambda *_: found)
    monkeypatch.setattr(localizer, "_confidence", lambda *_: 0.9)
    seen = image(CAMERA.width, CAMERA.height)
    for risk, given in ((None, False), (0.2, True), (0.05, False), (None, False)):
        estimate = localizer.localize_query(Query(seen, CAMERA, risk=risk))
        assert (estimate.pose is not None) == given and estimate.confidence == 0.9
    for prior, says in ((np.eye(4), "prior is a Pose"), (Pose(np.diag([1.0, 1, -1, 1])), "not a rigid pose")):
        with pytest.raises(TransposeError, match=says):
            Query(seen, CAMERA, prior=prior)
    for risk in (0.0, 1.0, float("nan"), -1.0):
        with pytest.raises(TransposeError, match="risk is a probability between 0 and 1"):
            Query(seen, CAMERA, risk=risk)
