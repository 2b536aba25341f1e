"""The camera that a run notes, and whether it says anything of a photo's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transpose.geometry import Camera
from transpose.scenes.layout import Frame
from transpose.training.start import learned_camera
from transpose.training.views import TrainingFrame

WIDE, TURNED = Camera.from_focal(480.0, 640, 480), Camera.from_focal(480.0, 480, 640)


def frames(*cameras: Camera, rendered: bool = True, assumed: bool = False) -> list[TrainingFrame]:
    made = []
    for i, camera in enumerate(cameras):
        frame = Frame(f"frame-{i}", {})
        frame.__dict__["camera"] = camera  # as if it had been read
        made.append(TrainingFrame(frame, rendered, camera_assumed=assumed))
    return made


@pytest.mark.parametrize("rendered, origin", [(True, "rendered"), (False, "calibration")])
def test_one_camera_however_it_is_held_or_resized_is_that_of_photos(rendered: bool, origin: str) -> None:
    slightly = replace(WIDE, fx=490.0, fy=490.0)  # as a lens is focused anew
    found = learned_camera(frames(WIDE, TURNED, WIDE.resized(320, 240), slightly, rendered=rendered))
    assert (found.camera, found.origin, found.tells_of_photos) == (WIDE, origin, True)


@pytest.mark.parametrize("rendered", [True, False])
def test_of_several_cameras_none_is_taken_for_that_of_photos(rendered: bool) -> None:
    found = learned_camera(frames(WIDE, WIDE.zoomed(1.2), rendered=rendered))
    assert found.camera == WIDE and not found.tells_of_photos


def test_a_camera_that_nobody_named_is_none_either() -> None:
    assert not learned_camera(frames(WIDE, assumed=True)).tells_of_photos
