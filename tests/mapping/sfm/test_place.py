"""Structure from motion on keypoints that are known: poses up to a similarity, and why some photos have none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from tests.mapping.sfm import synthetic
from tests.mapping.sfm.synthetic import CAMERA
from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry.poses import Pose, rotation_error_deg
from transpose.geometry.similarity import similarity_between
from transpose.mapping.sfm import mapper, place
from transpose.models.keypoints import Keypoints
from transpose.scenes.setup.unposed_photos import Placement, SharedCamera

pytest.importorskip("pycolmap", reason="the extra sfm is not installed")


def placed(
    monkeypatch: pytest.MonkeyPatch,
    keypoints: Sequence[Keypoints],
    cameras: Sequence[SharedCamera] | None = None,
    broken: dict[str, str] | None = None,
) -> Placement:
    monkeypatch.setattr(place, "keypoints_of_photos", lambda *_: (list(keypoints), broken or {}))
    photos = synthetic.photos_of(len(keypoints))
    return place.place_photos(photos, cameras or synthetic.shared_camera(), 0, lambda items, _: items)


def none() -> Keypoints:
    return synthetic.keypoints_of(synthetic.ring(1), synthetic.cloud())[0].strongest(0)


def check_poses(placement: Placement, poses: Sequence[Pose], centre: float, degrees: float) -> None:
    names = sorted(placement.poses)
    truth = [poses[int(name[:2])] for name in names]
    similarity = similarity_between(
        np.array([placement.poses[name].center for name in names]), np.array([pose.center for pose in truth])
    )
    for name, pose in zip(names, truth, strict=True):
        moved = similarity.pose(placement.poses[name])
        assert np.linalg.norm(moved.center - pose.center) < centre
        assert rotation_error_deg(moved.R_wc, pose.R_wc) < degrees


def test_poses_are_found_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    poses = synthetic.ring(8)
    keypoints = synthetic.keypoints_of(poses, synthetic.cloud())
    first, second = (placed(monkeypatch, keypoints) for _ in range(2))
    assert len(first.poses) == 8
    assert not first.reasons
    check_poses(first, poses, 0.02, 0.3)
    assert first.lenses[0].focal_px == pytest.approx(CAMERA.fx, rel=0.01)
    assert first.error_px < 1
    for name, pose in first.poses.items():
        np.testing.assert_array_equal(pose.T_wc, second.poses[name].T_wc)
        assert len(first.seen[name]) > 50
    assert capfd.readouterr().err == ""  # COLMAP's log is not ours


def test_a_focal_length_that_is_sure_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    keypoints = synthetic.keypoints_of(synthetic.ring(5), synthetic.cloud())
    found = placed(monkeypatch, keypoints, synthetic.shared_camera(710.0, True))
    assert found.lenses[0].fx == found.lenses[0].fy == 710.0


def flight() -> list[Keypoints]:
    """Straight down on ground that is nearly flat."""
    poses = [
        synthetic.looking_at(np.array([x, y, 3.0]), np.array([x, y, 0.0])) for x in (-0.5, 0, 0.5) for y in (-0.3, 0.3)
    ]
    return synthetic.keypoints_of(poses, synthetic.cloud(shape=(2.0, 2.0, 0.15)))


def test_photos_that_all_look_one_way_keep_the_focal_length_of_their_metadata(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert placed(monkeypatch, flight(), synthetic.shared_camera(705.0)).lenses[0].fx == 705.0
    assert not caplog.records or caplog.records[-1].levelname != "WARNING"
    placed(monkeypatch, flight())
    assert "say it with --focal" in caplog.text


def test_photos_of_other_places_are_told_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    poses = synthetic.ring(6)
    here = synthetic.keypoints_of(poses, synthetic.cloud())
    there = synthetic.keypoints_of(poses[:4], synthetic.cloud(1))
    alone = synthetic.seen(poses[0], synthetic.cloud(2), 30)
    found = placed(monkeypatch, [*here, *there, alone, none()], broken={"11.jpg": "it cannot be read (cut off)"})
    assert sorted(found.poses) == [f"0{number}.jpg" for number in range(6)]
    for number in range(6, 10):
        assert "another group of 4 photos" in found.reasons[f"{number:02}.jpg"]
    assert found.reasons["10.jpg"].startswith("too few matches")
    assert found.reasons["11.jpg"] == "it cannot be read (cut off)"
    assert len(found.reasons) == 6


@pytest.mark.parametrize(
    ("keypoints", "said"),
    [
        (
            [synthetic.seen(synthetic.ring(1)[0], synthetic.cloud(n), n) for n in range(4)],
            "no two of them show the same",
        ),
        ([synthetic.seen(synthetic.ring(1)[0], synthetic.cloud(), n) for n in range(4)], "taken from one place"),
        (synthetic.keypoints_of(synthetic.ring(2), synthetic.cloud()), "2 photos are too few"),
    ],
)
def test_nothing_placed_is_one_line(monkeypatch: pytest.MonkeyPatch, keypoints: Sequence[Keypoints], said: str) -> None:
    with pytest.raises(TransposeError, match=said):
        placed(monkeypatch, keypoints)


def test_photos_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {f"0{n}.jpg": "it cannot be read" for n in range(3)}
    with pytest.raises(TransposeError, match=r"none of the 3 photos can be read: 00\.jpg"):
        placed(monkeypatch, [none()] * 3, broken=broken)


def test_an_interrupt_ends_the_mapper(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    keypoints = synthetic.keypoints_of(synthetic.ring(8), synthetic.cloud())
    monkeypatch.setattr(mapper, "_result", lambda *_: interrupted())
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        placed(monkeypatch, keypoints)
    assert not [thread for thread in threading.enumerate() if thread.name == "mapper"]
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_sigterm_is_still_ours_once_pycolmap_is_loaded() -> None:
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "from transpose.mapping.sfm.colmap import import_pycolmap\n"
        "import_pycolmap()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 7


def test_missing_pycolmap_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'transpose-loc\[sfm\]'"):
        placed(monkeypatch, [none()] * 3)
