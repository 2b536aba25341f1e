"""Photos of an OpenDroneMap project stand where its report says, with the lenses of its cameras."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from transpose.errors import TransposeError
from transpose.scenes.layout import open_section
from transpose.scenes.setup.odm import lens_of_opensfm
from transpose.scenes.setup.photos import read_posed_photos, setup_photos

BROWN = {
    "projection_type": "brown",
    "width": 400,
    "height": 300,
    "focal_x": 0.8,
    "focal_y": 0.81,
    "c_x": 0.01,
    "c_y": -0.02,
    "k1": -0.1,
    "k2": 0.02,
    "p1": 1e-3,
    "p2": -1e-3,
    "k3": 1e-3,
}
TURN_CW = Rotation.from_euler("xyz", [175, 4, 30], degrees=True)


def project(folder: Path, camera: dict[str, object] = BROWN, photos: int = 2) -> Path:
    for name in ("images", "odm_report", "odm_georeferencing"):
        (folder / name).mkdir(parents=True)
    features = []
    for k in range(photos):
        Image.new("RGB", (400, 300), (90, 120, 60)).save(folder / "images" / f"DJI_{k}.JPG")
        said = {
            "filename": f"DJI_{k}.JPG",
            "width": 400,
            "height": 300,
            "translation": [576660.0 + k, 5188160.5, 198.0],
        }
        features.append({"type": "Feature", "properties": {**said, "rotation": TURN_CW.as_rotvec().tolist()}})
    (folder / "odm_report" / "shots.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    (folder / "cameras.json").write_text(json.dumps({"v2 dji fc6310 400 300 brown 0.8": camera}))
    (folder / "odm_georeferencing" / "coords.txt").write_text("WGS84 UTM 15N\n576663 5188164\n")
    return folder


def test_poses_lenses_and_map(tmp_path: Path) -> None:
    crs, photos = read_posed_photos(project(tmp_path / "p"))
    assert crs == "EPSG:32615"
    assert [p.name for p in photos] == ["DJI_0.JPG", "DJI_1.JPG"]
    assert photos[1].pose.center.tolist() == [576661, 5188160.5, 198]
    assert np.allclose(photos[0].pose.R_wc, TURN_CW.as_matrix().T)
    lens = photos[0].lens
    assert (lens.fx, lens.fy) == pytest.approx((320, 324))
    assert (lens.cx, lens.cy) == pytest.approx((204, 142))
    assert (lens.k1, lens.k2, lens.p1, lens.p2, lens.k3) == (-0.1, 0.02, 1e-3, -1e-3, 1e-3)


def test_opensfm_s_own_projection_is_the_lens_s() -> None:
    """OpenSfM: lengths by the longer side, from the middle of the image, distortion of a point at depth 1."""
    lens = lens_of_opensfm(BROWN)
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    radial = 1 + r2 * (-0.1 + r2 * (0.02 + r2 * 1e-3))
    u = 0.8 * (x * radial + 2 * 1e-3 * x * y - 1e-3 * (r2 + 2 * x * x)) + 0.01
    v = 0.81 * (y * radial + 2 * -1e-3 * x * y + 1e-3 * (r2 + 2 * y * y)) - 0.02
    assert lens.px_of_directions(np.array([[x, y, 1.0]]))[0] == pytest.approx([200 + 400 * u, 150 + 400 * v])


def test_a_fisheye_is_opencv_s() -> None:
    lens = lens_of_opensfm({**BROWN, "projection_type": "fisheye_opencv", "k3": 0.003, "k4": -0.001})
    x, y = 1.2, -0.7
    r = np.hypot(x, y)
    t = np.arctan(r)
    bent = t * (1 - 0.1 * t**2 + 0.02 * t**4 + 0.003 * t**6 - 0.001 * t**8) / r
    px = lens.px_of_directions(np.array([[x, y, 1.0]]))[0]
    assert px == pytest.approx([204 + 320 * x * bent, 142 + 324 * y * bent])


def test_the_set_up_takes_a_project_as_it_is(tmp_path: Path) -> None:
    (path,) = setup_photos(project(tmp_path / "p"), tmp_path / "scene", "test", lambda crs, poses: poses)
    section = open_section(path)
    assert len(section) == 2
    assert section.frames[0].pose.center.tolist() == [576660, 5188160.5, 198]


def test_the_reconstruction_says_which_photo_has_which_camera(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    cameras = json.loads((folder / "cameras.json").read_text())
    (folder / "cameras.json").write_text(json.dumps({**cameras, "other": {**BROWN, "focal_x": 0.9, "focal_y": 0.9}}))
    with pytest.raises(TransposeError, match="2 cameras"):
        read_posed_photos(folder)
    (folder / "opensfm").mkdir()
    perspective = {"projection_type": "perspective", "width": 400, "height": 300, "focal": 0.9, "k1": 0.01, "k2": 0.0}
    shots = {"DJI_0.JPG": {"camera": "other"}, "DJI_1.JPG": {"camera": "one"}}
    content = [{"cameras": {"other": perspective, "one": BROWN}, "shots": shots}]
    (folder / "opensfm" / "reconstruction.json").write_text(json.dumps(content))
    _, photos = read_posed_photos(folder)
    assert [photo.lens.fx for photo in photos] == pytest.approx([360, 320])
    assert photos[0].lens.k1 == 0.01


@pytest.mark.parametrize(
    ("camera", "words"),
    [({**BROWN, "projection_type": "dual"}, "camera model dual"), ({"width": 400, "height": 300}, "lacks 'focal'")],
)
def test_lenses_that_cannot_be_read_are_refused(tmp_path: Path, camera: dict[str, object], words: str) -> None:
    with pytest.raises(TransposeError, match=words):
        read_posed_photos(project(tmp_path / "p", camera))


def test_a_report_without_poses_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    (folder / "odm_report" / "shots.geojson").write_text('{"features": [{"properties": {"filename": "a.jpg"}}]}')
    with pytest.raises(TransposeError, match="georeferenced"):
        read_posed_photos(folder)
